/**
 * Measures, at the participant itself, how long branches stay in doubt: from the moment a yes is given to the moment the outcome arrives.
 *
 * It stands between the attach agent and the participant and changes nothing.
 */
import type {
  BranchRef,
  BroughtBranch,
  BroughtParticipant,
  InDoubtFilter,
  OnePhaseResult,
  Participant,
  PrepareRequest,
  SettleResult,
  VoteResult,
} from "../participant/index.js";

/** Where the two moments of a doubt are told. */
export interface DoubtSink {
  yes(ref: BranchRef): void;
  outcome(ref: BranchRef): void;
}

export class InDoubtMeter implements DoubtSink {
  readonly #since = new Map<string, number>();
  #max = 0;
  #resolved = 0;

  yes(ref: BranchRef): void {
    const key = `${ref.gid}/${ref.branch}`;
    // A repeated prepare is the same doubt: it began with the first yes.
    if (!this.#since.has(key)) this.#since.set(key, performance.now());
  }

  outcome(ref: BranchRef): void {
    const key = `${ref.gid}/${ref.branch}`;
    const since = this.#since.get(key);
    if (since === undefined) return;
    this.#since.delete(key);
    this.#resolved += 1;
    this.#max = Math.max(this.#max, performance.now() - since);
  }

  /** Branches that said yes and do not know the outcome right now. */
  get open(): number {
    return this.#since.size;
  }

  get resolved(): number {
    return this.#resolved;
  }

  /** The longest doubt since the last call, ms: of those that ended, and of those still open. */
  takeMaxMs(): number {
    const max = this.maxMs();
    this.#max = 0;
    return max;
  }

  /** The longest doubt so far, open ones included, ms. */
  maxMs(): number {
    const now = performance.now();
    let max = this.#max;
    for (const since of this.#since.values()) max = Math.max(max, now - since);
    return max;
  }
}

/** The same participant, measured. */
export function metered(inner: Participant, meter: DoubtSink): Participant {
  return {
    name: inner.name,
    kind: inner.kind,
    manifest: inner.manifest,
    ...(inner.scanIntervalMs === undefined ? {} : { scanIntervalMs: inner.scanIntervalMs }),
    start: (clusterId: string) => inner.start(clusterId),
    prepare: async (request: PrepareRequest): Promise<VoteResult> => {
      const result = await inner.prepare(request);
      if (result.vote === "yes") meter.yes(request);
      return result;
    },
    // A branch that commits in one phase is never in doubt here; one that an earlier prepare left in doubt no longer is.
    ...(inner.commitOnePhase === undefined
      ? {}
      : {
          commitOnePhase: async (request: PrepareRequest): Promise<OnePhaseResult> => {
            if (inner.commitOnePhase === undefined) throw new Error("this participant does not commit in one phase");
            const result = await inner.commitOnePhase(request);
            if (result.kind === "committed") meter.outcome(request);
            return result;
          },
        }),
    commit: (ref: BranchRef): Promise<SettleResult> => {
      meter.outcome(ref);
      return inner.commit(ref);
    },
    rollback: (ref: BranchRef): Promise<SettleResult> => {
      meter.outcome(ref);
      return inner.rollback(ref);
    },
    listInDoubt: (filter?: InDoubtFilter) => inner.listInDoubt(filter),
    ...(inner.forgetBelow === undefined ? {} : { forgetBelow: async (floorMs: number) => inner.forgetBelow?.(floorMs) }),
    close: () => inner.close(),
  };
}

/** The same participant for branches that clients bring, measured. */
export function meteredBrought<Handle>(inner: BroughtParticipant<Handle>, meter: DoubtSink): BroughtParticipant<Handle> {
  return {
    ...metered(inner, meter),
    begin: async (ref: BranchRef): Promise<BroughtBranch<Handle>> => {
      const branch = await inner.begin(ref);
      return {
        handle: branch.handle,
        prepare: async (): Promise<VoteResult> => {
          const result = await branch.prepare();
          if (result.vote === "yes") meter.yes(ref);
          return result;
        },
        rollback: (): Promise<void> => {
          meter.outcome(ref);
          return branch.rollback();
        },
      };
    },
  };
}
