/**
 * Virtual time: a heap of things to do, in order of time and then of arrival.
 */
import { assert } from "../../../src/base/index.js";

/** A seed takes some ten thousand steps. */
const RUNS_MAX = 2_000_000;

interface Item {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

export class Schedule {
  nowMs = 0;
  #order = 0;
  #runs = 0;
  readonly #heap: Item[] = [];

  at(atMs: number, run: () => void): void {
    const heap = this.#heap;
    heap.push({ atMs: Math.max(atMs, this.nowMs), order: this.#order++, run });
    let i = heap.length - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (before(heap[parent] as Item, heap[i] as Item)) break;
      [heap[parent], heap[i]] = [heap[i] as Item, heap[parent] as Item];
      i = parent;
    }
  }

  after(delayMs: number, run: () => void): void {
    this.at(this.nowMs + delayMs, run);
  }

  /** Runs everything up to `untilMs`. */
  runUntil(untilMs: number): void {
    for (let top = this.#heap[0]; top !== undefined && top.atMs <= untilMs; top = this.#heap[0]) {
      this.#pop();
      this.nowMs = top.atMs;
      // Messages that breed messages never let virtual time move on.
      assert(++this.#runs < RUNS_MAX, "the cluster does not drown in its own messages");
      top.run();
    }
    this.nowMs = untilMs;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as Item;
    if (heap.length === 0) return;
    heap[0] = last;
    for (let i = 0; ;) {
      const left = 2 * i + 1;
      if (left >= heap.length) return;
      const right = left + 1;
      const child = right < heap.length && before(heap[right] as Item, heap[left] as Item) ? right : left;
      if (before(heap[i] as Item, heap[child] as Item)) return;
      [heap[i], heap[child]] = [heap[child] as Item, heap[i] as Item];
      i = child;
    }
  }
}

function before(a: Item, b: Item): boolean {
  return a.atMs !== b.atMs ? a.atMs < b.atMs : a.order < b.order;
}
