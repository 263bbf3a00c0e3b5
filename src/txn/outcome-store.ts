/**
 * Finished outcomes, packed.
 *
 * They are the bulk of the state: every gid keeps one until FORGET, so a node holds an hour of them. As objects one costs about
 * 400 bytes and is marked by every collection; here it is a row of twelve 32-bit words outside the heap (outcome-pages.ts) plus a hash
 * slot, about 56 bytes (test/bench/txn-apply.mjs measures it). Growth is in small steps: a page of rows, or one of 256 hash segments,
 * so that no insertion stalls the loop.
 *
 * Rows are also chained by the gid's own time in buckets of 1024 ms, oldest first, which is the order FORGET needs. They are stored page
 * by page, not gid by gid: a start has to read and verify all of them before the node may vote, and a million keys take seconds.
 */
import { must } from "../base/index.js";
import type { Gid } from "../base/index.js";
import {
  OutcomePages,
  PAGE_ROWS,
  ROW_WORDS,
  STORED_WORDS,
  W_COUNTER_HIGH,
  W_COUNTER_LOW,
  W_EPOCH,
  W_NEXT,
  W_PREVIOUS,
  W_SHAPE,
  W_STAMP_HIGH,
  W_STAMP_LOW,
  type OutcomePage,
} from "./outcome-pages.js";
import { ShapeTable } from "./shape-table.js";
import { BUCKET_MS, bucketOf, BucketOrder } from "./time-buckets.js";
import type { FinishedOutcome } from "./transaction.js";

const SEGMENTS = 256;
const SEGMENT_SLOTS_MIN = 16;
const TWO_32 = 0x1_0000_0000;
const UUID_DIGITS = 32;

/** The uuid of the gid looked at last, as four words. Module scratch: every use is inside one synchronous call. */
const uuid = new Uint32Array(4);

/** Fills `uuid` from the last 32 characters of a gid; false when they are not hex digits. */
function parseUuid(gid: string): boolean {
  let at = gid.length - UUID_DIGITS;
  if (at < 0) return false;
  let seen = 0;
  for (let word = 0; word < 4; word++) {
    let value = 0;
    for (let i = 0; i < 8; i++) {
      const code = gid.charCodeAt(at++);
      const digit = code < 58 ? code - 48 : code - 87;
      seen |= digit | (code > 58 && code < 97 ? -1 : 0);
      value = (value << 4) | (digit & 15);
    }
    uuid[word] = value;
  }
  return (seen & ~15) === 0;
}

function hashUuid(a: number, b: number, c: number, d: number): number {
  let h = Math.imul(a ^ Math.imul(b, 0x85ebca6b), 0x9e3779b1) ^ Math.imul(c ^ (d >>> 15), 0xc2b2ae35);
  h = Math.imul(h ^ (h >>> 16) ^ d, 0x27d4eb2f);
  h = Math.imul(h ^ (h >>> 15), 0x165667b1);
  return (h ^ (h >>> 13)) >>> 0;
}

const HEX8 = (value: number): string => value.toString(16).padStart(8, "0");

export class OutcomeStore {
  #pages = new OutcomePages();
  #size = 0;
  #segments: Uint32Array[] = [];
  #segmentSizes = new Uint32Array(SEGMENTS);
  #shapes = new ShapeTable();
  /** First row (+ 1) of each bucket. */
  #buckets = new Map<number, number>();
  /** Keys of `#buckets`. */
  readonly #order = new BucketOrder();
  #lastGroup = "";

  constructor() {
    this.clear();
  }

  get size(): number {
    return this.#size;
  }

  clear(): void {
    this.#pages = new OutcomePages();
    this.#size = 0;
    this.#segments = Array.from({ length: SEGMENTS }, () => new Uint32Array(SEGMENT_SLOTS_MIN));
    this.#segmentSizes = new Uint32Array(SEGMENTS);
    this.#shapes = new ShapeTable();
    this.#buckets = new Map();
    this.#order.clear();
  }

  /** No outcome's gid has a time below this; exact to a bucket. Infinity when there is none. */
  get oldestMs(): number {
    return this.#order.oldestMs;
  }

  get(gid: Gid): FinishedOutcome | undefined {
    const row = this.#find(gid);
    return row < 0 ? undefined : this.#materialize(row, gid);
  }

  has(gid: Gid): boolean {
    return this.#find(gid) >= 0;
  }

  /** Adds an outcome, or replaces the one of this gid. The gid is well formed. */
  set(outcome: FinishedOutcome): void {
    const found = this.#find(outcome.gid);
    const group = this.#groupOf(outcome.gid);
    const shape = this.#shapes.intern(group, outcome);
    const row = found >= 0 ? found : this.#pages.take();
    const page = this.#page(row);
    const at = (row & (PAGE_ROWS - 1)) * ROW_WORDS;
    if (found >= 0) {
      this.#shapes.release(page[at + W_SHAPE] as number);
      this.#pages.changed(row);
    }
    page[at + W_EPOCH] = outcome.zxid.epoch;
    page[at + W_COUNTER_LOW] = outcome.zxid.counter;
    page[at + W_COUNTER_HIGH] = Math.floor(outcome.zxid.counter / TWO_32);
    page[at + W_STAMP_LOW] = outcome.stampMs;
    page[at + W_STAMP_HIGH] = Math.floor(outcome.stampMs / TWO_32);
    page[at + W_SHAPE] = shape;
    if (found >= 0) return;
    page.set(uuid, at);
    this.#size++;
    this.#link(row, page, at);
    this.#index(row);
  }

  remove(gid: Gid): boolean {
    const row = this.#find(gid);
    if (row < 0) return false;
    const page = this.#page(row);
    const at = (row & (PAGE_ROWS - 1)) * ROW_WORDS;
    this.#unindex(row);
    this.#unlink(page, at);
    this.#shapes.release(page[at + W_SHAPE] as number);
    this.#pages.release(row);
    this.#size--;
    return true;
  }

  /** Pages that changed since the last call, each copied as it is now. */
  takeChanges(): OutcomePage[] {
    return this.#pages.takeChanges((index) => this.#shapes.get(index));
  }

  /** Nothing is a change any more. */
  clean(): void {
    this.#pages.clean();
  }

  /** A stored page: each page once, and none of its gids is here already. */
  load(page: OutcomePage): void {
    const indexes = page.shapes.map((shape) => this.#shapes.internShape(shape));
    const used = new Uint32Array(page.shapes.length);
    const first = this.#pages.load(page, (shape) => {
      used[shape] = (used[shape] as number) + 1;
      return must(indexes[shape], "shape of a stored outcome");
    });
    const count = page.rows.length / STORED_WORDS;
    for (let row = first; row < first + count; row++) {
      this.#link(row, this.#page(row), (row & (PAGE_ROWS - 1)) * ROW_WORDS);
      this.#index(row);
    }
    this.#size += count;
    indexes.forEach((index, i) => this.#shapes.retain(index, used[i] as number));
  }

  /** Gids whose own time is below `timeMs`, oldest bucket first, at most `limit`. */
  olderThan(timeMs: number, limit: number): Gid[] {
    const out: Gid[] = [];
    for (let i = 0; i < this.#order.size && out.length < limit; i++) {
      const bucket = this.#order.at(i);
      if (bucket * BUCKET_MS >= timeMs) break;
      for (let next = this.#buckets.get(bucket) ?? 0; next !== 0 && out.length < limit; next = this.#word(next - 1, W_NEXT)) {
        if (this.#timeMs(next - 1) < timeMs) out.push(this.#gid(next - 1));
      }
    }
    return out;
  }

  /** Newest gid time first, at most `limit`. The same on every replica. */
  newest(limit: number): FinishedOutcome[] {
    const out: FinishedOutcome[] = [];
    for (let i = this.#order.size - 1; i >= 0 && out.length < limit; i--) {
      const bucket: Gid[] = [];
      for (let next = this.#buckets.get(this.#order.at(i)) ?? 0; next !== 0; next = this.#word(next - 1, W_NEXT)) {
        bucket.push(this.#gid(next - 1));
      }
      bucket.sort((a, b) => (uuidOf(a) < uuidOf(b) ? 1 : uuidOf(a) > uuidOf(b) ? -1 : a < b ? 1 : -1));
      for (const gid of bucket) {
        const outcome = out.length < limit ? this.get(gid) : undefined;
        if (outcome !== undefined) out.push(outcome);
      }
    }
    return out;
  }

  #page(row: number): Uint32Array {
    return this.#pages.of(row);
  }

  #word(row: number, word: number): number {
    return this.#page(row)[(row & (PAGE_ROWS - 1)) * ROW_WORDS + word] as number;
  }

  #timeMs(row: number): number {
    return this.#word(row, 0) * 0x1_0000 + (this.#word(row, 1) >>> 16);
  }

  #gid(row: number): Gid {
    const page = this.#page(row);
    const at = (row & (PAGE_ROWS - 1)) * ROW_WORDS;
    const group = this.#shapes.get(page[at + W_SHAPE] as number).group;
    return `${group}-${HEX8(page[at] as number)}${HEX8(page[at + 1] as number)}${HEX8(page[at + 2] as number)}${HEX8(page[at + 3] as number)}` as Gid;
  }

  #groupOf(gid: Gid): string {
    const length = gid.length - UUID_DIGITS - 1;
    if (length !== this.#lastGroup.length || !gid.startsWith(this.#lastGroup)) this.#lastGroup = gid.slice(0, length);
    return this.#lastGroup;
  }

  #materialize(row: number, gid: Gid): FinishedOutcome {
    const page = this.#page(row);
    const at = (row & (PAGE_ROWS - 1)) * ROW_WORDS;
    const shape = this.#shapes.get(page[at + W_SHAPE] as number);
    const counter = (page[at + W_COUNTER_HIGH] as number) * TWO_32 + (page[at + W_COUNTER_LOW] as number);
    return {
      gid,
      decision: shape.decision,
      reason: shape.reason,
      zxid: { epoch: page[at + W_EPOCH] as number, counter },
      stampMs: (page[at + W_STAMP_HIGH] as number) * TWO_32 + (page[at + W_STAMP_LOW] as number),
      branches: shape.branches,
    };
  }

  // Hash: open addressing with linear probing in each segment; a slot holds row + 1, 0 is empty.

  #hashOf(row: number): number {
    const page = this.#page(row);
    const at = (row & (PAGE_ROWS - 1)) * ROW_WORDS;
    return hashUuid(page[at] as number, page[at + 1] as number, page[at + 2] as number, page[at + 3] as number);
  }

  /** The row of a gid, or -1. Leaves the gid's uuid in the scratch. */
  #find(gid: Gid): number {
    if (!parseUuid(gid)) return -1;
    const a = uuid[0] as number;
    const b = uuid[1] as number;
    const c = uuid[2] as number;
    const d = uuid[3] as number;
    const hash = hashUuid(a, b, c, d);
    const slots = this.#segments[hash & (SEGMENTS - 1)] as Uint32Array;
    const mask = slots.length - 1;
    for (let i = (hash >>> 8) & mask; ; i = (i + 1) & mask) {
      const slot = slots[i] as number;
      if (slot === 0) return -1;
      const row = slot - 1;
      const page = this.#page(row);
      const at = (row & (PAGE_ROWS - 1)) * ROW_WORDS;
      if (page[at + 3] !== d || page[at + 2] !== c || page[at + 1] !== b || page[at] !== a) continue;
      const group = this.#shapes.get(page[at + W_SHAPE] as number).group;
      if (gid.length === group.length + UUID_DIGITS + 1 && gid.startsWith(group) && gid.charCodeAt(group.length) === 45) return row;
    }
  }

  #index(row: number): void {
    const hash = this.#hashOf(row);
    const segment = hash & (SEGMENTS - 1);
    const size = (this.#segmentSizes[segment] as number) + 1;
    this.#segmentSizes[segment] = size;
    let slots = this.#segments[segment] as Uint32Array;
    if (size * 4 > slots.length * 3) {
      const grown = new Uint32Array(slots.length * 2);
      for (const slot of slots) if (slot !== 0) place(grown, this.#hashOf(slot - 1), slot);
      this.#segments[segment] = grown;
      slots = grown;
    }
    place(slots, hash, row + 1);
  }

  /** Removes a row's slot and moves the rest of its run up, so that no run is broken by a gap. */
  #unindex(row: number): void {
    const hash = this.#hashOf(row);
    const segment = hash & (SEGMENTS - 1);
    const slots = this.#segments[segment] as Uint32Array;
    const mask = slots.length - 1;
    let hole = (hash >>> 8) & mask;
    while (slots[hole] !== row + 1) hole = (hole + 1) & mask;
    for (let i = (hole + 1) & mask; slots[i] !== 0; i = (i + 1) & mask) {
      const home = (this.#hashOf((slots[i] as number) - 1) >>> 8) & mask;
      if (((i - home) & mask) >= ((i - hole) & mask)) {
        slots[hole] = slots[i] as number;
        hole = i;
      }
    }
    slots[hole] = 0;
    this.#segmentSizes[segment] = (this.#segmentSizes[segment] as number) - 1;
  }

  // Time buckets.

  #link(row: number, page: Uint32Array, at: number): void {
    const bucket = bucketOf(this.#timeMs(row));
    const head = this.#buckets.get(bucket);
    if (head === undefined) this.#order.add(bucket);
    page[at + W_NEXT] = head ?? 0;
    page[at + W_PREVIOUS] = 0;
    if (head !== undefined) this.#page(head - 1)[((head - 1) & (PAGE_ROWS - 1)) * ROW_WORDS + W_PREVIOUS] = row + 1;
    this.#buckets.set(bucket, row + 1);
  }

  #unlink(page: Uint32Array, at: number): void {
    const next = page[at + W_NEXT] as number;
    const previous = page[at + W_PREVIOUS] as number;
    if (next !== 0) this.#page(next - 1)[((next - 1) & (PAGE_ROWS - 1)) * ROW_WORDS + W_PREVIOUS] = previous;
    if (previous !== 0) {
      this.#page(previous - 1)[((previous - 1) & (PAGE_ROWS - 1)) * ROW_WORDS + W_NEXT] = next;
      return;
    }
    const bucket = bucketOf((page[at] as number) * 0x1_0000 + ((page[at + 1] as number) >>> 16));
    if (next !== 0) {
      this.#buckets.set(bucket, next);
      return;
    }
    this.#buckets.delete(bucket);
    this.#order.remove(bucket);
  }
}

function place(slots: Uint32Array, hash: number, slot: number): void {
  const mask = slots.length - 1;
  let i = (hash >>> 8) & mask;
  while (slots[i] !== 0) i = (i + 1) & mask;
  slots[i] = slot;
}

function uuidOf(gid: Gid): string {
  return gid.slice(-UUID_DIGITS);
}
