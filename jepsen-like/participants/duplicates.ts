/**
 * Delivers the calls of the participant contract more than once: late, out of order, and at the same time as others.
 *
 * The contract lets every call be repeated, arrive late, or arrive twice at once. So each repetition's answer is also held against what
 * is known by then: a yes after a roll back, or an outcome that turned round, is a broken promise of the participant.
 */
import type { Prng } from "../../src/base/index.js";
import type { BranchRef, OnePhaseResult, Participant, PrepareRequest, SettleResult, VoteResult } from "../../src/participant/index.js";

/** `problem` undefined: the repeated call changed nothing. */
export type DuplicateSink = (problem: string | undefined) => void;

const COPIES_MAX = 3;
/** Some at once, so that they overlap; most soon; a few long after the transaction is over. */
const DELAYS_MS = { soonMax: 60, laterMax: 1_500, longMax: 30_000 } as const;
const CHANCE_AT_ONCE = 0.3;
const CHANCE_LATER = 0.2;
const CHANCE_LONG = 0.05;
/** How long the first delivery itself is held back, so that other calls overtake it. */
const FIRST_MS_MAX = 25;
const CHANCE_FIRST_LATE = 0.15;
/** Outcomes of this many branches are remembered, to judge late repetitions by. */
const REMEMBERED_MAX = 200_000;

export function duplicated(inner: Participant, prng: Prng, told: DuplicateSink): Participant {
  const outcomes = new Map<string, "committed" | "rolled-back">();
  const remember = (ref: BranchRef, outcome: "committed" | "rolled-back"): void => {
    outcomes.set(`${ref.gid}/${ref.branch}`, outcome);
    if (outcomes.size > REMEMBERED_MAX) for (const oldest of outcomes.keys()) return void outcomes.delete(oldest);
  };
  const repeat = (again: () => Promise<string | undefined>): void => {
    for (let copies = prng.int(0, COPIES_MAX); copies > 0; copies--) {
      // A rejection means "could not tell": nothing was promised by it.
      const run = (): void => void again().then(told, () => told(undefined));
      const delayMs = delayOf(prng);
      if (delayMs === 0) run();
      else setTimeout(run, delayMs).unref();
    }
  };
  const first = async (): Promise<void> => {
    if (prng.chance(CHANCE_FIRST_LATE)) await new Promise((resolve) => setTimeout(resolve, prng.int(1, FIRST_MS_MAX)));
  };
  const settle = async (ref: BranchRef, outcome: "committed" | "rolled-back", call: () => Promise<SettleResult>): Promise<SettleResult> => {
    await first();
    repeat(async () => settleProblem(ref, outcome, await call()));
    const result = await call();
    if (result.kind === "done") remember(ref, outcome);
    return result;
  };
  const onePhase = async (request: PrepareRequest): Promise<OnePhaseResult> => {
    const call = async (): Promise<OnePhaseResult> => {
      if (inner.commitOnePhase === undefined) throw new Error("this participant does not commit in one phase");
      return inner.commitOnePhase(request);
    };
    await first();
    repeat(async () => {
      const before = outcomes.get(`${request.gid}/${request.branch}`);
      return onePhaseProblem(request, before, await call());
    });
    const result = await call();
    remember(request, result.kind === "committed" ? "committed" : "rolled-back");
    return result;
  };
  return {
    name: inner.name,
    kind: inner.kind,
    manifest: inner.manifest,
    ...(inner.scanIntervalMs === undefined ? {} : { scanIntervalMs: inner.scanIntervalMs }),
    start: (clusterId) => inner.start(clusterId),
    prepare: async (request: PrepareRequest): Promise<VoteResult> => {
      await first();
      repeat(async () => {
        const before = outcomes.get(`${request.gid}/${request.branch}`);
        return voteProblem(request, before, await inner.prepare(request));
      });
      return inner.prepare(request);
    },
    ...(inner.commitOnePhase === undefined ? {} : { commitOnePhase: (request: PrepareRequest) => onePhase(request) }),
    commit: (ref) => settle(ref, "committed", () => inner.commit(ref)),
    rollback: (ref) => settle(ref, "rolled-back", () => inner.rollback(ref)),
    listInDoubt: (filter) => inner.listInDoubt(filter),
    ...(inner.forgetBelow === undefined ? {} : { forgetBelow: async (floorMs: number) => inner.forgetBelow?.(floorMs) }),
    close: () => inner.close(),
  };
}

function delayOf(prng: Prng): number {
  if (prng.chance(CHANCE_AT_ONCE)) return 0;
  if (prng.chance(CHANCE_LONG)) return prng.int(DELAYS_MS.laterMax, DELAYS_MS.longMax);
  return prng.chance(CHANCE_LATER) ? prng.int(DELAYS_MS.soonMax, DELAYS_MS.laterMax) : prng.int(1, DELAYS_MS.soonMax);
}

/** `before`: the outcome that was durable before this repetition was sent. */
function voteProblem(ref: BranchRef, before: "committed" | "rolled-back" | undefined, { vote, detail }: VoteResult): string | undefined {
  const name = `${ref.gid}/${ref.branch}`;
  if (before === "rolled-back" && vote !== "no") return `${name}: a prepare repeated after the roll back was answered ${vote}`;
  if (before === "committed" && vote !== "yes") return `${name}: a prepare repeated after the commit was answered ${vote} (${detail})`;
  return undefined;
}

function onePhaseProblem(ref: BranchRef, before: "committed" | "rolled-back" | undefined, result: OnePhaseResult): string | undefined {
  const outcome = result.kind === "committed" ? "committed" : "rolled-back";
  if (before === undefined || before === outcome) return undefined;
  return `${ref.gid}/${ref.branch}: ${before} in one phase, and then answered ${result.kind}`;
}

function settleProblem(ref: BranchRef, outcome: "committed" | "rolled-back", result: SettleResult): string | undefined {
  if (result.kind === "done") return undefined;
  return `${ref.gid}/${ref.branch}: the repeated call to have it ${outcome} was answered ${result.outcome}: ${result.detail}`;
}
