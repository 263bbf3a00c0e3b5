/**
 * What a process and a simulated SQL database say to each other.
 */
import type { BranchName } from "./resource-manager.js";

export interface SqlOptions {
  readonly roundTripMsMean: number;
  readonly syncMsMean: number;
  /** How long a broken connection goes unnoticed. */
  readonly noticeMsMean: number;
  readonly lockTimeoutMs: number;
}

export const SQLSTATE = {
  connectionLost: "08006",
  uniqueViolation: "23505",
  checkViolation: "23514",
  inFailedTransaction: "25P02",
  undefinedObject: "42704",
  duplicateObject: "42710",
  lockNotAvailable: "55P03",
  busy: "55000",
} as const;
export type SqlState = (typeof SQLSTATE)[keyof typeof SQLSTATE];

export type RowOutcome = "committed" | "rolled-back";

export type Statement =
  | { readonly kind: "begin" }
  | { readonly kind: "commit" }
  | { readonly kind: "rollback" }
  | { readonly kind: "add"; readonly account: string; readonly amount: number; readonly lockTimeoutMs: number }
  | { readonly kind: "insert-outcome"; readonly name: BranchName; readonly outcome: RowOutcome; readonly lockTimeoutMs: number }
  | { readonly kind: "select-outcome"; readonly name: BranchName }
  | { readonly kind: "select-participant" }
  | { readonly kind: "raise-epoch"; readonly epoch: number }
  | { readonly kind: "raise-floor"; readonly floorMs: number }
  | { readonly kind: "delete-outcomes"; readonly belowMs: number }
  | { readonly kind: "current-xact" }
  | { readonly kind: "oldest-xact" }
  | { readonly kind: "is-prepared"; readonly name: BranchName }
  | { readonly kind: "prepare"; readonly name: BranchName }
  | { readonly kind: "commit-prepared"; readonly name: BranchName }
  | { readonly kind: "rollback-prepared"; readonly name: BranchName };

export type SqlValue = number | string | boolean | undefined | { readonly epoch: number; readonly floorMs: number };
export type SqlReply =
  { readonly ok: true; readonly values: readonly SqlValue[] } | { readonly ok: false; readonly state: SqlState; readonly about: string };
