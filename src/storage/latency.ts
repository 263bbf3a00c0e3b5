/**
 * Durations of the most recent syncs, for the metrics page and for a leader that notices its own slow disk.
 */
const WINDOW = 1024;

export interface LatencySummary {
  /** Syncs since the process started. */
  readonly count: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Over the same window of recent syncs. */
  readonly maxMs: number;
  readonly lastMs: number;
}

export class LatencyWindow {
  readonly #recent = new Float64Array(WINDOW);
  #count = 0;

  add(ms: number): void {
    this.#recent[this.#count % WINDOW] = ms;
    this.#count++;
  }

  summary(): LatencySummary {
    const filled = this.#recent.slice(0, Math.min(this.#count, WINDOW)).sort();
    const at = (share: number): number => filled[Math.min(filled.length - 1, Math.floor(filled.length * share))] ?? 0;
    return {
      count: this.#count,
      p50Ms: at(0.5),
      p99Ms: at(0.99),
      maxMs: filled.at(-1) ?? 0,
      lastMs: this.#recent[(this.#count + WINDOW - 1) % WINDOW] ?? 0,
    };
  }
}
