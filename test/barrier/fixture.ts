/** What the tests of a barrier need of the store it is kept in: a real one, whose work is counted under names. */
import { newGid, Prng, QuorateError } from "../../src/base/index.js";
import type { BarrierCall, BarrierPhase, BarrierResult, BarrierScope } from "../../src/barrier/index.js";

export interface BarrierFixture {
  /**
   * Makes a call through one of several instances of the barrier. Its function adds 1 under `<gid>/<branch>/<phase>` and 1 to a number
   * that all share, then runs `inside`, whose error becomes the function's.
   */
  call(call: BarrierCall, options?: { readonly instance?: number; readonly inside?: () => Promise<void> | void }): Promise<BarrierResult>;
  /** What was added under a name, as committed. */
  count(name: string): Promise<number>;
  /** The shared number. */
  total(): Promise<number>;
  /** Marks stored for a scope. */
  marks(scope: BarrierScope): Promise<number>;
  forgetBelow(floorMs: number, scope: BarrierScope): Promise<void>;
  /** Everything not durable is lost, as by SIGKILL; then all is opened again. */
  crash(): Promise<void>;
  /** Makes the barriers anew, as a process that starts does. */
  reopen(): Promise<void>;
  dispose(): Promise<void>;
}

export const INSTANCES = 4;
export const SCOPE: BarrierScope = { cluster: "quorate", participant: "wallet" };

const random = new Prng("barrier").uint32;

/** A call of a branch of its own; further phases of it by `{ ...call, phase }`. */
export function newCall(phase: BarrierPhase, more: Partial<BarrierCall> = {}): BarrierCall {
  return { gid: newGid(Date.now(), random), branch: "b1", phase, epoch: 5, ...SCOPE, ...more };
}

export function nameOf(call: BarrierCall): string {
  return `${call.gid}/${call.branch}/${call.phase}`;
}

const AGAIN = new Set(["40001", "40P01", "55P03", "ER_LOCK_DEADLOCK", "ER_LOCK_WAIT_TIMEOUT", "ER_CHECKREAD"]);

/** As a coordinator does: the same call again for as long as it could not be told. */
export async function settled(make: () => Promise<BarrierResult>, attempts = 200): Promise<BarrierResult> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await make();
    } catch (error) {
      const again = (error instanceof QuorateError && error.retry === "safe") || AGAIN.has((error as { code?: string }).code ?? "");
      if (!again || attempt === attempts) throw error;
      await new Promise((resolve) => setTimeout(resolve, 2 + (attempt % 7)));
    }
  }
}
