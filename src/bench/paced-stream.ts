/**
 * A steady stream of operations through events that interrupt it: when was each answered, and how long was none?
 */
import { performance } from "node:perf_hooks";
import type { End, Issue } from "./recorder.js";

const TICK_MS = 1;

/** Starts an operation at a fixed rate, whether or not earlier ones are answered, and remembers when each was. */
export class PacedStream {
  committed = 0;
  readonly failed: Record<string, number> = {};
  readonly #issue: Issue;
  readonly #timer: NodeJS.Timeout;
  #acknowledged: number[] = [];
  #outstanding = 0;

  constructor(issue: Issue, rate: number) {
    this.#issue = issue;
    const beganMs = performance.now();
    let issued = 0;
    this.#timer = setInterval(() => {
      const due = Math.floor(((performance.now() - beganMs) / 1000) * rate);
      for (; issued < due; issued++) this.#one();
    }, TICK_MS);
  }

  /** How many failed so far, whatever the reason. */
  get failures(): number {
    return Object.values(this.failed).reduce((sum, each) => sum + each, 0);
  }

  /** Forgets what was before; returns the time now. */
  mark(): number {
    const last = this.#acknowledged.at(-1) ?? performance.now();
    this.#acknowledged = [last];
    return performance.now();
  }

  /** The longest silence that ends after `sinceMs`, ms; a silence that has not ended counts as far as it goes. */
  longestSilence(sinceMs: number): number {
    let longest = 0;
    let last = this.#acknowledged[0] ?? sinceMs;
    for (const at of [...this.#acknowledged, performance.now()]) {
      if (at >= sinceMs) longest = Math.max(longest, at - last);
      last = at;
    }
    return longest;
  }

  /** Starts nothing more, and resolves when everything is answered. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    while (this.#outstanding > 0) await new Promise((resolve) => setTimeout(resolve, 10));
  }

  #one(): void {
    this.#outstanding += 1;
    this.#issue((end: End) => {
      this.#outstanding -= 1;
      if (end === "ok") {
        this.committed += 1;
        this.#acknowledged.push(performance.now());
      } else {
        const why = end === "intended-abort" ? end : "error" in end ? end.error : `aborted: ${end.abort}`;
        this.failed[why] = (this.failed[why] ?? 0) + 1;
      }
    });
  }
}
