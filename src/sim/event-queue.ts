/**
 * Pending events of the simulated world, by virtual time and then by order of scheduling: equal times never depend on chance.
 */
interface Scheduled {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

export class EventQueue {
  readonly #heap: Scheduled[] = [];
  #order = 0;

  get size(): number {
    return this.#heap.length;
  }

  /** Virtual time of the earliest event; Infinity when there is none. */
  nextAt(): number {
    return this.#heap[0]?.at ?? Infinity;
  }

  push(at: number, run: () => void): void {
    const heap = this.#heap;
    const item: Scheduled = { at, order: this.#order++, run };
    let i = heap.length;
    heap.push(item);
    while (i > 0) {
      const parent = (i - 1) >> 1;
      const above = heap[parent] as Scheduled;
      if (above.at < at || (above.at === at && above.order < item.order)) break;
      heap[i] = above;
      i = parent;
    }
    heap[i] = item;
  }

  pop(): Scheduled | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    const length = heap.length;
    let i = 0;
    for (;;) {
      const left = 2 * i + 1;
      if (left >= length) break;
      const right = left + 1;
      const l = heap[left] as Scheduled;
      const r = heap[right];
      const [child, smaller] = r !== undefined && before(r, l) ? [right, r] : [left, l];
      if (before(last, smaller)) break;
      heap[i] = smaller;
      i = child;
    }
    heap[i] = last;
    return first;
  }
}

function before(a: Scheduled, b: Scheduled): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
