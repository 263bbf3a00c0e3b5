/**
 * The writes of groups of the log, found by key: an index over the very bytes that went to the log.
 *
 * Open addressing in typed arrays. Outcome rows come by the thousand a second and stay until the next checkpoint; as objects of their own
 * they would keep the garbage collector busy with copying them, here it sees a few arrays.
 */
import { keyBytesAt, PLACE_NUMBERS, recordBytesAt, recordStart, type PackedGroup } from "./group.js";

/** See Write in group.ts. */
export interface PackedWrite {
  readonly key: Buffer;
  readonly record: Buffer | undefined;
  readonly before: number | undefined;
}

const CAPACITY_MIN = 1024;

export class PackedWrites {
  readonly #chunks: Buffer[] = [];
  /** Slots in use; of each: hash of the key, chunk + 1 (0: free), offset of the write in it. */
  #count = 0;
  #hashes: Uint32Array;
  #owners: Uint32Array;
  #offsets: Uint32Array;
  /** Fingerprint of the record that the first write of the key replaces, and whether there is one. */
  #befores: Uint32Array;
  #replaces: Uint8Array;

  constructor(expected = 0) {
    const capacity = capacityFor(expected);
    this.#hashes = new Uint32Array(capacity);
    this.#owners = new Uint32Array(capacity);
    this.#offsets = new Uint32Array(capacity);
    this.#befores = new Uint32Array(capacity);
    this.#replaces = new Uint8Array(capacity);
  }

  /** Different keys. */
  get count(): number {
    return this.#count;
  }

  /** A later write of a key takes the place of an earlier one, and keeps what that one replaces. */
  add({ bytes, places }: PackedGroup): void {
    const owner = this.#chunks.push(bytes);
    for (let i = 0; i < places.length; i += PLACE_NUMBERS) {
      const offset = places[i] as number;
      if ((this.#count + 1) * 2 > this.#owners.length) this.#grow();
      const length = keyBytesAt(bytes, offset);
      const start = offset + 2;
      const hash = places[i + 1] as number;
      const slot = this.#find(bytes, start, length, hash);
      if (this.#owners[slot] === 0) {
        this.#count++;
        this.#hashes[slot] = hash;
        this.#befores[slot] = places[i + 2] as number;
        this.#replaces[slot] = places[i + 3] as number;
      }
      this.#owners[slot] = owner;
      this.#offsets[slot] = offset;
    }
  }

  /** The newest record of the key bytes[start, start + length) with that CRC. null: deleted; undefined: not written here. */
  get(key: Uint8Array, start: number, length: number, hash: number): Buffer | null | undefined {
    if (this.#count === 0) return undefined;
    const slot = this.#find(key, start, length, hash);
    return this.#owners[slot] === 0 ? undefined : this.#record(slot);
  }

  /** The newest write of each key, in no order. What came and went again here is left out. */
  *[Symbol.iterator](): Generator<PackedWrite> {
    for (let slot = 0; slot < this.#owners.length; slot++) {
      const owner = this.#owners[slot] as number;
      if (owner === 0) continue;
      const chunk = this.#chunks[owner - 1] as Buffer;
      const start = (this.#offsets[slot] as number) + 2;
      const record = this.#record(slot) ?? undefined;
      const before = this.#replaces[slot] === 1 ? (this.#befores[slot] as number) : undefined;
      if (record === undefined && before === undefined) continue;
      yield { key: chunk.subarray(start, start + keyBytesAt(chunk, start - 2)), record, before };
    }
  }

  #record(slot: number): Buffer | null {
    const chunk = this.#chunks[(this.#owners[slot] as number) - 1] as Buffer;
    const offset = this.#offsets[slot] as number;
    const length = recordBytesAt(chunk, offset);
    if (length === undefined) return null;
    const start = recordStart(chunk, offset);
    return chunk.subarray(start, start + length);
  }

  /** The slot of a key, or the free one where it belongs. */
  #find(key: Uint8Array, start: number, length: number, hash: number): number {
    const mask = this.#owners.length - 1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const owner = this.#owners[slot] as number;
      if (owner === 0) return slot;
      if (this.#hashes[slot] === hash && this.#holds(owner, this.#offsets[slot] as number, key, start, length)) return slot;
    }
  }

  #holds(owner: number, offset: number, key: Uint8Array, start: number, length: number): boolean {
    const chunk = this.#chunks[owner - 1] as Buffer;
    if (keyBytesAt(chunk, offset) !== length) return false;
    for (let i = 0; i < length; i++) if (chunk[offset + 2 + i] !== key[start + i]) return false;
    return true;
  }

  #grow(): void {
    const larger = new PackedWrites(this.#owners.length);
    const mask = larger.#owners.length - 1;
    for (let from = 0; from < this.#owners.length; from++) {
      if (this.#owners[from] === 0) continue;
      let slot = (this.#hashes[from] as number) & mask;
      while (larger.#owners[slot] !== 0) slot = (slot + 1) & mask;
      larger.#hashes[slot] = this.#hashes[from] as number;
      larger.#owners[slot] = this.#owners[from] as number;
      larger.#offsets[slot] = this.#offsets[from] as number;
      larger.#befores[slot] = this.#befores[from] as number;
      larger.#replaces[slot] = this.#replaces[from] as number;
    }
    this.#hashes = larger.#hashes;
    this.#owners = larger.#owners;
    this.#offsets = larger.#offsets;
    this.#befores = larger.#befores;
    this.#replaces = larger.#replaces;
  }
}

/** Twice the keys at least, a power of two. */
function capacityFor(expected: number): number {
  let capacity = CAPACITY_MIN;
  while (capacity < expected * 2) capacity *= 2;
  return capacity;
}
