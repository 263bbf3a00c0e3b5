/**
 * What a transaction is to the code that uses it.
 */
import type { Gid, Zxid } from "../base/index.js";
import type { BroughtParticipant } from "../participant/index.js";
import type { BranchKind } from "../txn/index.js";
import type { TryCall } from "./try-call.js";

/** The decision in force, committed and applied. */
export interface Decided {
  readonly gid: Gid;
  readonly decision: "commit" | "abort";
  /** Why it was aborted. */
  readonly reason: string | undefined;
  readonly detail: string;
  readonly zxid: Zxid;
}

export interface AskOptions {
  /** The branch's id; named after the participant when absent. */
  readonly branch?: string | undefined;
  /** `2pc` when absent. */
  readonly kind?: BranchKind | undefined;
}

/** What a transaction's function works with. */
export interface Transaction {
  readonly gid: Gid;
  /** Fires when the caller's signal does or the transaction's time is over: for the user's own calls. */
  readonly signal: AbortSignal;
  /**
   * Runs `work` in this transaction's branch at `participant`, which is begun at the first call. Rejects with the error of `work`,
   * or QUORATE_PARTICIPANT when the branch could not be begun. Must be awaited before the transaction ends.
   */
  on<Handle, R>(participant: BroughtParticipant<Handle>, work: (handle: Handle) => R | Promise<R>): Promise<R>;
  /**
   * Adds a branch whose work, `payload`, runs at the named participant while it prepares. Nothing is sent before the commit.
   * Returns the branch's id, which is the participant's name unless given. Throws QUORATE_INVALID_ARGUMENT. Of kind `tcc` the payload is
   * the work of TRY, which the cluster calls once the commit is recorded; what else is asked prepares when every try has said yes.
   */
  ask(participant: string, payload: Uint8Array, options?: AskOptions): string;
  /**
   * Calls TRY of a participant that reserves, confirms and cancels (kind `tcc`): records the branch, then runs `fn`, which makes the call
   * itself with the ids or the headers it is given. Its return is a yes, its throw a no, which aborts the transaction at its end; the
   * error is rethrown as it is. Confirm or cancel follow the decision and come from the cluster, also when `fn` threw or this process is
   * gone: the participant must be attached, or served by a caller, under this name. Must be awaited before the transaction ends.
   */
  try<R>(participant: string, fn: (call: TryCall) => R | Promise<R>, options?: { readonly branch?: string | undefined }): Promise<R>;
  /** As `ask`, and recorded by the cluster at once. Resolves with the branch's id when the record is committed. */
  enlist(participant: string, payload: Uint8Array, options?: AskOptions): Promise<string>;
}

/** A transaction that its maker ends: `await using tx = await quorate.begin()` aborts it unless `commit` was called. */
export interface OpenTransaction extends Transaction, AsyncDisposable {
  /**
   * Prepares, commits, and resolves when the decision is replicated. Rejects with QUORATE_ABORTED (or what caused it) when it was
   * aborted, QUORATE_OUTCOME_UNKNOWN when that cannot be told; every other error means that it did not and will not commit.
   */
  commit(): Promise<void>;
  /** Rolls back. Does nothing after the end. */
  abort(): Promise<void>;
}
