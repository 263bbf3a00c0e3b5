/**
 * The store under the key-value participant: LevelDB for the records, the promise file beside it, one group commit over both.
 *
 * Durability: whenever the previous group is synced, everything queued is written to LevelDB as one synced, atomic batch, together
 * with a head that counts the groups and carries a digest of every record in the store; then the promise file gets the same numbers
 * and is synced; then the waiters of the group are told. While the promise file syncs, LevelDB already writes the next group.
 *
 * At open every record is read: its own CRC, the digest against the head, the head against the promise file. LevelDB batches are
 * all or nothing, so a group that LevelDB lost leaves the head behind the promise file (a lost tail) or the digest off (a lost middle).
 * A store that fails this does not open.
 *
 * Decides: what is durable and what is missing. Does not decide what a record means.
 */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { Level } from "level";
import { assert, messageOf, QuorateError } from "../../base/index.js";
import { makeFolder, syncFolder } from "./folder.js";
import { PromiseFile, type Promised } from "./promise-file.js";
import { decodeHead, encodeHead, fingerprintOf, HEAD_KEY, isIntact, type Head } from "./record.js";

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
const SCAN_SLICE = 1000;
const SUM_MODULUS = 2 ** 48;

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
    const { dir, participant } = options;
    await makeFolder(dir);
    const level = new Level<string, Buffer>(join(dir, "level"), { keyEncoding: "utf8", valueEncoding: "buffer" });
    try {
      await level.open();
    } catch (error) {
      const cause = error instanceof Error ? (error.cause as { readonly code?: string; readonly message?: string } | undefined) : undefined;
      if (cause?.code === "LEVEL_LOCKED") throw damaged(dir, "it is in use by another process or another participant of this one", error);
      throw damaged(dir, `LevelDB cannot open it: ${cause?.message ?? messageOf(error)}`, error);
    }
    let promises: PromiseFile | undefined;
    try {
      const path = join(dir, "promise");
      const found = await PromiseFile.open(path);
      promises = found?.file;
      const head = await openHead(level, dir, participant, found);
      if (promises === undefined) {
        promises = await PromiseFile.create(path, promiseOf(head));
        await syncFolder(dir);
      }
      const counted = await verify(level, dir, visit);
      if (counted.records !== head.records || counted.sum !== head.sum)
        throw damaged(
          dir,
          `LevelDB lost or changed records without an error: the store's digest at group ${head.sequence} counts ${head.records} records, ` +
            `${counted.records} are here (sums ${head.sum} and ${counted.sum})`,
        );
      return new KvStore(level, promises, head, options.onFailure);
    } catch (error) {
      await promises?.close();
      await level.close();
      const { code } = error as { readonly code?: unknown };
      if (typeof code === "string" && code.startsWith("LEVEL_")) throw damaged(dir, `LevelDB cannot read it: ${messageOf(error)}`, error);
      throw error;
    }
  }

  get head(): Head {
    return this.#head;
  }

  /** The record of a key, as far as it is durable in LevelDB. Throws when it is damaged, and the store fails. */
  read(key: string): Buffer | undefined {
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

function promiseOf(head: Head): Promised {
  return { storeId: head.storeId, sequence: head.sequence, records: head.records, sum: head.sum };
}

function damagedRecord(key: string): string {
  return `the record of ${JSON.stringify(key)} is damaged: its checksum does not match`;
}

function damaged(dir: string, what: string, cause?: unknown): QuorateError {
  return new QuorateError("QUORATE_DATA_FOLDER", `key-value data folder ${dir}: ${what}`, { cause });
}

/**
 * Reads the head and holds it against the promise file, or makes the head of a new store. The head of a new store is durable before
 * its promise file exists, and the file before the first group: whatever else is found missing was lost.
 */
async function openHead(
  level: Level<string, Buffer>,
  dir: string,
  participant: string,
  found: { readonly promised: Promised | undefined } | undefined,
): Promise<Head> {
  const record = await level.get(HEAD_KEY);
  if (record === undefined) {
    if (found !== undefined) throw damaged(dir, `LevelDB lost its head, and ${found.promised?.sequence ?? "some"} groups were promised`);
    for await (const _ of level.keys({ limit: 1 })) throw damaged(dir, "LevelDB has records but lost the head that counts them");
    const storeId = randomBytes(16).toString("hex");
    const head: Head = { format: 1, storeId, participant, clusterId: "", sequence: 0, records: 0, sum: 0, epoch: 0, floorMs: 0 };
    await level.put(HEAD_KEY, encodeHead(head), { sync: true });
    return head;
  }
  if (!isIntact(HEAD_KEY, record)) throw damaged(dir, "the head is damaged: its checksum does not match");
  const head = decodeHead(record);
  if (head.format !== 1) throw damaged(dir, `it has format ${String(head.format)}; this version reads format 1`);
  if (head.participant !== participant) throw damaged(dir, `it belongs to participant "${head.participant}", not "${participant}"`);
  if (found === undefined && head.sequence > 0) throw damaged(dir, `the promise file is gone, and ${head.sequence} groups were written`);
  const problem = found === undefined ? undefined : promiseProblem(head, found.promised);
  if (problem !== undefined) throw damaged(dir, problem);
  return head;
}

function promiseProblem(head: Head, promised: Promised | undefined): string | undefined {
  if (promised === undefined) return "the promise file is damaged: neither of its slots is intact";
  if (promised.storeId !== head.storeId) return "the promise file belongs to another store than LevelDB's folder";
  if (promised.sequence > head.sequence)
    return `LevelDB lost synced writes without an error: ${promised.sequence} groups were promised, it has ${head.sequence}`;
  if (promised.sequence === head.sequence && (promised.records !== head.records || promised.sum !== head.sum))
    return `LevelDB and the promise file disagree on group ${head.sequence}`;
  return undefined;
}

/** Reads everything, checks each record, and counts. */
async function verify(
  level: Level<string, Buffer>,
  dir: string,
  visit: (key: string, record: Buffer) => void,
): Promise<{ readonly records: number; readonly sum: number }> {
  let records = 0;
  let sum = 0;
  const iterator = level.iterator();
  try {
    for (;;) {
      const entries = await iterator.nextv(SCAN_SLICE);
      if (entries.length === 0) return { records, sum };
      for (const [key, record] of entries) {
        if (key === HEAD_KEY) continue;
        if (!isIntact(key, record)) throw damaged(dir, damagedRecord(key));
        records++;
        sum = (sum + fingerprintOf(record)) % SUM_MODULUS;
        visit(key, record);
      }
    }
  } finally {
    await iterator.close();
  }
}
