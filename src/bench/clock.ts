/**
 * The time a load is driven by: monotonic, and replaceable, so that a schedule can be tested without waiting for it.
 */
import { performance } from "node:perf_hooks";

export interface Clock {
  /** Milliseconds since some fixed moment, with fractions. */
  nowMs(): number;
  /** Resolves after `ms` milliseconds, at the earliest. */
  sleep(ms: number): Promise<void>;
}

export const realClock: Clock = {
  nowMs: () => performance.now(),
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
};
