/** One branch from its first call until its outcome is durable: its place in the life cycle that branch-table.ts draws. */
import type { BranchRef, SettleResult, VoteResult } from "../contract.js";
import { Deferred } from "./deferred.js";
import type { LockWant } from "./evaluate.js";
import type { LockOwner } from "./locks.js";
import type { KvOperation, KvValue } from "./operation.js";
import type { Write } from "./group.js";
import type { StoreKey } from "./store-key.js";

/** For locks; for the group commit of the promise; decided by the cluster only; for the group commit of the outcome. */
export type Phase = "waiting" | "voting" | "prepared" | "committing" | "rolling-back";

const NOTHING = new Uint8Array();

/** Of a branch among all branches. */
export function idOf(ref: BranchRef): string {
  return `${ref.gid}/${ref.branch}`;
}

export class Branch implements LockOwner {
  readonly ref: BranchRef;
  /** See idOf. */
  readonly id: string;
  readonly storeKey: StoreKey;
  phase: Phase;
  operations: readonly KvOperation[] = [];
  wants: readonly LockWant[] = [];
  payload: Uint8Array = NOTHING;
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
  /** Called when the locks are held, or refused. */
  onLocks: (refusal: string | undefined) => void = () => undefined;

  constructor(ref: BranchRef, phase: Phase, id: string, storeKey: StoreKey) {
    this.ref = { gid: ref.gid, branch: ref.branch };
    this.id = id;
    this.storeKey = storeKey;
    this.phase = phase;
  }

  get age(): string {
    // The UUID begins with the time; the whole gid breaks ties between groups.
    const { gid } = this.ref;
    return gid.slice(gid.indexOf("-") + 1) + gid;
  }

  get label(): string {
    return this.ref.gid;
  }

  granted(): void {
    this.onLocks(undefined);
  }

  refused(detail: string): void {
    this.onLocks(detail);
  }
}
