/**
 * A clock that stands until everybody sleeps, and then jumps to the next waking: a schedule is tested in no time, and exactly.
 */
import type { Clock } from "../../src/bench/clock.js";

interface Sleeper {
  readonly atMs: number;
  readonly wake: () => void;
}

export class VirtualClock implements Clock {
  #nowMs = 0;
  readonly #sleepers: Sleeper[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.at(this.#nowMs + Math.max(0, ms), resolve));
  }

  /** Calls `wake` at that time. */
  at(atMs: number, wake: () => void): void {
    // Behind everybody who wakes no later: those of one moment wake in their order.
    let [from, to] = [0, this.#sleepers.length];
    while (from < to) {
      const middle = (from + to) >> 1;
      if ((this.#sleepers[middle]?.atMs ?? Infinity) <= atMs) from = middle + 1;
      else to = middle;
    }
    this.#sleepers.splice(from, 0, { atMs, wake });
  }

  /** Lets time pass until `until` settles. Throws when everybody waits for something that will never come. */
  async run<T>(until: Promise<T>): Promise<T> {
    let settled = false;
    const watched = until.finally(() => (settled = true));
    watched.catch(() => undefined);
    for (;;) {
      // Whatever was woken runs to its next sleep first.
      await new Promise((resolve) => setImmediate(resolve));
      if (settled) return watched;
      const next = this.#sleepers.shift();
      if (next === undefined) throw new Error(`nothing will ever happen again at ${this.#nowMs} ms`);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.wake();
    }
  }
}

/** Answers each operation `serviceMs` after it is issued, except that nothing at all is answered from `fromMs` to `toMs`. */
export function stallingSystem(clock: VirtualClock, serviceMs: number, fromMs: number, toMs: number) {
  return (done: (end: "ok") => void): void => {
    const dueMs = clock.nowMs() + serviceMs;
    clock.at(dueMs >= fromMs && dueMs < toMs ? toMs : dueMs, () => done("ok"));
  };
}
