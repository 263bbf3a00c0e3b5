/**
 * What the log made durable and LevelDB does not hold yet: the newest record of each key that changed since the last checkpoint.
 *
 * Two generations: `dirty` takes what becomes durable now; `frozen` is what a checkpoint is writing to LevelDB. A reader looks in the
 * first, the second, then in LevelDB. Every entry knows the fingerprint of the record that it will replace in LevelDB, so that the
 * digest over LevelDB can be kept without reading it: of a key that changes many times between two checkpoints the first one counts.
 */
import { crc32c } from "../../base/index.js";
import type { PackedGroup } from "./group.js";
import { PackedWrites, type PackedWrite } from "./packed-writes.js";
import type { StoreKey } from "./store-key.js";

/** The newest change of one key; `record` undefined: it is deleted. */
export interface Change {
  readonly key: Buffer;
  readonly record: Buffer | undefined;
}

export class Overlay {
  #dirty = new PackedWrites();
  #frozen = new PackedWrites();

  /** Keys changed since the last checkpoint began. */
  get dirty(): number {
    return this.#dirty.count;
  }

  /** The newest record of the key. null: it is deleted; undefined: LevelDB has it as it is. */
  get({ bytes, start, length, crc }: StoreKey): Buffer | null | undefined {
    const found = this.#dirty.get(bytes, start, length, crc);
    return found === undefined ? this.#frozen.get(bytes, start, length, crc) : found;
  }

  apply(group: PackedGroup): void {
    this.#dirty.add(group);
  }

  /** Begins a checkpoint: everything so far, to be written to LevelDB. One at a time. */
  freeze(): PackedWrites {
    this.#frozen = this.#dirty;
    // As many are to be expected the next time.
    this.#dirty = new PackedWrites(this.#frozen.count);
    return this.#frozen;
  }

  /** LevelDB holds durably what was frozen. */
  thaw(): void {
    this.#frozen = new PackedWrites();
  }

  /** Every change, when no checkpoint runs. */
  changes(): Iterable<PackedWrite> {
    return this.#dirty;
  }

  /** The newest change of each key of [gte, lt), in key order. */
  range(gte: Buffer, lt: Buffer): Change[] {
    const found: Change[] = [];
    const within = (key: Buffer): boolean => compareBytes(key, gte) >= 0 && compareBytes(key, lt) < 0;
    for (const change of this.#dirty) if (within(change.key)) found.push(change);
    for (const change of this.#frozen) {
      const { key } = change;
      if (within(key) && this.#dirty.get(key, 0, key.length, crc32c(key)) === undefined) found.push(change);
    }
    return found.sort((a, b) => Buffer.compare(a.key, b.key));
  }
}

/** As Buffer.compare, without a call for keys that differ early. */
function compareBytes(a: Buffer, b: Buffer): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const difference = (a[i] as number) - (b[i] as number);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}
