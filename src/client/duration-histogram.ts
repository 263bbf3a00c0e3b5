/**
 * Durations in buckets that grow by 5 %: a maximum, and percentiles that are at most 5 % too high, in constant memory.
 */
const GROWTH = Math.log(1.05);
/** Shortest duration told apart, ms. */
const FLOOR_MS = 0.01;
/** Up to about 11 days. */
const BUCKETS = 520;

export class DurationHistogram {
  readonly #counts = new Float64Array(BUCKETS);
  #count = 0;
  #maxMs = 0;

  record(durationMs: number): void {
    const bucket = durationMs <= FLOOR_MS ? 0 : Math.min(BUCKETS - 1, Math.ceil(Math.log(durationMs / FLOOR_MS) / GROWTH));
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#count++;
    if (durationMs > this.#maxMs) this.#maxMs = durationMs;
  }

  get count(): number {
    return this.#count;
  }

  get maxMs(): number {
    return this.#maxMs;
  }

  /** The upper end of the bucket that holds this quantile (0 to 1); 0 when nothing was recorded. */
  quantileMs(quantile: number): number {
    const rank = Math.ceil(this.#count * quantile);
    let seen = 0;
    for (let bucket = 0; bucket < BUCKETS && rank > 0; bucket++) {
      seen += this.#counts[bucket] ?? 0;
      if (seen >= rank) return Math.min(this.#maxMs, FLOOR_MS * Math.exp(bucket * GROWTH));
    }
    return 0;
  }
}
