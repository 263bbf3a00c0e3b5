/**
 * The store under the key-value participant: LevelDB for the records, the promise file beside it, one group commit over both.
 *
 * Durability: whenever the previous group is synced, everything queued is written to LevelDB as one synced, atomic batch, together
 * with a head that counts the groups and carries a digest of every record in the store; then the promise file gets the same numbers
 * and is synced; then the waiters of the group are told. While the promise file syncs, LevelDB already writes the next group.
 *
 * Decides: what is durable. Does not decide whether a store may open (open-store.ts) nor what a record means (branch-table.ts).
 */
import type { Level } from "level";
import { assert, messageOf, QuorateError } from "../../base/index.js";
import { damagedRecord, openFiles, promiseOf, SUM_MODULUS } from "./open-store.js";
import type { Promised, PromiseFile } from "./promise-file.js";
import { encodeHead, fingerprintOf, HEAD_KEY, isIntact, type Head } from "./record.js";

/** One record to write. `before` is the fingerprint of the record it replaces or deletes; undefined: there is none. */
export interface Write {
  readonly key: string;
  /** undefined: delete. */
  readonly record: Buffer | undefined;
  readonly before: number | undefined;
}

/** Whoever submitted writes. Exactly one of the two is called. */
export interface Waiter {
  durable(): void;
  /** The writes may or may not be durable; the store takes no more. */
  failed(error: QuorateError): void;
}

interface Submission {
  readonly writes: readonly Write[];
  readonly waiter: Waiter;
}

/** Submissions in one group. Bounds a batch; a group this large already costs a small fraction of a sync per record. */
const GROUP_MAX = 2048;

export interface StoreOptions {
  readonly dir: string;
  readonly participant: string;
  /** Told once, when a read or write fails; from then on every submission fails. */
  readonly onFailure: (error: QuorateError) => void;
}

export class KvStore {
  readonly #level: Level<string, Buffer>;
  readonly #promises: PromiseFile;
  readonly #onFailure: (error: QuorateError) => void;
  #head: Head;
  #queue: Submission[] = [];
  /** Durable in LevelDB, not yet in the promise file. */
  #written: Submission[] = [];
  /** What the promise file is to say next. */
  #latest: Promised | undefined;
  #writing = false;
  #promising = false;
  #failure: QuorateError | undefined;
  #idle: (() => void)[] = [];

  private constructor(level: Level<string, Buffer>, promises: PromiseFile, head: Head, onFailure: (error: QuorateError) => void) {
    this.#level = level;
    this.#promises = promises;
    this.#head = head;
    this.#onFailure = onFailure;
  }

  /**
   * Opens or makes the store and checks all of it; `visit` sees every record once, in key order. Rejects with QUORATE_DATA_FOLDER
   * when the folder is in use, belongs to another participant, or lost something it had promised.
   */
  static async open(options: StoreOptions, visit: (key: string, record: Buffer) => void): Promise<KvStore> {
    const { level, promises, head } = await openFiles(options.dir, options.participant, visit);
    return new KvStore(level, promises, head, options.onFailure);
  }

  get head(): Head {
    return this.#head;
  }

  /** The record of a key, as far as it is durable in LevelDB. Throws when the store has failed, or when the record is damaged: then it fails. */
  read(key: string): Buffer | undefined {
    // After a failure nothing is answered from what may be in memory only.
    if (this.#failure !== undefined) throw this.#failure;
    let record: Buffer | undefined;
    try {
      record = this.#level.getSync(key);
    } catch (error) {
      throw this.#fail(error);
    }
    if (record === undefined || isIntact(key, record)) return record;
    throw this.#fail(new Error(damagedRecord(key)));
  }

  /** Records of [gte, lt) in key order. Every one is checked. */
  async *range(gte: string, lt: string, limit: number): AsyncGenerator<readonly [string, Buffer]> {
    const entries = this.#level.iterator({ gte, lt, limit });
    try {
      for (;;) {
        const entry = await entries.next().catch((error: unknown) => {
          throw this.#fail(error);
        });
        if (entry === undefined) return;
        if (!isIntact(entry[0], entry[1])) throw this.#fail(new Error(damagedRecord(entry[0])));
        yield entry;
      }
    } finally {
      await entries.close();
    }
  }

  /** Changes of the head that are durable with the next group. */
  amend(change: Partial<Pick<Head, "clusterId" | "epoch" | "floorMs">>): void {
    this.#head = { ...this.#head, ...change };
  }

  /** Queues writes; they become durable together, after everything submitted earlier. */
  submit(writes: readonly Write[], waiter: Waiter): void {
    if (this.#failure !== undefined) return waiter.failed(this.#failure);
    this.#queue.push({ writes, waiter });
    if (this.#writing) return;
    this.#writing = true;
    // One turn of the event loop is one group, however many calls it brings.
    setImmediate(() => void this.#writeGroups());
  }

  /** Writes and syncs what is queued, then closes. */
  async close(): Promise<void> {
    if (this.#writing || this.#promising) await new Promise<void>((resolve) => this.#idle.push(resolve));
    this.#failure ??= new QuorateError("QUORATE_CLOSED", "the key-value store is closed");
    await this.#promises.close();
    await this.#level.close();
  }

  async #writeGroups(): Promise<void> {
    while (this.#queue.length > 0 && this.#failure === undefined) {
      const group = this.#queue.length <= GROUP_MAX ? this.#queue : this.#queue.slice(0, GROUP_MAX);
      this.#queue = group === this.#queue ? [] : this.#queue.slice(GROUP_MAX);
      let { records, sum } = this.#head;
      const batch = this.#level.batch();
      for (const { writes } of group) {
        for (const { key, record, before } of writes) {
          if (before !== undefined) sum -= before;
          if (record === undefined) {
            batch.del(key);
            records -= before === undefined ? 0 : 1;
          } else {
            batch.put(key, record);
            sum += fingerprintOf(record);
            records += before === undefined ? 1 : 0;
          }
        }
      }
      assert(records >= 0, "the store cannot hold fewer than no records");
      // Sums of at most a group's records stay far below 2^53 between two reductions.
      sum = ((sum % SUM_MODULUS) + SUM_MODULUS) % SUM_MODULUS;
      this.#head = { ...this.#head, sequence: this.#head.sequence + 1, records, sum };
      const promised = promiseOf(this.#head);
      batch.put(HEAD_KEY, encodeHead(this.#head));
      try {
        await batch.write({ sync: true });
      } catch (error) {
        fail(group, this.#fail(error));
        break;
      }
      // The promise file may have failed meanwhile: nobody would come for this group.
      if (this.#failure !== undefined) {
        fail(group, this.#failure);
        break;
      }
      for (const submission of group) this.#written.push(submission);
      this.#latest = promised;
      if (!this.#promising) {
        this.#promising = true;
        void this.#promiseGroups();
      }
    }
    this.#writing = false;
    this.#settleIdle();
  }

  async #promiseGroups(): Promise<void> {
    while (this.#written.length > 0 && this.#failure === undefined) {
      const group = this.#written;
      this.#written = [];
      try {
        await this.#promises.write(this.#latest as Promised);
      } catch (error) {
        fail(group, this.#fail(error));
        break;
      }
      for (const { waiter } of group) waiter.durable();
    }
    this.#promising = false;
    this.#settleIdle();
  }

  #settleIdle(): void {
    if (this.#writing || this.#promising) return;
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  /**
   * No write is tried again after a failed one: the kernel may have dropped the dirty pages and report success the next time
   * ("fsyncgate", 2018). What is durable is found out by opening the store anew.
   */
  #fail(error: unknown): QuorateError {
    if (this.#failure !== undefined) return this.#failure;
    this.#failure = new QuorateError("QUORATE_PARTICIPANT", `the key-value store stopped: ${messageOf(error)}; restart the participant`, {
      cause: error,
      retry: "safe",
    });
    this.#onFailure(this.#failure);
    fail(this.#written, this.#failure);
    fail(this.#queue, this.#failure);
    this.#written = [];
    this.#queue = [];
    return this.#failure;
  }
}

function fail(group: readonly Submission[], error: QuorateError): void {
  for (const { waiter } of group) waiter.failed(error);
}
