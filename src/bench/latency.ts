/**
 * Latencies of a run, every one kept: percentiles are exact, not bucketed.
 *
 * Ten bytes an operation: a minute at 100,000/s is 60 MB, which a benchmark can afford and an honest tail needs.
 */
export interface Percentiles {
  readonly count: number;
  readonly p50ms: number;
  readonly p99ms: number;
  readonly p999ms: number;
  readonly maxMs: number;
}

export class Latencies {
  #values = new Float64Array(1 << 16);
  /** The measured second that each value belongs to. */
  #seconds = new Uint16Array(1 << 16);
  #count = 0;

  /** `second`: 0 to 65,535. */
  add(ms: number, second = 0): void {
    if (this.#count === this.#values.length) {
      const values = new Float64Array(this.#values.length * 2);
      const seconds = new Uint16Array(this.#values.length * 2);
      values.set(this.#values);
      seconds.set(this.#seconds);
      this.#values = values;
      this.#seconds = seconds;
    }
    this.#values[this.#count] = ms;
    this.#seconds[this.#count++] = second;
  }

  get count(): number {
    return this.#count;
  }

  /** Of all values, or of those whose second `counts`. */
  percentiles(counts?: (second: number) => boolean): Percentiles {
    const sorted = (counts === undefined ? this.#values.slice(0, this.#count) : this.#chosen(counts)).sort();
    // Nearest-rank: the smallest value that at least q of all values do not exceed.
    const at = (q: number): number => (sorted.length === 0 ? 0 : (sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? 0));
    return { count: sorted.length, p50ms: at(0.5), p99ms: at(0.99), p999ms: at(0.999), maxMs: sorted.at(-1) ?? 0 };
  }

  #chosen(counts: (second: number) => boolean): Float64Array {
    const chosen = new Float64Array(this.#count);
    let n = 0;
    for (let i = 0; i < this.#count; i++) if (counts(this.#seconds[i] ?? 0)) chosen[n++] = this.#values[i] ?? 0;
    return chosen.subarray(0, n);
  }
}
