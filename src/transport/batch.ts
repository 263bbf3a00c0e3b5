/**
 * Items that wait for one stream, cut into frames.
 */
import { must } from "../base/index.js";

export class Batch<T> {
  #items: T[] = [];
  #sizes: number[] = [];
  bytes = 0;

  get length(): number {
    return this.#items.length;
  }

  push(item: T, bytes: number): void {
    this.#items.push(item);
    this.#sizes.push(bytes);
    this.bytes += bytes;
  }

  clear(): void {
    this.#items = [];
    this.#sizes = [];
    this.bytes = 0;
  }

  /** Takes the oldest items of at most `bytesMax` together, or one. */
  take(bytesMax: number): readonly T[] {
    if (this.bytes <= bytesMax) {
      const all = this.#items;
      this.clear();
      return all;
    }
    let count = 0;
    let bytes = 0;
    for (; count < this.#items.length; count++) {
      const size = must(this.#sizes[count], "size of a waiting item");
      if (count > 0 && bytes + size > bytesMax) break;
      bytes += size;
    }
    this.bytes -= bytes;
    this.#sizes.splice(0, count);
    return this.#items.splice(0, count);
  }
}
