/**
 * A set of rows of whole numbers, each with its place in the order of adding.
 *
 * Rows are compared number by number, never by a hash alone: no collision can hide one. They lie in typed arrays, 4 bytes a
 * number, so that tens of millions fit where as many objects would not.
 */
const CHUNK_BITS = 16;
const CHUNK_ROWS = 1 << CHUNK_BITS;
const FIRST_SLOTS = 1 << 16;

export class Rows {
  readonly width: number;
  readonly #chunks: Int32Array[] = [];
  /** Open addressing: the place of a row plus one, or 0. */
  #slots = new Uint32Array(FIRST_SLOTS);
  #size = 0;

  constructor(width: number) {
    this.width = width;
  }

  get size(): number {
    return this.#size;
  }

  /** Its place; the complement of its place, which is negative, when it is new. Throws for a number that is not one of 32 bits. */
  add(row: ArrayLike<number>): number {
    if (this.#size * 2 >= this.#slots.length) this.#grow();
    const mask = this.#slots.length - 1;
    let slot = hashOf(row, 0, this.width) & mask;
    for (;;) {
      const place = (this.#slots[slot] ?? 0) - 1;
      if (place < 0) break;
      if (this.#holds(place, row)) return place;
      slot = (slot + 1) & mask;
    }
    // A larger number would be stored as another one, and two states be taken for one.
    for (let i = 0; i < this.width; i++) if (row[i] !== ((row[i] ?? NaN) | 0)) throw new RangeError(`${row[i]} in a row`);
    const place = this.#size++;
    this.#slots[slot] = place + 1;
    const offset = (place & (CHUNK_ROWS - 1)) * this.width;
    if (offset === 0) this.#chunks.push(new Int32Array(CHUNK_ROWS * this.width));
    this.#chunk(place).set(row, offset);
    return ~place;
  }

  at(place: number): number[] {
    const offset = (place & (CHUNK_ROWS - 1)) * this.width;
    return Array.from(this.#chunk(place).subarray(offset, offset + this.width));
  }

  #holds(place: number, row: ArrayLike<number>): boolean {
    const chunk = this.#chunk(place);
    const offset = (place & (CHUNK_ROWS - 1)) * this.width;
    for (let i = 0; i < this.width; i++) if (chunk[offset + i] !== row[i]) return false;
    return true;
  }

  #chunk(place: number): Int32Array {
    const chunk = this.#chunks[place >>> CHUNK_BITS];
    if (chunk === undefined) throw new RangeError(`no row at ${place}`);
    return chunk;
  }

  #grow(): void {
    const slots = new Uint32Array(this.#slots.length * 2);
    const mask = slots.length - 1;
    for (let place = 0; place < this.#size; place++) {
      const offset = (place & (CHUNK_ROWS - 1)) * this.width;
      let slot = hashOf(this.#chunk(place), offset, this.width) & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = place + 1;
    }
    this.#slots = slots;
  }
}

function hashOf(row: ArrayLike<number>, from: number, width: number): number {
  let hash = 0x9e3779b9;
  for (let i = from; i < from + width; i++) {
    hash = Math.imul(hash ^ (row[i] ?? 0), 0x85ebca6b);
    hash ^= hash >>> 15;
  }
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
