/**
 * A drive's write cache, for power cuts without a machine to cut off: what a file holds beyond its last sync.
 *
 * While it holds, written bytes stay in this process until their file is synced, and changed names until their folder is; so kill -9,
 * which leaves the kernel's page cache alive, loses here what a power cut would. As in a real cache some of it reaches the disk early:
 * each 512-byte sector by a throw of a coin, names only in their order, as a journaling file system keeps them. A cut thereby leaves
 * torn and reordered writes. A failed sync drops what it should have written, and the next one succeeds (the trap of Rebello et al.,
 * ATC'20).
 *
 * Fault tests only; the product's own disk never holds anything back.
 */
const SECTOR_BYTES = 512;

export interface HeldWrite {
  readonly bytes: Uint8Array;
  readonly position: number;
}

export class HeldFile {
  #writes: HeldWrite[] = [];

  get empty(): boolean {
    return this.#writes.length === 0;
  }

  /** Keeps a copy; returns the parts of it that reach the disk now all the same. `coin` true: this sector does. */
  hold(bytes: Uint8Array, position: number, coin: () => boolean): readonly HeldWrite[] {
    const kept = { bytes: Uint8Array.from(bytes), position };
    this.#writes.push(kept);
    return sectorsOf(kept).filter(coin);
  }

  /** Everything held, oldest first; it is held no longer. */
  take(): readonly HeldWrite[] {
    const writes = this.#writes;
    this.#writes = [];
    return writes;
  }
}

/** Cut at the boundaries of the file's sectors: a drive writes a sector whole or not at all. */
export function sectorsOf({ bytes, position }: HeldWrite): readonly HeldWrite[] {
  const parts: HeldWrite[] = [];
  for (let from = 0; from < bytes.length;) {
    const end = Math.min(bytes.length, from + SECTOR_BYTES - ((position + from) % SECTOR_BYTES));
    parts.push({ bytes: bytes.subarray(from, end), position: position + from });
    from = end;
  }
  return parts;
}
