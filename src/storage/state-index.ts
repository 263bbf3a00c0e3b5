/**
 * A fingerprint of every key of the state, kept in memory: 12 bytes a key, about 20 with the table's slack.
 *
 * LevelDB can lose a written key, or bring an older value back, without an error. The count of keys and an order-free sum of their
 * fingerprints are stored with every checkpoint; to keep both up to date when a key is replaced or removed, the old fingerprint
 * must be known without reading the store. Keys are held as 64-bit hashes: two keys that collide (about 1 in 10^7 for a million
 * keys) would make a healthy state look damaged at the next start, never a damaged one healthy.
 *
 * 256 shards: a hash table that doubles all at once would stall the loop for tens of milliseconds with a million keys.
 */
import { crc32c } from "../base/index.js";

const SHARDS = 256;
const SLOTS_INITIAL = 16;

/** Count and digest of keys that are each given once, and the stamps of their values. */
export class StateDigest {
  protected keys = 0;
  #sumLow = 0;
  #sumHigh = 0;
  // The hash of the key at hand: two lanes, kept in fields so that hashing allocates nothing.
  protected low = 0;
  protected high = 0;

  get count(): number {
    return this.keys;
  }

  /** The sum over all keys, 16 hex digits. Independent of the order of the keys. */
  get digest(): string {
    return this.#sumHigh.toString(16).padStart(8, "0") + this.#sumLow.toString(16).padStart(8, "0");
  }

  /** Adds a key; returns its value's stamp: the checksum stored in front of the value, which also binds it to its key. */
  include(key: string, value: Uint8Array): number {
    const stamp = this.stamp(key, value);
    this.keys++;
    this.sum(stamp, 1);
    return stamp;
  }

  protected stamp(key: string, value: Uint8Array): number {
    this.hash(key);
    return crc32c(value, 0, value.length, this.low);
  }

  /** Adds or takes out the key last hashed, with this stamp. */
  protected sum(stamp: number, sign: 1 | -1): void {
    const low = mix(stamp ^ this.low);
    const high = mix(Math.imul(stamp, 0x9e3779b1) ^ this.high);
    this.#sumLow = (this.#sumLow + sign * low) >>> 0;
    this.#sumHigh = (this.#sumHigh + sign * high) >>> 0;
  }

  protected hash(key: string): void {
    let low = 0x811c9dc5;
    let high = 0x9747b28c;
    for (let i = 0; i < key.length; i++) {
      const unit = key.charCodeAt(i);
      low = Math.imul(low ^ unit, 0x01000193);
      high = Math.imul(high ^ unit, 0x5bd1e995);
      high ^= high >>> 15;
    }
    this.low = mix(low);
    // Zero marks an empty slot of the table.
    this.high = (mix(high) | 1) >>> 0;
  }
}

/** The digest of a state that changes: remembers every key's stamp. */
export class StateIndex extends StateDigest {
  readonly #shards = Array.from({ length: SHARDS }, () => new Shard());

  /** Adds a key or replaces its value; returns the value's stamp. */
  set(key: string, value: Uint8Array): number {
    const stamp = this.stamp(key, value);
    const old = this.#shard().set(this.low, this.high, stamp);
    if (old === undefined) this.keys++;
    else this.sum(old, -1);
    this.sum(stamp, 1);
    return stamp;
  }

  delete(key: string): void {
    this.hash(key);
    const old = this.#shard().delete(this.low, this.high);
    if (old === undefined) return;
    this.keys--;
    this.sum(old, -1);
  }

  #shard(): Shard {
    return this.#shards[this.high >>> 24] as Shard;
  }
}

/** murmur3's finalizer: every input bit reaches every output bit. */
function mix(value: number): number {
  let h = value;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** Open addressing with linear probing; a removal shifts the rest of its run back, so there are no tombstones. */
class Shard {
  #slots = new Uint32Array(SLOTS_INITIAL * 3);
  #mask = SLOTS_INITIAL - 1;
  #used = 0;

  /** The stamp replaced, if the key was there. */
  set(low: number, high: number, stamp: number): number | undefined {
    const slots = this.#slots;
    let at = low & this.#mask;
    for (;;) {
      const i = at * 3;
      if (slots[i + 1] === 0) break;
      if (slots[i + 1] === high && slots[i] === low) {
        const old = slots[i + 2];
        slots[i + 2] = stamp;
        return old;
      }
      at = (at + 1) & this.#mask;
    }
    slots[at * 3] = low;
    slots[at * 3 + 1] = high;
    slots[at * 3 + 2] = stamp;
    this.#used++;
    if (this.#used * 4 > (this.#mask + 1) * 3) this.#grow();
    return undefined;
  }

  delete(low: number, high: number): number | undefined {
    const slots = this.#slots;
    let at = low & this.#mask;
    for (;;) {
      const i = at * 3;
      if (slots[i + 1] === 0) return undefined;
      if (slots[i + 1] === high && slots[i] === low) break;
      at = (at + 1) & this.#mask;
    }
    const old = slots[at * 3 + 2];
    let hole = at;
    for (let next = (at + 1) & this.#mask; slots[next * 3 + 1] !== 0; next = (next + 1) & this.#mask) {
      const home = (slots[next * 3] as number) & this.#mask;
      // The entry may move back into the hole only if the hole lies between its home and its place, around the end of the table too.
      if (((next - home) & this.#mask) < ((next - hole) & this.#mask)) continue;
      slots.copyWithin(hole * 3, next * 3, next * 3 + 3);
      hole = next;
    }
    slots.fill(0, hole * 3, hole * 3 + 3);
    this.#used--;
    return old;
  }

  #grow(): void {
    const old = this.#slots;
    this.#mask = this.#mask * 2 + 1;
    this.#slots = new Uint32Array((this.#mask + 1) * 3);
    this.#used = 0;
    for (let i = 0; i < old.length; i += 3) {
      if (old[i + 1] !== 0) this.set(old[i] as number, old[i + 1] as number, old[i + 2] as number);
    }
  }
}
