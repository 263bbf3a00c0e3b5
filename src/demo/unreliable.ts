/**
 * Calls that come twice and answers that get lost, on purpose: between the attach agent and a participant, by a seeded chance.
 *
 * A lost answer is an error after the work is done, so the coordinator makes the same call again.
 */
import { Prng } from "../base/index.js";
import type { BranchRef, Participant, PrepareRequest, SettleRequest, SettleResult, VoteResult } from "../participant/index.js";

export interface Unreliability {
  readonly seed: string;
  /** Chance that a call is made twice, 0 to 1; half of them at the same time. */
  readonly repeat: number;
  /** Chance that the answer is lost, 0 to 1. */
  readonly lose: number;
}

export type CallName = "prepare" | "commit" | "rollback";

/** The same participant, with faults in front of it. */
export function unreliable(inner: Participant, { seed, repeat, lose }: Unreliability): Participant {
  const prng = new Prng(seed);
  const deliver = async <R>(call: () => Promise<R>): Promise<R> => {
    const [twice, atOnce, lost] = [prng.chance(repeat), prng.chance(0.5), prng.chance(lose)];
    if (twice && !atOnce) await call();
    const results = await Promise.all(twice && atOnce ? [call(), call()] : [call()]);
    if (lost) throw new Error("the answer was lost on purpose");
    return results[0] as R;
  };
  return wrapped(inner, {
    prepare: (request) => deliver(() => inner.prepare(request)),
    commit: (request) => deliver(() => inner.commit(request)),
    rollback: (request) => deliver(() => inner.rollback(request)),
  });
}

/** The same participant; `note` is told of each call that was carried out, before it is answered. A rejection makes the call fail. */
export function noted(inner: Participant, note: (ref: BranchRef, call: CallName) => Promise<void>): Participant {
  return wrapped(inner, {
    prepare: async (request) => {
      const result = await inner.prepare(request);
      if (result.vote === "yes") await note(request, "prepare");
      return result;
    },
    commit: async (request) => {
      const result = await inner.commit(request);
      await note(request, "commit");
      return result;
    },
    rollback: async (request) => {
      const result = await inner.rollback(request);
      await note(request, "rollback");
      return result;
    },
  });
}

interface Calls {
  prepare(request: PrepareRequest): Promise<VoteResult>;
  commit(request: SettleRequest): Promise<SettleResult>;
  rollback(request: SettleRequest): Promise<SettleResult>;
}

/** Without one-phase commit: the calls that are repeated here are prepare, commit and roll back. */
function wrapped(inner: Participant, calls: Calls): Participant {
  return {
    name: inner.name,
    kind: inner.kind,
    manifest: { ...inner.manifest, onePhase: false },
    ...(inner.scanIntervalMs === undefined ? {} : { scanIntervalMs: inner.scanIntervalMs }),
    start: (clusterId) => inner.start(clusterId),
    ...calls,
    listInDoubt: (filter) => inner.listInDoubt(filter),
    ...(inner.forgetBelow === undefined ? {} : { forgetBelow: async (floorMs: number) => inner.forgetBelow?.(floorMs) }),
    close: () => inner.close(),
  };
}
