/**
 * How long the event loop was stalled of late: the first thing to look at when a node is late with heartbeats.
 */
import { monitorEventLoopDelay, type IntervalHistogram } from "node:perf_hooks";

const RESOLUTION_MS = 10;
const WINDOW_MS = 10_000;
const NANOSECONDS = 1e6;

export class LoopDelay {
  readonly #histogram: IntervalHistogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  readonly #timer: NodeJS.Timeout;
  #previousMaxMs = 0;

  constructor() {
    this.#histogram.enable();
    this.#timer = setInterval(() => {
      this.#previousMaxMs = this.#currentMaxMs();
      this.#histogram.reset();
    }, WINDOW_MS);
    this.#timer.unref();
  }

  /** The longest stall of the last 10 to 20 seconds, ms. */
  maxMs(): number {
    return Math.max(this.#previousMaxMs, this.#currentMaxMs());
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#histogram.disable();
  }

  /** The monitor counts its own interval as delay. */
  #currentMaxMs(): number {
    return this.#histogram.count === 0 ? 0 : Math.max(0, this.#histogram.max / NANOSECONDS - RESOLUTION_MS);
  }
}
