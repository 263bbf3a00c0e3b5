/**
 * The log in memory: every entry after `base`, up to the last one logged.
 *
 * Counters are consecutive inside an epoch and an epoch has one leader, so a zxid names one entry and one chain of predecessors:
 * two logs that share an entry share everything before it. That makes positions plain integers. An index numbers entries within one
 * process life and never moves while the entry stays: `base` sits at `baseIndex`, the first entry at `baseIndex + 1`.
 */
import { assert, compareZxid, equalZxid, formatZxid, must, zxid } from "../base/index.js";
import type { Zxid } from "../base/index.js";
import type { Entry } from "./entry.js";

/** Entries of one epoch, contiguous. It ends where the next run begins. */
interface Run {
  readonly epoch: number;
  firstIndex: number;
  firstCounter: number;
}

export class History {
  #base: Zxid;
  #baseIndex = 0;
  #entries: Entry[] = [];
  /** Payload bytes from the start of the process up to and including each entry: makes every range sum O(1). */
  #bytesUpTo: number[] = [];
  #bytesUpToBase = 0;
  #runs: Run[] = [];

  constructor(base: Zxid, entries: readonly Entry[]) {
    this.#base = base;
    for (const entry of entries) this.append(entry);
  }

  get base(): Zxid {
    return this.#base;
  }

  get baseIndex(): number {
    return this.#baseIndex;
  }

  get lastIndex(): number {
    return this.#baseIndex + this.#entries.length;
  }

  get last(): Zxid {
    return this.#entries.length === 0 ? this.#base : must(this.#entries[this.#entries.length - 1], "last entry").zxid;
  }

  zxidAt(index: number): Zxid {
    if (index === this.#baseIndex) return this.#base;
    return must(this.#entries[index - this.#baseIndex - 1], `entry at index ${index}`).zxid;
  }

  /** The index of this zxid if the log holds it (or is based on it). */
  indexOf(z: Zxid): number | undefined {
    if (equalZxid(z, this.#base)) return this.#baseIndex;
    let end = this.lastIndex;
    for (let i = this.#runs.length - 1; i >= 0; i--) {
      const run = must(this.#runs[i], "run");
      if (run.epoch < z.epoch) return undefined;
      if (run.epoch === z.epoch) {
        const index = run.firstIndex + (z.counter - run.firstCounter);
        return index >= run.firstIndex && index <= end ? index : undefined;
      }
      end = run.firstIndex - 1;
    }
    return undefined;
  }

  /** The highest counter of this epoch held here, base included; undefined when the window has none of that epoch. */
  lastCounterIn(epoch: number): number | undefined {
    let end = this.lastIndex;
    for (let i = this.#runs.length - 1; i >= 0; i--) {
      const run = must(this.#runs[i], "run");
      if (run.epoch < epoch) break;
      if (run.epoch === epoch) return run.firstCounter + (end - run.firstIndex);
      end = run.firstIndex - 1;
    }
    return this.#base.epoch === epoch && epoch > 0 ? this.#base.counter : undefined;
  }

  /** The last zxid of each epoch that has entries after base, ascending: with `base` it names the whole log. */
  lineage(): Zxid[] {
    return this.#runs.map((run, i) => {
      const end = (this.#runs[i + 1]?.firstIndex ?? this.lastIndex + 1) - 1;
      return zxid(run.epoch, run.firstCounter + (end - run.firstIndex));
    });
  }

  append(entry: Entry): void {
    const last = this.last;
    assert(isSuccessor(last, entry.zxid), () => `entry ${formatZxid(entry.zxid)} does not follow ${formatZxid(last)}`);
    const runs = this.#runs;
    if (runs.length === 0 || runs[runs.length - 1]?.epoch !== entry.zxid.epoch) {
      runs.push({ epoch: entry.zxid.epoch, firstIndex: this.lastIndex + 1, firstCounter: entry.zxid.counter });
    }
    this.#bytesUpTo.push(this.#bytesAt(this.lastIndex) + entry.payload.length);
    this.#entries.push(entry);
  }

  /** Removes every entry after `index`. */
  truncate(index: number): void {
    assert(index >= this.#baseIndex && index <= this.lastIndex, "truncation point lies inside the log");
    this.#entries.length = index - this.#baseIndex;
    this.#bytesUpTo.length = this.#entries.length;
    while (this.#runs.length > 0 && must(this.#runs[this.#runs.length - 1], "run").firstIndex > index) this.#runs.pop();
  }

  /** Forgets entries up to `index`, which becomes the base. */
  compact(index: number): void {
    assert(index >= this.#baseIndex && index <= this.lastIndex, "compaction point lies inside the log");
    const base = this.zxidAt(index);
    this.#bytesUpToBase = this.#bytesAt(index);
    this.#entries.splice(0, index - this.#baseIndex);
    this.#bytesUpTo.splice(0, index - this.#baseIndex);
    this.#base = base;
    this.#baseIndex = index;
    while (this.#runs.length > 0 && (this.#runs[1]?.firstIndex ?? this.lastIndex + 1) - 1 <= index) this.#runs.shift();
    const first = this.#runs[0];
    if (first !== undefined && first.firstIndex <= index) {
      first.firstCounter += index + 1 - first.firstIndex;
      first.firstIndex = index + 1;
    }
  }

  /** Forgets everything; the log continues after an installed snapshot. The new base gets an index above every earlier one. */
  reset(base: Zxid): void {
    this.#bytesUpToBase = this.#bytesAt(this.lastIndex);
    this.#baseIndex = this.lastIndex + 1;
    this.#base = base;
    this.#entries = [];
    this.#bytesUpTo = [];
    this.#runs = [];
  }

  /** Forgets everything after `index` and everything before it; indexes keep their meaning for entries that come back. */
  rewind(index: number): void {
    this.truncate(index);
    this.compact(index);
  }

  /** Entries with `after < index <= upTo`. */
  slice(after: number, upTo: number): readonly Entry[] {
    assert(after >= this.#baseIndex && upTo <= this.lastIndex, "slice lies inside the log");
    return this.#entries.slice(after - this.#baseIndex, upTo - this.#baseIndex);
  }

  /** Payload bytes of entries with `after < index <= upTo`. */
  bytesBetween(after: number, upTo: number): number {
    return upTo <= after ? 0 : this.#bytesAt(upTo) - this.#bytesAt(after);
  }

  /** The highest index such that entries after `after` fit into `bytes`; at least one entry when there is one. */
  cut(after: number, bytes: number): number {
    const limit = this.#bytesAt(after) + bytes;
    if (this.#bytesAt(this.lastIndex) <= limit) return this.lastIndex;
    let low = after;
    let high = this.lastIndex;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if (this.#bytesAt(middle) <= limit) low = middle;
      else high = middle;
    }
    return Math.max(low, Math.min(after + 1, this.lastIndex));
  }

  #bytesAt(index: number): number {
    if (index === this.#baseIndex) return this.#bytesUpToBase;
    return must(this.#bytesUpTo[index - this.#baseIndex - 1], `byte count at index ${index}`);
  }
}

/** True when `next` may directly follow `previous`: the next counter of the same epoch, or the first of a later one. */
export function isSuccessor(previous: Zxid, next: Zxid): boolean {
  if (next.epoch === previous.epoch) return next.counter === previous.counter + 1 && next.epoch > 0;
  return next.epoch > previous.epoch && next.counter === 1;
}

/** A log described from far away, as ACKEPOCH carries it. */
export interface RemoteLog {
  readonly base: Zxid;
  readonly last: Zxid;
  readonly lineage: readonly Zxid[];
}

/** Where two logs part: the index of the last shared entry, `below` when that lies under this window, `foreign` when nothing is shared. */
export function commonPrefix(history: History, remote: RemoteLog): number | "below" | "foreign" {
  for (let i = remote.lineage.length - 1; i >= 0; i--) {
    const theirs = must(remote.lineage[i], "lineage run");
    const ours = history.lastCounterIn(theirs.epoch);
    if (ours === undefined) continue;
    const shared = zxid(theirs.epoch, Math.min(ours, theirs.counter));
    // The highest epoch both know decides: sharing an entry means sharing all before it, so no lower epoch can hold a later one.
    if (compareZxid(shared, remote.base) < 0) return "foreign";
    return history.indexOf(shared) ?? "below";
  }
  const index = history.indexOf(remote.base);
  if (index !== undefined) return index;
  return compareZxid(remote.base, history.base) < 0 ? "below" : "foreign";
}
