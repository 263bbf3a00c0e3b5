/**
 * The cluster's clock: the stamp a leader puts on each record.
 *
 * Rule (docs/protocol.md, "Time"): stamps never go back along the log, and exceed the last one by at most the monotonic time passed
 * plus a skew; a wall clock that jumps changes nothing. A process that has seen a stamp go by trusts its own monotonic clock from
 * there on; only one that has just started takes the wall clock's word, because nothing else tells how long everybody was down.
 */

export interface ClockReading {
  /** Monotonic milliseconds; any origin. */
  readonly monotonicMs: number;
  /** Milliseconds since 1970; may jump. */
  readonly wallMs: number;
}

/** Leaders may have changed this often between two records, each moving the stamp by the skew at most. */
const MOVES_EXPLAINED = 2;
/** Stamps are whole milliseconds, and two processes' clocks do not run alike to the last one. */
const ROUNDING_MS = 50;

export class StampClock {
  readonly #read: () => ClockReading;
  readonly #skewMs: number;
  /** The newest stamp seen anywhere: restored, applied or given out. */
  #lastStampMs: number;
  /** What the clock showed when a stamp was last observed while running. */
  #anchor: { readonly stampMs: number; readonly monotonicMs: number } | undefined;
  /** Set while leading: stamps then follow the monotonic clock alone. */
  #leading: { readonly stampMs: number; readonly monotonicMs: number } | undefined;

  constructor(read: () => ClockReading, skewMs: number, lastStampMs: number) {
    this.#read = read;
    this.#skewMs = skewMs;
    this.#lastStampMs = lastStampMs;
  }

  /** The stamp a record made now would carry: whole milliseconds, monotone. */
  now(): number {
    const { monotonicMs, wallMs } = this.#read();
    return Math.max(this.#lastStampMs, Math.floor(this.#estimate(monotonicMs, wallMs)));
  }

  /**
   * A record with this stamp was applied, and it was made just now. Returns by how many ms it is ahead of all that this process can
   * explain, or 0: of the stamp seen last, the time passed since, and what the leaders in between may have moved. More is the sign of a
   * leader that had just started when it was elected, and whose wall clock is wrong; or of a process that was suspended itself.
   */
  observe(stampMs: number): number {
    if (stampMs < this.#lastStampMs) return 0;
    this.#lastStampMs = stampMs;
    if (this.#leading !== undefined) return 0;
    const anchor = this.#anchor;
    const { monotonicMs } = this.#read();
    this.#anchor = { stampMs, monotonicMs };
    if (anchor === undefined) return 0;
    const aheadMs = stampMs - (anchor.stampMs + (monotonicMs - anchor.monotonicMs));
    return aheadMs > MOVES_EXPLAINED * this.#skewMs + ROUNDING_MS ? aheadMs : 0;
  }

  /**
   * A record with this stamp was applied, and it was made some time ago: nobody knows how long. It is a lower bound and no more: an
   * anchor made of it would put the clock back by the record's age, and clients that had the time of the leader before would be
   * refused for as long as that.
   */
  recall(stampMs: number): void {
    if (stampMs < this.#lastStampMs) return;
    this.#lastStampMs = stampMs;
    const anchor = this.#anchor;
    if (this.#leading !== undefined || anchor === undefined) return;
    const { monotonicMs } = this.#read();
    if (anchor.stampMs + (monotonicMs - anchor.monotonicMs) < stampMs) this.#anchor = { stampMs, monotonicMs };
  }

  /**
   * This node was established as leader: from here its monotonic clock alone moves the stamp. Returns by how many ms the stamp moves on the wall
   * clock's word alone, because this process has not seen one go by; 0 when it has, and when there never was one.
   */
  lead(): number {
    const { monotonicMs, wallMs } = this.#read();
    const before = this.#lastStampMs;
    const stampMs = Math.max(before, this.#estimate(monotonicMs, wallMs));
    this.#leading = { stampMs, monotonicMs };
    return this.#anchor === undefined && before > 0 ? stampMs - before : 0;
  }

  resign(): void {
    if (this.#leading === undefined) return;
    const { monotonicMs } = this.#read();
    this.#anchor = { stampMs: this.#leading.stampMs + (monotonicMs - this.#leading.monotonicMs), monotonicMs };
    this.#leading = undefined;
  }

  /** How far the wall clock is from the stamp clock, ms; beyond the skew an operator should look. */
  wallOffsetMs(): number {
    const { monotonicMs, wallMs } = this.#read();
    return wallMs - this.#estimate(monotonicMs, wallMs);
  }

  #estimate(monotonicMs: number, wallMs: number): number {
    if (this.#leading !== undefined) return this.#leading.stampMs + (monotonicMs - this.#leading.monotonicMs);
    if (this.#anchor === undefined) return wallMs;
    const passed = this.#anchor.stampMs + (monotonicMs - this.#anchor.monotonicMs);
    return Math.min(passed + this.#skewMs, Math.max(passed, wallMs));
  }
}
