/**
 * Requests of clients and their answers, as the leader's driver sees them. The wire room maps them to protobuf.
 */
import type { ErrorCode, Gid, Outcome, Retry, Zxid } from "../base/index.js";
import type { BranchKind, BranchSpec, FinishedOutcome, RequestId, Transaction, Vote } from "../txn/index.js";

export type Request =
  /** gid undefined: the leader makes one (clients without the library); it is then remembered by `request`, so a retry gets the same. */
  | {
      readonly kind: "open";
      readonly gid: Gid | undefined;
      readonly client: string;
      readonly timeoutMs: number;
      readonly branches: readonly BranchSpec[];
    }
  | { readonly kind: "enlist"; readonly gid: Gid; readonly branch: BranchSpec }
  | {
      readonly kind: "commit";
      readonly gid: Gid;
      readonly client: string;
      readonly timeoutMs: number;
      readonly branches: readonly BranchSpec[];
      readonly votes: readonly { readonly branch: string; readonly vote: Vote }[];
    }
  | { readonly kind: "abort"; readonly gid: Gid }
  /** The outcome as far as known; with `wait`, answered when it is decided. Linearizable. */
  | { readonly kind: "outcome"; readonly gid: Gid; readonly wait: boolean }
  | { readonly kind: "list"; readonly state: "open" | "in-doubt" | "finished" | "all"; readonly limit: number }
  | {
      readonly kind: "put";
      readonly request: RequestId;
      readonly name: string;
      readonly value: Uint8Array;
      readonly expect: Zxid | undefined;
    }
  /** Linearizable read of a register, by quorum round; any node. */
  | { readonly kind: "read"; readonly name: string }
  /** Operator: send everything of this gid again now, and un-pause its branches. */
  | { readonly kind: "retry"; readonly gid: Gid }
  /** Operator: record that a branch was settled by hand. */
  | {
      readonly kind: "resolve";
      readonly gid: Gid;
      readonly branch: string;
      readonly outcome: "committed" | "rolled-back";
      readonly by: string;
      readonly note: string;
    }
  | { readonly kind: "noop" };

export interface BranchView {
  readonly id: string;
  readonly participant: string;
  readonly mode: string;
  readonly kind: BranchKind;
  readonly vote: Vote | undefined;
  readonly done: boolean;
  /** Driver's view on the leader: preparing, prepared, committing, rolling-back, trying, tried, confirming, cancelling, paused, done, ... */
  readonly phase: string;
  readonly attempts: number;
  readonly lastError: string | undefined;
  readonly heuristic: string | undefined;
  /** The recorded work, in the answer to `outcome` while the transaction is open: what a Commit must repeat. Absent otherwise. */
  readonly payload?: Uint8Array | undefined;
}

export interface TransactionView {
  readonly gid: Gid;
  readonly state: "open" | "preparing" | "committing" | "aborting" | "committed" | "aborted" | "expired" | "unknown";
  readonly decision: "commit" | "abort" | undefined;
  readonly reason: string | undefined;
  readonly detail: string | undefined;
  readonly decidedAt: Zxid | undefined;
  readonly openedMs: number | undefined;
  readonly branches: readonly BranchView[];
}

export type Answer =
  | { readonly kind: "opened"; readonly gid: Gid }
  | { readonly kind: "enlisted"; readonly gid: Gid }
  /** The decision is committed and applied. */
  | {
      readonly kind: "decided";
      readonly gid: Gid;
      readonly decision: "commit" | "abort";
      readonly reason: string | undefined;
      readonly detail: string;
      readonly zxid: Zxid;
    }
  | { readonly kind: "transaction"; readonly transaction: TransactionView }
  | { readonly kind: "transactions"; readonly transactions: readonly TransactionView[] }
  | { readonly kind: "put"; readonly version: Zxid }
  | { readonly kind: "read"; readonly value: Uint8Array | undefined; readonly version: Zxid | undefined }
  | { readonly kind: "ok" }
  | {
      readonly kind: "error";
      readonly code: ErrorCode;
      readonly message: string;
      readonly outcome: Outcome | undefined;
      readonly retry: Retry;
      readonly gid: Gid | undefined;
      readonly version: Zxid | undefined;
    };

export type { FinishedOutcome, Transaction };
