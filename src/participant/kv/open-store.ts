/**
 * Opening a store: what must be there, and how a loss is noticed.
 *
 * At open every record is read: its own CRC, the digest against the head, the head against the promise file. LevelDB batches are
 * all or nothing, so a group that LevelDB lost leaves the head behind the promise file (a lost tail) or the digest off (a lost middle).
 * A store that fails this does not open.
 */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { Level } from "level";
import { messageOf, QuorateError } from "../../base/index.js";
import { makeFolder, syncFolder } from "./folder.js";
import { PromiseFile, type Promised } from "./promise-file.js";
import { decodeHead, encodeHead, fingerprintOf, HEAD_KEY, isIntact, type Head } from "./record.js";

const SCAN_SLICE = 1000;
/** Fingerprints are summed modulo this. */
export const SUM_MODULUS = 2 ** 48;

export interface OpenedFiles {
  readonly level: Level<string, Buffer>;
  readonly promises: PromiseFile;
  readonly head: Head;
}

/** See KvStore.open. */
export async function openFiles(dir: string, participant: string, visit: (key: string, record: Buffer) => void): Promise<OpenedFiles> {
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
    return { level, promises, head };
  } catch (error) {
    await promises?.close();
    await level.close();
    const { code } = error as { readonly code?: unknown };
    if (typeof code === "string" && code.startsWith("LEVEL_")) throw damaged(dir, `LevelDB cannot read it: ${messageOf(error)}`, error);
    throw error;
  }
}

/** What the promise file says of a store with this head. */
export function promiseOf(head: Head): Promised {
  return { storeId: head.storeId, sequence: head.sequence, records: head.records, sum: head.sum };
}

export function damagedRecord(key: string): string {
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
