/**
 * What is recorded of one global transaction.
 *
 * Values are immutable: a change replaces the object, so that a checkpoint may keep references to a moment while apply goes on.
 */
import type { Gid, Zxid } from "../base/index.js";
import type { AbortReason, BranchKind, BranchSpec, Decision, Vote } from "./command.js";

export interface BranchRecord extends BranchSpec {
  readonly kind: BranchKind;
  /** A brought branch's vote, or the vote named in the decision; undefined while not known to the log. */
  readonly vote: Vote | undefined;
  /** The participant acknowledged the outcome durably. */
  readonly done: boolean;
  readonly heuristic: { readonly outcome: string; readonly by: string; readonly note: string } | undefined;
}

export interface DecisionRecord {
  readonly decision: Decision;
  readonly reason: AbortReason | undefined;
  readonly detail: string;
  readonly zxid: Zxid;
  readonly stampMs: number;
}

export interface Transaction {
  readonly gid: Gid;
  /** open: may still be enlisted into. sealed: complete list, being prepared. decided: see `decision`. */
  readonly state: "open" | "sealed" | "decided";
  readonly client: string;
  readonly timeoutMs: number;
  readonly openedZxid: Zxid;
  readonly openedStampMs: number;
  /** Sorted by id. */
  readonly branches: readonly BranchRecord[];
  /** Its one asked branch commits in one phase: see BEGIN. False while open. */
  readonly delegated: boolean;
  readonly decision: DecisionRecord | undefined;
}

/** Nothing is owed any more: aborted or committed with every yes voter done. Kept until FORGET so that the gid has one life. */
export interface FinishedOutcome {
  readonly gid: Gid;
  readonly decision: Decision;
  readonly reason: AbortReason | undefined;
  readonly zxid: Zxid;
  readonly stampMs: number;
  /** Branch ids with participant, for `txn get`. */
  readonly branches: readonly {
    readonly id: string;
    readonly participant: string;
    readonly kind: BranchKind;
    readonly vote: Vote | undefined;
    readonly heuristic: string | undefined;
  }[];
}

/**
 * Whether this branch still owes an acknowledgement. After commit only yes voters do. After abort every branch does but a read-only
 * voter, which dropped out: a no voter answers at once, and a lost vote may have been a yes.
 */
export function owes(branch: BranchRecord, decision: Decision): boolean {
  return !branch.done && (decision === "abort" ? branch.vote !== "read-only" : branch.vote === "yes");
}
