/**
 * The replicated state on disk: its layout in LevelDB, its witness, and the checks of a load.
 *
 *   "!meta"                 sequence, generation, applied zxid, count and digest of the generation's keys
 *   "<generation>/<key>"    u32 stamp | value
 *
 * LevelDB replaces a batch or a value silently when a bit flips (a flipped bit in its log loses every later synced batch of that
 * block). So: each value carries a stamp that binds it to its key, the meta record carries count and digest of all of them, and
 * the witness, a file of our own written after each batch, carries the sequence number that LevelDB must have reached. A state that fails any
 * of these is lost as a whole: it is set aside, and rebuilt from the log if the log is complete, else from a leader.
 */
import { rename, rm } from "node:fs/promises";
import { Level } from "level";
import { crc32c, formatZxid, messageOf, QuorateError, ZXID_ZERO } from "../base/index.js";
import type { Zxid } from "../base/index.js";
import { settled } from "./disk.js";
import type { Disk } from "./disk.js";
import { levelCode } from "./folder-lock.js";
import { PackedEntries } from "./packed-entries.js";
import { SlotFile } from "./slot-file.js";
import type { SlotShape } from "./slot-file.js";
import { StateIndex } from "./state-index.js";
import { setUnreadableTablesAside } from "./table-check.js";

export type StateDb = Level<string, Uint8Array>;

export interface StateMeta {
  /** Grows by one with each atomic change of the state. */
  readonly sequence: number;
  readonly generation: number;
  readonly applied: Zxid;
  /** The last change was an installed snapshot: the log may not hold `applied` yet. */
  readonly installed: boolean;
  readonly count: number;
  readonly digest: string;
}

export const DAMAGED_SUFFIX = ".damaged";
export const STAMP_BYTES = 4;
export const META_KEY = "!meta";
const META_SEED = 0x6d657461;
const WITNESS_SHAPE: SlotShape = { copies: 1, copyBytes: 512 };
/** Entries and bytes fetched from LevelDB at a time: some milliseconds of work between two turns of the loop. */
export const PAGE_ENTRIES = 2048;
const PAGE_BYTES = 512 * 1024;

export function keyPrefix(generation: number): string {
  return `${generation.toString(36).padStart(8, "0")}/`;
}

/** The range of keys of one generation. "0" is the character after "/". */
export function keyRange(generation: number): { readonly gte: string; readonly lt: string } {
  const prefix = keyPrefix(generation);
  return { gte: prefix, lt: `${prefix.slice(0, -1)}0` };
}

/** Stamp and value in one piece of memory, taken from `scratch` when it fits: LevelDB's batch copies what it is given. */
export function stampedValue(stamp: number, value: Uint8Array, scratch: Buffer): Uint8Array {
  const length = STAMP_BYTES + value.length;
  const target = length <= scratch.length ? scratch : Buffer.allocUnsafe(length);
  target.writeUInt32LE(stamp, 0);
  target.set(value, STAMP_BYTES);
  return target.subarray(0, length);
}

export function encodeMeta(meta: StateMeta): Uint8Array {
  const text = Buffer.from(JSON.stringify(meta));
  return stampedValue(crc32c(text, 0, text.length, META_SEED), text, Buffer.alloc(0));
}

function decodeMeta(bytes: Uint8Array): StateMeta | undefined {
  if (bytes.length < STAMP_BYTES || readStamp(bytes) !== crc32c(bytes, STAMP_BYTES, bytes.length, META_SEED)) return undefined;
  return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset + STAMP_BYTES, bytes.length - STAMP_BYTES).toString()) as StateMeta;
}

export function readStamp(bytes: Uint8Array): number {
  return ((bytes[0] ?? 0) | ((bytes[1] ?? 0) << 8) | ((bytes[2] ?? 0) << 16) | ((bytes[3] ?? 0) << 24)) >>> 0;
}

export function encodeWitness({ sequence, applied, count, digest }: StateMeta): string {
  return JSON.stringify({ sequence, applied, count, digest });
}

/** Makes an empty state whose sequence is `sequence`. */
export async function createState(folder: string, witnessPath: string, disk: Disk, sequence: number): Promise<void> {
  const meta: StateMeta = { sequence, generation: 1, applied: ZXID_ZERO, installed: false, count: 0, digest: new StateIndex().digest };
  const db = newDb(folder);
  await db.open({ createIfMissing: true, errorIfExists: true });
  await db.put(META_KEY, encodeMeta(meta), { sync: true });
  await db.close();
  const opened = await SlotFile.open(witnessPath, disk, WITNESS_SHAPE).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
  });
  const witness = opened?.file ?? (await SlotFile.create(witnessPath, disk, WITNESS_SHAPE, encodeWitness(meta)));
  await settled((done) => witness.write(encodeWitness(meta), done));
  await witness.close();
}

/** Replaces a state that cannot be trusted by an empty one. The old folder is kept, as the last of its kind, for inspection. */
export async function setStateAside(folder: string, witnessPath: string, disk: Disk, lastSequence: number): Promise<void> {
  await rm(`${folder}${DAMAGED_SUFFIX}`, { recursive: true, force: true });
  await rename(folder, `${folder}${DAMAGED_SUFFIX}`).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
  });
  await createState(folder, witnessPath, disk, lastSequence + 1);
}

export interface LoadedState {
  readonly kind: "loaded";
  readonly db: StateDb;
  readonly witness: SlotFile;
  readonly meta: StateMeta;
  readonly index: StateIndex;
  readonly entries: PackedEntries;
  readonly findings: readonly string[];
}

export interface LostState {
  readonly kind: "lost";
  readonly findings: readonly string[];
  /** The highest sequence number known to have been written. */
  readonly sequence: number;
}

/** Opens and verifies the whole state. */
export async function loadState(folder: string, witnessPath: string, disk: Disk): Promise<LoadedState | LostState> {
  const opened = await SlotFile.open(witnessPath, disk, WITNESS_SHAPE).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
  });
  const promised = opened?.content.text === undefined ? undefined : (JSON.parse(opened.content.text) as StateMeta);
  const findings = [...(opened?.content.findings ?? [`${witnessPath}: the state's witness is missing`])];
  const lost = async (finding: string, db?: StateDb): Promise<LostState> => {
    await db?.close();
    await opened?.file.close();
    return { kind: "lost", findings: [...findings, `${folder}: ${finding}`], sequence: promised?.sequence ?? 0 };
  };

  findings.push(...(await setUnreadableTablesAside(folder)));
  const db = newDb(folder);
  try {
    await db.open({ createIfMissing: false });
  } catch (error) {
    refuseUnusable(folder, error);
    return lost(`the state cannot be opened: ${causeText(error)}`);
  }
  try {
    const bytes = await db.get(META_KEY);
    const meta = (bytes as Uint8Array | undefined) === undefined ? undefined : decodeMeta(bytes);
    if (meta === undefined) return await lost("the state's meta record is missing or fails its checksum", db);
    if (promised !== undefined && meta.sequence < promised.sequence) {
      return await lost(`the state was written up to ${formatZxid(promised.applied)}, but reads as of ${formatZxid(meta.applied)}`, db);
    }
    const { index, entries, problem } = await loadGeneration(db, meta.generation);
    if (problem !== undefined) return await lost(problem, db);
    if (index.count !== meta.count || index.digest !== meta.digest) {
      return await lost(
        `the state as of ${formatZxid(meta.applied)} should hold ${meta.count} keys (digest ${meta.digest}), but reads ${index.count} (digest ${index.digest})`,
        db,
      );
    }
    const witness = opened?.file ?? (await SlotFile.create(witnessPath, disk, WITNESS_SHAPE, encodeWitness(meta)));
    if (opened === undefined || opened.content.findings.length > 0) await witness.rewrite(encodeWitness(meta));
    return { kind: "loaded", db, witness, meta, index, entries, findings };
  } catch (error) {
    if (levelCode(error) === undefined) throw error;
    return lost(`the state cannot be read: ${causeText(error)}`, db);
  }
}

/** Reads every key of a generation, verifying stamps. `problem` names the first value that fails. */
export async function loadGeneration(
  db: StateDb,
  generation: number,
): Promise<{ readonly index: StateIndex; readonly entries: PackedEntries; readonly problem: string | undefined }> {
  const index = new StateIndex();
  const entries = new PackedEntries();
  const skip = keyPrefix(generation).length;
  const iterator = db.iterator({ ...keyRange(generation), highWaterMarkBytes: PAGE_BYTES });
  try {
    for (;;) {
      const page = await iterator.nextv(PAGE_ENTRIES);
      if (page.length === 0) return { index, entries, problem: undefined };
      for (const [fullKey, bytes] of page) {
        const key = fullKey.slice(skip);
        const value = bytes.subarray(STAMP_BYTES);
        if (bytes.length < STAMP_BYTES || index.set(key, value) !== readStamp(bytes)) {
          return { index, entries, problem: `the value of key ${JSON.stringify(key)} fails its checksum` };
        }
        entries.add(key, value);
      }
    }
  } finally {
    await iterator.close();
  }
}

function newDb(folder: string): StateDb {
  // Why not compression: the table check (table-check.ts) has to read index blocks, and the values are small and mostly ids.
  return new Level<string, Uint8Array>(folder, { keyEncoding: "utf8", valueEncoding: "view", compression: false });
}

/** What an operator must mend is not damage: wiping the state would not help. */
function refuseUnusable(folder: string, error: unknown): void {
  const text = causeText(error);
  if (levelCode(error) !== "LEVEL_LOCKED" && !/Permission denied|Too many open files|No space left|Read-only/.test(text)) return;
  throw new QuorateError("QUORATE_DATA_FOLDER", `the state in ${folder} cannot be opened: ${text}. Mend that and start the node again.`, {
    cause: error,
  });
}

/** LevelDB's own words, which the binding puts into the cause. */
function causeText(error: unknown): string {
  let at = error;
  while (at instanceof Error && at.cause !== undefined) at = at.cause;
  return messageOf(at);
}
