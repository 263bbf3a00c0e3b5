/** One branch from its first call until its outcome is durable: its place in the life cycle that branch-table.ts draws. */
import type { BranchRef, SettleResult, VoteResult } from "../contract.js";
import { Deferred } from "./deferred.js";
import type { LockWant } from "./evaluate.js";
import type { LockOwner } from "./locks.js";
import type { KvOperation, KvValue } from "./operation.js";
import type { Write } from "./group.js";
import { branchKey } from "./record.js";

/** For locks; for the group commit of the promise; decided by the cluster only; for the group commit of the outcome. */
export type Phase = "waiting" | "voting" | "prepared" | "committing" | "rolling-back";

export class Branch implements LockOwner {
  readonly ref: BranchRef;
  readonly storeKey: string;
  readonly age: string;
  phase: Phase;
  operations: readonly KvOperation[] = [];
  wants: readonly LockWant[] = [];
  payload: Uint8Array = new Uint8Array();
  epoch = 0;
  /** What commit will write to the data. */
  writes: readonly Write[] = [];
  reads: readonly (KvValue | null)[] = [];
  /** Asked to commit in one phase: it goes from its locks to its end at once, and never becomes prepared. */
  onePhase = false;
  /** Why it is rolled back, for people. */
  refusal = "the branch was rolled back before";
  /** Of the prepared row, once it is submitted. */
  rowFingerprint: number | undefined;
  /** performance.now() of the durable yes; of a branch found at open: long ago. */
  preparedAtMs = Number.NEGATIVE_INFINITY;
  readonly vote = new Deferred<VoteResult>();
  readonly settled = new Deferred<SettleResult>();
  granted: () => void = () => undefined;
  refused: (detail: string) => void = () => undefined;

  constructor(ref: BranchRef, phase: Phase) {
    this.ref = { gid: ref.gid, branch: ref.branch };
    this.storeKey = branchKey(ref);
    // The UUID begins with the time; the whole gid breaks ties between groups.
    this.age = ref.gid.slice(ref.gid.indexOf("-") + 1) + ref.gid;
    this.phase = phase;
  }

  get label(): string {
    return this.ref.gid;
  }
}
