/**
 * Opening a store: what must be there, how a loss is noticed, and how the newest state comes about.
 *
 * Every record of LevelDB is read: its own CRC, and the digest of all of them against the head, which is part of every batch. LevelDB
 * batches are all or nothing, so what LevelDB lost leaves the digest off (a lost middle) or the head old (a lost tail). Then the log is
 * replayed from the head's group; it must reach down to it and at least as far up as when the head was written, and what it leads to
 * must have the digest that its last group carries. A store that fails any of this does not open.
 */
import { randomBytes } from "node:crypto";
import { readdir, rm, unlink } from "node:fs/promises";
import { join } from "node:path";
import { Level } from "level";
import { messageOf, nodeId, QuorateError, zxid } from "../../base/index.js";
import {
  createLog,
  lockFolder,
  nodeDisk,
  noFailpoint,
  openLog,
  setUnreadableTablesAside,
  type FolderLock,
  type OpenedLog,
} from "../../storage/index.js";
import { makeFolder, syncFolder } from "./folder.js";
import { decodeGroup, keyBytesAt, PLACE_NUMBERS, recordBytesAt, recordStart, type StoreState } from "./group.js";
import { Overlay } from "./overlay.js";
import { promiseProblem, readPromise } from "./promise-v1.js";
import {
  BRANCH_PREFIX,
  decodeHead,
  encodeHead,
  fingerprintOf,
  HEAD,
  HEAD_KEY,
  isIntact,
  isPrepared,
  SUM_MODULUS,
  type Head,
} from "./record.js";
import { StoreKey } from "./store-key.js";

const SCAN_SLICE = 1000;
/** Of every group's id in the log; its counter is the group's number. */
export const LOG_EPOCH = 1;
const LEVEL_FOLDER = "level";
const LOG_FOLDER = "log";
const PROMISE_FILE = "promise";
/** Of what every error says about a folder. */
const PREFIX = "key-value data folder";

export interface OpenOptions {
  readonly dir: string;
  readonly participant: string;
  readonly logSegmentBytes: number;
  readonly onPersisted: (seq: number) => void;
  readonly onFatal: (error: Error) => void;
}

export interface OpenedFiles {
  readonly lock: FolderLock;
  readonly level: Level<string, Buffer>;
  readonly log: OpenedLog["writer"];
  readonly head: Head;
  /** No branch row in LevelDB sorts after this. */
  readonly lastRow: string;
  readonly overlay: Overlay;
  /** The last group of the log, and what it says of the store. */
  readonly sequence: number;
  readonly state: StoreState;
  /** Bytes of the log that LevelDB does not hold. */
  readonly replayedBytes: number;
  /** The row of every branch without an outcome, in key order. */
  readonly prepared: readonly (readonly [string, Buffer])[];
  /** What was noticed and does not matter, for people. */
  readonly findings: readonly string[];
}

/** See KvStore.open. */
export async function openFiles(options: OpenOptions): Promise<OpenedFiles> {
  await makeFolder(options.dir);
  const lock = await lockFolder(options.dir);
  try {
    return { lock, ...(await openLocked(options)) };
  } catch (error) {
    await lock.release();
    throw error;
  }
}

async function openLocked(options: OpenOptions): Promise<Omit<OpenedFiles, "lock">> {
  const { dir, participant } = options;
  // Before LevelDB opens them: it would take a damaged index for a true one, and records would not be found. Format 1 compressed.
  const unreadable = await setUnreadableTablesAside(join(dir, LEVEL_FOLDER), "pass");
  const level = await openLevel(dir, unreadable);
  let log: OpenedLog | undefined;
  try {
    const found = await findHead(level, dir, participant);
    const counted = await verify(level, dir);
    if (counted.records !== found.records || counted.sum !== found.sum)
      throw damaged(
        dir,
        `LevelDB lost or changed records without an error: its digest at group ${found.sequence} counts ${found.records} records, ` +
          `${counted.records} are here (sums ${found.sum} and ${counted.sum})`,
      );
    const head = await withLog(level, found, options);
    log = await openLogOf(head, options);
    const { writer, findings } = log;
    const { lastRow } = counted;
    return { level, log: writer, head, lastRow, findings: [...unreadable, ...findings], ...replay(level, log, head, counted, dir) };
  } catch (error) {
    await log?.writer.close();
    await level.close();
    const { code } = error as { readonly code?: unknown };
    if (typeof code === "string" && code.startsWith("LEVEL_")) throw damaged(dir, `LevelDB cannot read it: ${messageOf(error)}`, error);
    throw error;
  }
}

export function damagedRecord(key: string): string {
  return `the record of ${JSON.stringify(key)} is damaged: its checksum does not match`;
}

function damaged(dir: string, what: string, cause?: unknown): QuorateError {
  return new QuorateError("QUORATE_DATA_FOLDER", `${PREFIX} ${dir}: ${what}`, { cause });
}

async function openLevel(dir: string, unreadable: readonly string[]): Promise<Level<string, Buffer>> {
  // Why not compression: the check of tables has to read index blocks.
  const encodings = { keyEncoding: "utf8", valueEncoding: "buffer" } as const;
  const level = new Level<string, Buffer>(join(dir, LEVEL_FOLDER), { ...encodings, compression: false });
  try {
    await level.open();
    return level;
  } catch (error) {
    const cause = error instanceof Error ? (error.cause as { readonly code?: string; readonly message?: string } | undefined) : undefined;
    if (cause?.code === "LEVEL_LOCKED") throw damaged(dir, "it is in use by another process or another participant of this one", error);
    const why = unreadable.map((each) => `${each}, and was set aside; `).join("");
    throw damaged(dir, `${why}LevelDB cannot open it: ${cause?.message ?? messageOf(error)}`, error);
  }
}

/**
 * Reads the head, or makes that of a new store. A head of format 1 is held against its promise file and becomes one of format 2 without a
 * log. A new head is durable before the log exists, and says that the log does before anything is written to it: whatever else is found
 * missing was lost.
 */
async function findHead(level: Level<string, Buffer>, dir: string, participant: string): Promise<Head> {
  const promised = await readPromise(join(dir, PROMISE_FILE));
  const record = await level.get(HEAD_KEY);
  if (record === undefined) {
    if (promised !== undefined)
      throw damaged(dir, `LevelDB lost its head, and ${promised === "damaged" ? "some" : promised.sequence} groups were promised`);
    for await (const _ of level.keys({ limit: 1 })) throw damaged(dir, "LevelDB has records but lost the head that counts them");
    if (await logExists(dir)) throw damaged(dir, "LevelDB lost its head, and there is a log that belongs to it");
    const storeId = randomBytes(16).toString("hex");
    return { format: 2, storeId, participant, clusterId: "", sequence: 0, records: 0, sum: 0, epoch: 0, floorMs: 0 };
  }
  if (!isIntact(HEAD, record)) throw damaged(dir, "the head is damaged: its checksum does not match");
  const head = decodeHead(record);
  if (head.format !== 1 && head.format !== 2)
    throw damaged(
      dir,
      `it has format ${String(head.format)}; this version reads formats 1 and 2. Start it with the newer version that wrote it`,
    );
  if (head.participant !== participant) throw damaged(dir, `it belongs to participant "${head.participant}", not "${participant}"`);
  if (head.format === 2) return { ...head, format: 2 };
  const problem = promiseProblem(head, promised);
  if (problem !== undefined) throw damaged(dir, problem);
  return { ...head, format: 2 };
}

async function logExists(dir: string): Promise<boolean> {
  return (await readdir(join(dir, LOG_FOLDER)).catch(() => [])).length > 0;
}

/** The head of a store that has its log. Makes the log of a new store and of one of format 1. */
async function withLog(level: Level<string, Buffer>, found: Head, { dir, logSegmentBytes }: OpenOptions): Promise<Head> {
  let head = found;
  if (head.log === undefined) {
    // Without a log: whatever a crash left of an earlier try to make it holds nothing.
    await level.put(HEAD_KEY, encodeHead(head), { sync: true });
    const folder = join(dir, LOG_FOLDER);
    await rm(folder, { recursive: true, force: true });
    await createLog(folder, nodeDisk, identityOf(head), logSegmentBytes, zxid(LOG_EPOCH, head.sequence));
    await syncFolder(folder);
    await syncFolder(dir);
    head = { ...head, log: { segment: 1, offset: 0 } };
    await level.put(HEAD_KEY, encodeHead(head), { sync: true });
  }
  await unlink(join(dir, PROMISE_FILE)).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
  });
  return head;
}

function identityOf(head: Head): { readonly clusterId: string; readonly nodeId: ReturnType<typeof nodeId> } {
  return { clusterId: `key-value store ${head.storeId}`, nodeId: nodeId(1) };
}

async function openLogOf(head: Head, options: OpenOptions): Promise<OpenedLog> {
  const { dir, logSegmentBytes, onPersisted, onFatal } = options;
  return openLog({
    folder: join(dir, LOG_FOLDER),
    disk: nodeDisk,
    identity: identityOf(head),
    segmentBytes: logSegmentBytes,
    applied: zxid(LOG_EPOCH, head.sequence),
    installed: false,
    epochs: undefined,
    knownSynced: head.log ?? { segment: 0, offset: 0 },
    onDamage: (findings) => Promise.reject(damaged(dir, `the log is damaged or lost synced writes: ${findings.join("; ")}`)),
    failpoint: noFailpoint,
    onPersisted,
    onFatal,
  }).catch((error: unknown) => {
    if (error instanceof QuorateError && !error.message.startsWith(PREFIX))
      throw damaged(dir, `the log belongs to another store than LevelDB's folder, or to a newer version: ${error.message}`, error);
    throw error;
  });
}

interface Counted {
  readonly records: number;
  readonly sum: number;
  readonly lastRow: string;
  readonly prepared: Map<string, Buffer>;
}

/** Reads all of LevelDB, checks each record, counts, and keeps the rows of branches without an outcome. */
async function verify(level: Level<string, Buffer>, dir: string): Promise<Counted> {
  let records = 0;
  let sum = 0;
  let lastRow = BRANCH_PREFIX;
  const prepared = new Map<string, Buffer>();
  const iterator = level.iterator();
  try {
    for (;;) {
      const entries = await iterator.nextv(SCAN_SLICE);
      if (entries.length === 0) return { records, sum, lastRow, prepared };
      for (const [key, record] of entries) {
        if (key === HEAD_KEY) continue;
        if (!isIntact(new StoreKey(key), record)) throw damaged(dir, damagedRecord(key));
        records++;
        sum = (sum + fingerprintOf(record)) % SUM_MODULUS;
        if (!key.startsWith(BRANCH_PREFIX)) continue;
        lastRow = key;
        if (isPrepared(record)) prepared.set(key, record);
      }
    }
  } finally {
    await iterator.close();
  }
}

/** The groups after the head's, over what LevelDB holds. That may be newer in part: every key of the slices is written again. */
function replay(
  level: Level<string, Buffer>,
  log: OpenedLog,
  head: Head,
  { prepared }: Counted,
  dir: string,
): Pick<OpenedFiles, "overlay" | "sequence" | "state" | "replayedBytes" | "prepared"> {
  const overlay = new Overlay();
  let replayedBytes = 0;
  const { clusterId, epoch, floorMs } = head;
  let { records, sum, sequence } = head;
  let state: StoreState = { clusterId, records, sum, epoch, floorMs };
  for (const entry of log.entries) {
    if (entry.zxid.counter <= head.sequence) continue;
    const group = decodeGroup(entry.payload);
    if (entry.zxid.epoch !== LOG_EPOCH || entry.zxid.counter !== sequence + 1 || group === undefined)
      throw damaged(dir, `the log has something else where group ${sequence + 1} should be`);
    sequence++;
    state = group.state;
    replayedBytes += entry.payload.length;
    const { bytes, offsets } = group;
    const replaced = new Map<string, number | undefined>();
    const places = new Uint32Array(offsets.length * PLACE_NUMBERS);
    for (const [i, offset] of offsets.entries()) {
      const key = bytes.toString("utf8", offset + 2, offset + 2 + keyBytesAt(bytes, offset));
      const storeKey = new StoreKey(key);
      const start = recordStart(bytes, offset);
      const length = recordBytesAt(bytes, offset);
      const record = length === undefined ? undefined : bytes.subarray(start, start + length);
      if (record !== undefined && !isIntact(storeKey, record)) throw damaged(dir, `in group ${sequence} of the log ${damagedRecord(key)}`);
      // Of a key that an earlier group wrote, the overlay keeps what that one replaced.
      if (overlay.get(storeKey) === undefined && !replaced.has(key)) {
        const held = level.getSync(key);
        replaced.set(key, held === undefined ? undefined : fingerprintOf(held));
      }
      const before = replaced.get(key);
      places.set([offset, storeKey.crc, before ?? 0, before === undefined ? 0 : 1], i * PLACE_NUMBERS);
      if (!key.startsWith(BRANCH_PREFIX)) continue;
      if (record !== undefined && isPrepared(record)) prepared.set(key, record);
      else prepared.delete(key);
    }
    overlay.apply({ bytes, places });
  }
  for (const { record, before } of overlay.changes()) {
    sum = (sum - (before ?? 0) + (record === undefined ? 0 : fingerprintOf(record)) + SUM_MODULUS) % SUM_MODULUS;
    records += (record === undefined ? 0 : 1) - (before === undefined ? 0 : 1);
  }
  if (records !== state.records || sum !== state.sum)
    throw damaged(
      dir,
      `LevelDB at group ${head.sequence} and the log up to group ${sequence} do not belong together: ${state.records} records were promised, ` +
        `${records} came out (sums ${state.sum} and ${sum})`,
    );
  return { overlay, sequence, state, replayedBytes, prepared: [...prepared].sort(([a], [b]) => (a < b ? -1 : 1)) };
}
