/**
 * Many small keys and values in few objects: what a start loads is read once, in order, and then let go.
 * A million separate buffers would cost several times the bytes they hold.
 */
import type { StateWrite } from "../replica/ports.js";

const SLAB_BYTES = 1024 * 1024;

export class PackedEntries implements Iterable<StateWrite> {
  readonly #keys: string[] = [];
  readonly #slabs: Uint8Array[] = [];
  /** Per entry: slab, start, length. */
  #places = new Uint32Array(3 * 1024);
  #used = 0;

  get length(): number {
    return this.#keys.length;
  }

  add(key: string, value: Uint8Array): void {
    const at = this.#keys.length * 3;
    if (at === this.#places.length) {
      const larger = new Uint32Array(at * 2);
      larger.set(this.#places);
      this.#places = larger;
    }
    if (this.#slabs.length === 0 || this.#used + value.length > SLAB_BYTES) {
      this.#slabs.push(new Uint8Array(Math.max(SLAB_BYTES, value.length)));
      this.#used = 0;
    }
    const slab = this.#slabs.length - 1;
    this.#slabs[slab]?.set(value, this.#used);
    this.#places[at] = slab;
    this.#places[at + 1] = this.#used;
    this.#places[at + 2] = value.length;
    this.#used += value.length;
    this.#keys.push(key);
  }

  *[Symbol.iterator](): Iterator<StateWrite> {
    for (let i = 0; i < this.#keys.length; i++) {
      const start = this.#places[i * 3 + 1] ?? 0;
      const value = this.#slabs[this.#places[i * 3] ?? 0]?.subarray(start, start + (this.#places[i * 3 + 2] ?? 0));
      yield { key: this.#keys[i] ?? "", value };
    }
  }
}
