/**
 * Moves what the log made durable into LevelDB, so that the log can be cut in front.
 *
 * Written in slices, each one synced, atomic batch with a head that describes LevelDB exactly as it is after it; the group up to which
 * LevelDB is whole moves on with the last slice only. So a crash at any point leaves a LevelDB whose digest is right and from whose
 * group a replay of the log leads to the same store: it writes every key of the slices again.
 * Every slice is synced, not only the last: LevelDB changes its log file without syncing the one it leaves, and a power cut could
 * otherwise keep the last slice and lose one before it.
 */
import type { Level } from "level";
import type { PackedWrite } from "./packed-writes.js";
import { BRANCH_PREFIX, encodeHead, fingerprintOf, HEAD_KEY, SUM_MODULUS, type Head } from "./record.js";

/** Encoding a slice must not hold up the event loop. */
const SLICE_RECORDS = 512;
const SLICE_BYTES = 256 * 1024;

const BYTES = { keyEncoding: "buffer", valueEncoding: "buffer" } as const;
const ROW = BRANCH_PREFIX.charCodeAt(0);

export class Checkpoint {
  readonly #level: Level<string, Buffer>;
  /** Of LevelDB as it is. */
  #head: Head;
  /** No branch row in LevelDB sorts after this. */
  #lastRow: string;

  constructor(level: Level<string, Buffer>, head: Head, lastRow: string) {
    this.#level = level;
    this.#head = head;
    this.#lastRow = lastRow;
  }

  get head(): Head {
    return this.#head;
  }

  /** Whether LevelDB cannot have this branch row, known without asking it: new transactions are younger than what it holds. */
  lacks(rowKey: string): boolean {
    return rowKey > this.#lastRow;
  }

  /** `next`: what holds when all is written. `proceed` false ends it between two slices. */
  async write(changes: Iterable<PackedWrite>, next: Partial<Head>, proceed: () => boolean): Promise<void> {
    let batch = this.#level.batch();
    let bytes = 0;
    let { records, sum } = this.#head;
    const flush = async (more: Partial<Head>): Promise<void> => {
      const head: Head = { ...this.#head, ...more, records, sum };
      await batch.put(HEAD_KEY, encodeHead(head)).write({ sync: true });
      this.#head = head;
      batch = this.#level.batch();
      bytes = 0;
    };
    for (const { key, record, before } of changes) {
      sum = (sum - (before ?? 0) + (record === undefined ? 0 : fingerprintOf(record)) + SUM_MODULUS) % SUM_MODULUS;
      records += (record === undefined ? 0 : 1) - (before === undefined ? 0 : 1);
      if (record === undefined) batch.del(key, BYTES);
      else {
        batch.put(key, record, BYTES);
        bytes += record.length;
        // Before the slice is written: a reader must not take a row that is arriving for one that is not there.
        if (key[0] === ROW) this.#arriving(key.toString("latin1"));
      }
      if (batch.length < SLICE_RECORDS && bytes < SLICE_BYTES) continue;
      await flush({});
      if (!proceed()) return batch.close();
    }
    await flush(next);
    await batch.close();
  }

  #arriving(rowKey: string): void {
    if (rowKey > this.#lastRow) this.#lastRow = rowKey;
  }
}
