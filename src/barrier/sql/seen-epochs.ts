/**
 * The highest epoch this process has seen of each participant.
 *
 * The database has it too, for all processes and for ever; but there it is written with work that may be rolled back.
 */
import type { BarrierScope } from "../contract.js";

export class SeenEpochs {
  readonly #highest = new Map<string, number>();

  /** Takes note of an epoch, and returns the highest one seen so far, this one included. */
  raise(scope: BarrierScope, epoch: number): number {
    const key = `${scope.cluster}/${scope.participant}`;
    const highest = Math.max(epoch, this.#highest.get(key) ?? 0);
    this.#highest.set(key, highest);
    return highest;
  }
}
