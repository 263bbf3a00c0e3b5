/**
 * What the log made durable and LevelDB does not hold yet: the newest record of each key that changed since the last checkpoint.
 *
 * Two generations: `dirty` takes what becomes durable now; `frozen` is what a checkpoint is writing to LevelDB. A reader looks in the
 * first, the second, then in LevelDB. Every entry knows the fingerprint of the record that it will replace in LevelDB, so that the
 * digest over LevelDB can be kept without reading it: of a key that changes many times between two checkpoints the first one counts.
 */
/** One record to write. */
export interface Write {
  readonly key: string;
  /** undefined: delete. */
  readonly record: Buffer | undefined;
  /** The fingerprint of the record it replaces or deletes; undefined: there is none. */
  readonly before: number | undefined;
}

export class Overlay {
  #dirty = new Map<string, Write>();
  #frozen: ReadonlyMap<string, Write> = new Map();

  /** Keys changed since the last checkpoint began. */
  get dirty(): number {
    return this.#dirty.size;
  }

  /** Keys that are not in LevelDB as they should be. */
  get size(): number {
    return this.#dirty.size + this.#frozen.size;
  }

  /** The newest change of the key; undefined: LevelDB has it as it is. */
  get(key: string): Write | undefined {
    return this.#dirty.get(key) ?? this.#frozen.get(key);
  }

  apply(write: Write): void {
    const held = this.#dirty.get(write.key);
    if (held === undefined) this.#dirty.set(write.key, write);
    else if (write.record === undefined && held.before === undefined) this.#dirty.delete(write.key);
    else this.#dirty.set(write.key, { key: write.key, record: write.record, before: held.before });
  }

  /** Begins a checkpoint: everything so far, to be written to LevelDB. One at a time. */
  freeze(): ReadonlyMap<string, Write> {
    const frozen = this.#dirty;
    this.#frozen = frozen;
    this.#dirty = new Map();
    return frozen;
  }

  /** LevelDB holds durably what was frozen. */
  thaw(): void {
    this.#frozen = new Map();
  }

  changes(): Iterable<Write> {
    return this.#dirty.values();
  }

  /** The newest change of each key of [gte, lt), in key order. */
  range(gte: string, lt: string): Write[] {
    const found: Write[] = [];
    const within = (key: string): boolean => compareKeys(key, gte) >= 0 && compareKeys(key, lt) < 0;
    for (const write of this.#dirty.values()) if (within(write.key)) found.push(write);
    for (const write of this.#frozen.values()) if (!this.#dirty.has(write.key) && within(write.key)) found.push(write);
    return found.sort((a, b) => compareKeys(a.key, b.key));
  }
}

/** LevelDB's order, by the bytes of UTF-8: that of code points, which the code units of a string follow except around surrogates. */
export function compareKeys(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const [x, y] = [a.charCodeAt(i), b.charCodeAt(i)];
    if (x !== y) return rank(x) - rank(y);
  }
  return a.length - b.length;
}

/** Surrogates stand for code points above every other code unit. */
function rank(unit: number): number {
  return unit >= 0xd800 && unit < 0xe000 ? unit + 0x10000 : unit;
}
