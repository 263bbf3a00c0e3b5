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
import type { Write } from "./overlay.js";
import { BRANCH_PREFIX, encodeHead, fingerprintOf, HEAD_KEY, SUM_MODULUS, type Head } from "./record.js";

/** Encoding a slice must not hold up the event loop. */
const SLICE_RECORDS = 512;
const SLICE_BYTES = 256 * 1024;

type Operation =
  { readonly type: "put"; readonly key: string; readonly value: Buffer } | { readonly type: "del"; readonly key: string };

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
  async write(changes: Iterable<Write>, next: Partial<Head>, proceed: () => boolean): Promise<void> {
    let operations: Operation[] = [];
    let bytes = 0;
    let { records, sum } = this.#head;
    const flush = async (more: Partial<Head>): Promise<void> => {
      const head: Head = { ...this.#head, ...more, records, sum };
      operations.push({ type: "put", key: HEAD_KEY, value: encodeHead(head) });
      await this.#level.batch(operations, { sync: true });
      this.#head = head;
      operations = [];
      bytes = 0;
    };
    for (const { key, record, before } of changes) {
      sum = (sum - (before ?? 0) + (record === undefined ? 0 : fingerprintOf(record)) + SUM_MODULUS) % SUM_MODULUS;
      records += (record === undefined ? 0 : 1) - (before === undefined ? 0 : 1);
      if (record === undefined) operations.push({ type: "del", key });
      else {
        operations.push({ type: "put", key, value: record });
        bytes += record.length;
        // Before the slice is written: a reader must not take a row that is arriving for one that is not there.
        if (key > this.#lastRow && key.startsWith(BRANCH_PREFIX)) this.#lastRow = key;
      }
      if (operations.length < SLICE_RECORDS && bytes < SLICE_BYTES) continue;
      await flush({});
      if (!proceed()) return;
    }
    await flush(next);
  }
}
