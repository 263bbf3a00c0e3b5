/**
 * The calls that reach a store that reserves, in front of its barrier: told to the harness, and on request disturbed.
 *
 * Disturbed, a try is answered by an error and carried out later, so that its cancel may overtake it; a call is made again after it was
 * done, its answer is lost, or comes when nobody waits any more. What was done must not be done again, and a try that its cancel has
 * overtaken must be refused.
 */
import type { Prng } from "../../src/base/index.js";
import type { TccBarrier, TccBarrierCall } from "../../src/participant/index.js";
import type { HostEvent } from "./messages.js";

const HELD = { chance: 0.25, msMax: 1_500 } as const;
const AGAIN = { chance: 0.4, msMax: 2_000 } as const;
const LOST_CHANCE = 0.1;
/** Longer than a coordinator waits for one call. */
const HUNG = { chance: 0.02, ms: 1_500 } as const;

/** No answer, on purpose: the same call comes again. */
export class LostOnPurpose extends Error {
  override readonly name = "LostOnPurpose";
}

/** `disturb` undefined: calls are only told of. */
export function reserveCalls<Handle>(
  marks: TccBarrier<Handle>,
  tell: (event: HostEvent) => void,
  disturb: Prng | undefined,
): TccBarrier<Handle> {
  const again = (call: TccBarrierCall, fn: (handle: Handle) => unknown, afterMs: number): void =>
    later(
      () =>
        marks
          .call(call, fn)
          .then(({ kind }) => tell({ kind: "duplicate", problem: kind === "done" ? `${nameOf(call)} was done a second time` : undefined })),
      afterMs,
    );
  return {
    call: async (call, fn) => {
      if (disturb !== undefined && call.phase === "try" && disturb.chance(HELD.chance)) {
        // Its caller must not wait for it: the cluster's calls for one branch keep their order as long as they are under way.
        later(() => marks.call(call, fn).then((result) => tellOf(call, result, tell)), disturb.int(1, HELD.msMax));
        throw new LostOnPurpose(`${nameOf(call)} was held back on purpose`);
      }
      const result = await marks.call(call, fn);
      tellOf(call, result, tell);
      if (disturb === undefined || result.kind === "refused") return result;
      if (disturb.chance(AGAIN.chance)) again(call, fn, disturb.int(0, AGAIN.msMax));
      if (disturb.chance(HUNG.chance)) await sleep(HUNG.ms);
      if (disturb.chance(LOST_CHANCE)) throw new LostOnPurpose(`the answer to ${nameOf(call)} was lost on purpose`);
      return result;
    },
  };
}

function tellOf(call: TccBarrierCall, { kind }: Awaited<ReturnType<TccBarrier["call"]>>, tell: (event: HostEvent) => void): void {
  const { gid, branch, phase } = call;
  if (kind === "duplicate") tell({ kind: "duplicate", problem: undefined });
  if (phase !== "try") return tell({ kind: "outcome", gid, branch, atNs: String(process.hrtime.bigint()) });
  if (kind === "refused") return tell({ kind: "late-try" });
  // A try that is repeated may come after its outcome: the doubt began with the first.
  if (kind === "done") tell({ kind: "yes", gid, branch, atNs: String(process.hrtime.bigint()) });
}

function nameOf({ phase, gid, branch }: TccBarrierCall): string {
  return `${phase} of ${gid}/${branch}`;
}

/** A rejection means "could not tell": nothing was done by it. */
function later(run: () => Promise<void>, ms: number): void {
  setTimeout(() => void run().catch(() => undefined), ms).unref();
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
