/**
 * Which entries are alive in which segment, in a few numbers per segment: enough to check a truncation's target and to know which
 * segments a compaction frees. Entries of one epoch have consecutive counters nearly always; a run is one such stretch.
 */
import { assert, compareZxid, equalZxid, formatZxid, InvariantViolation } from "../base/index.js";
import type { Zxid } from "../base/index.js";

interface Run {
  readonly epoch: number;
  readonly first: number;
  last: number;
}

interface SegmentEntries {
  readonly segment: number;
  readonly runs: Run[];
}

export class LogIndex {
  #base: Zxid;
  #last: Zxid;
  #segments: SegmentEntries[] = [];

  constructor(base: Zxid) {
    this.#base = base;
    this.#last = base;
  }

  get base(): Zxid {
    return this.#base;
  }

  get last(): Zxid {
    return this.#last;
  }

  segmentNumbers(): number[] {
    return this.#segments.map(({ segment }) => segment);
  }

  addSegment(segment: number): void {
    this.#segments.push({ segment, runs: [] });
  }

  append(zxid: Zxid): void {
    const segment = this.#segments[this.#segments.length - 1];
    if (segment === undefined) throw new InvariantViolation("an entry lies in a segment");
    if (compareZxid(zxid, this.#last) <= 0)
      throw new InvariantViolation(`a log's zxids grow: ${formatZxid(zxid)} after ${formatZxid(this.#last)}`);
    const run = segment.runs[segment.runs.length - 1];
    if (run !== undefined && run.epoch === zxid.epoch && run.last + 1 === zxid.counter) run.last = zxid.counter;
    else segment.runs.push({ epoch: zxid.epoch, first: zxid.counter, last: zxid.counter });
    this.#last = zxid;
  }

  /** Whether the log reaches exactly to or through this entry: it is the base or an entry. */
  contains(zxid: Zxid): boolean {
    if (equalZxid(zxid, this.#base)) return true;
    return this.#segments.some(({ runs }) =>
      runs.some((run) => run.epoch === zxid.epoch && run.first <= zxid.counter && zxid.counter <= run.last),
    );
  }

  /** Removes every entry after `after`, which must be contained. */
  truncate(after: Zxid): void {
    assert(
      this.contains(after),
      () =>
        `a truncation lands on an entry of the log: ${formatZxid(after)} is not in (${formatZxid(this.#base)}, ${formatZxid(this.#last)}]`,
    );
    for (const { runs } of this.#segments) {
      while (runs.length > 0) {
        const run = runs[runs.length - 1];
        if (run === undefined || compareZxid({ epoch: run.epoch, counter: run.last }, after) <= 0) break;
        if (compareZxid({ epoch: run.epoch, counter: run.first }, after) <= 0) run.last = after.counter;
        else runs.pop();
      }
    }
    this.#last = after;
  }

  /** Forgets every entry; the log continues after `base`. Segments stay. */
  restart(base: Zxid): void {
    for (const { runs } of this.#segments) runs.length = 0;
    this.#base = base;
    this.#last = base;
  }

  /** Forgets every entry and every segment. */
  reset(base: Zxid): void {
    this.#segments = [];
    this.restart(base);
  }

  /**
   * Removes the leading segments that hold no live entry above `upTo`, never the last segment, and returns their numbers.
   * The base moves to the last live entry that was in them.
   */
  compact(upTo: Zxid): number[] {
    const freed: number[] = [];
    while (this.#segments.length > 1) {
      const run = this.#segments[0]?.runs.at(-1);
      if (run !== undefined && compareZxid({ epoch: run.epoch, counter: run.last }, upTo) > 0) break;
      if (run !== undefined) this.#base = { epoch: run.epoch, counter: run.last };
      const segment = this.#segments.shift();
      if (segment !== undefined) freed.push(segment.segment);
    }
    return freed;
  }
}
