/**
 * Rows of finished outcomes in pages: where a row is kept, which rows are free, and which pages differ from what was stored last.
 *
 * Decides nothing about what a row means or how it is found. A page that has lost its last row is given back, and its number is the first
 * to be used again, so that a burst of transactions costs its memory only until it is forgotten.
 */
import { assert, must } from "../base/index.js";
import type { Shape } from "./shape-table.js";

// A row: uuid (4 words), zxid epoch, zxid counter low and high, stamp low and high, shape, next and previous row of the bucket.
export const ROW_WORDS = 12;
export const W_EPOCH = 4;
export const W_COUNTER_LOW = 5;
export const W_COUNTER_HIGH = 6;
export const W_STAMP_LOW = 7;
export const W_STAMP_HIGH = 8;
export const W_SHAPE = 9;
/** Of a free row: the next free one of its page, + 1; 0 ends the chain. */
export const W_NEXT = 10;
export const W_PREVIOUS = 11;
/**
 * 48 KiB a page. Larger ones load no faster; smaller ones are written less often for the sake of one row. A checkpoint of 10,000 new
 * outcomes writes ten pages and a half one more.
 */
const PAGE_BITS = 10;
export const PAGE_ROWS = 1 << PAGE_BITS;
const FREE = 0xffff_ffff;
/** Words of a stored row: all but the two links, which a load makes anew. */
export const STORED_WORDS = 10;

/** One page in its stored form. */
export interface OutcomePage {
  /** From 0. */
  readonly page: number;
  /** STORED_WORDS words for each row, the word W_SHAPE being a place in `shapes`. Empty: the page is no more. */
  readonly rows: Uint32Array;
  readonly shapes: readonly Shape[];
}

export class OutcomePages {
  /** undefined: given back, or never there. */
  readonly #pages: (Page | undefined)[] = [];
  /** Pages with a free row, the one to be filled next last. May name pages that are full or gone by now. */
  #open: number[] = [];
  /** Numbers of pages given back. */
  #absent: number[] = [];
  readonly #dirty = new Set<number>();

  of(row: number): Uint32Array {
    return (this.#pages[row >>> PAGE_BITS] as Page).words;
  }

  /** A row for a new outcome; its words are the caller's to fill. */
  take(): number {
    for (let number = this.#open.at(-1); number !== undefined; number = this.#open.at(-1)) {
      const page = this.#pages[number];
      if (page !== undefined && page.live < PAGE_ROWS) return this.#takeFrom(number, page);
      this.#open.pop();
      if (page !== undefined) page.open = false;
    }
    const number = this.#absent.pop() ?? this.#pages.length;
    const page = new Page();
    this.#pages[number] = page;
    this.#offer(number, page);
    return this.#takeFrom(number, page);
  }

  release(row: number): void {
    const number = row >>> PAGE_BITS;
    const page = must(this.#pages[number], "page of an outcome");
    const at = row & (PAGE_ROWS - 1);
    page.words[at * ROW_WORDS + W_SHAPE] = FREE;
    page.words[at * ROW_WORDS + W_NEXT] = page.free;
    page.free = at + 1;
    page.live--;
    this.#dirty.add(number);
    if (page.live === 0) {
      this.#pages[number] = undefined;
      this.#absent.push(number);
    } else this.#offer(number, page);
  }

  changed(row: number): void {
    this.#dirty.add(row >>> PAGE_BITS);
  }

  /** Changed pages as they are now, and none is changed any more. */
  takeChanges(shapeOf: (index: number) => Shape): OutcomePage[] {
    const out = Array.from(this.#dirty, (number) => stored(number, this.#pages[number], shapeOf));
    this.#dirty.clear();
    return out;
  }

  clean(): void {
    this.#dirty.clear();
  }

  /** Takes a stored page in; `shapeIndex` turns a place in its shapes into an index. The page's first row; the others follow it. */
  load(from: OutcomePage, shapeIndex: (shape: number) => number): number {
    const count = from.rows.length / STORED_WORDS;
    assert(Number.isInteger(count) && count > 0 && count <= PAGE_ROWS, () => `page ${from.page} of outcomes holds ${count} rows`);
    while (this.#pages.length <= from.page) {
      this.#absent.push(this.#pages.length);
      this.#pages.push(undefined);
    }
    assert(this.#pages[from.page] === undefined, () => `page ${from.page} of outcomes is there already`);
    const page = new Page();
    this.#pages[from.page] = page;
    this.#absent.splice(this.#absent.lastIndexOf(from.page), 1);
    for (let row = 0; row < count; row++) {
      const at = row * ROW_WORDS;
      const source = row * STORED_WORDS;
      for (let word = 0; word < STORED_WORDS; word++) page.words[at + word] = from.rows[source + word] as number;
      page.words[at + W_SHAPE] = shapeIndex(from.rows[source + W_SHAPE] as number);
    }
    page.live = page.used = count;
    if (count < PAGE_ROWS) this.#offer(from.page, page);
    return from.page << PAGE_BITS;
  }

  #takeFrom(number: number, page: Page): number {
    this.#dirty.add(number);
    page.live++;
    if (page.free === 0) return (number << PAGE_BITS) | page.used++;
    const at = page.free - 1;
    page.free = page.words[at * ROW_WORDS + W_NEXT] as number;
    return (number << PAGE_BITS) | at;
  }

  #offer(number: number, page: Page): void {
    if (page.open) return;
    page.open = true;
    this.#open.push(number);
  }
}

class Page {
  readonly words = new Uint32Array(PAGE_ROWS * ROW_WORDS);
  /** Rows that hold an outcome. */
  live = 0;
  /** Rows from here on were never used. */
  used = 0;
  /** Head of the chain of released rows, + 1; 0 when there is none. */
  free = 0;
  /** Named in the list of pages with a free row. */
  open = false;
}

function stored(number: number, page: Page | undefined, shapeOf: (index: number) => Shape): OutcomePage {
  if (page === undefined) return { page: number, rows: new Uint32Array(0), shapes: [] };
  const { words } = page;
  const rows = new Uint32Array(page.live * STORED_WORDS);
  const shapes: Shape[] = [];
  const places = new Map<number, number>();
  // Neighbours nearly always share their shape.
  let lastIndex = FREE;
  let lastPlace = 0;
  let to = 0;
  for (let at = 0; at < page.used * ROW_WORDS; at += ROW_WORDS) {
    const index = words[at + W_SHAPE] as number;
    if (index === FREE) continue;
    if (index !== lastIndex) {
      const place = places.get(index) ?? shapes.length;
      if (place === shapes.length) {
        places.set(index, place);
        shapes.push(shapeOf(index));
      }
      lastIndex = index;
      lastPlace = place;
    }
    for (let word = 0; word < STORED_WORDS; word++) rows[to + word] = words[at + word] as number;
    rows[to + W_SHAPE] = lastPlace;
    to += STORED_WORDS;
  }
  return { page: number, rows, shapes };
}
