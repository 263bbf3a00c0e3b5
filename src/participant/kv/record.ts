/**
 * Stored forms of the key-value participant: data records, branch rows and the head.
 *
 * Every record begins with a CRC-32C over its key and its body, so that a damaged or misplaced one is never taken for good. The CRC
 * is at the same time the record's fingerprint in the set digest (store.ts). Decides: layout. docs/participants.md shows it.
 *
 *   d:<key>                                  crc u32 | 1 int or 2 text | the integer in decimal, or the text, UTF-8
 *   b:<gid time, 12 hex>:<gid>/<branch>      crc u32 | state u8 | body of the state
 *   h                                        crc u32 | JSON
 */
import { crc32c, type Gid } from "../../base/index.js";
import type { BranchRef } from "../contract.js";
import type { KvValue } from "./operation.js";
import { StoreKey } from "./store-key.js";

export const DATA_PREFIX = "d:";
export const BRANCH_PREFIX = "b:";
export const HEAD_KEY = "h";

const CRC_BYTES = 4;

export function dataKey(key: string): string {
  return DATA_PREFIX + key;
}

/** Rows sort by the gid's own time, so what is below a floor is one range. */
export function branchKey(ref: BranchRef): string {
  // The UUID begins with the time as 12 hex digits.
  const time = ref.gid.indexOf("-") + 1;
  return `${BRANCH_PREFIX}${ref.gid.slice(time, time + 12)}:${ref.gid}/${ref.branch}`;
}

/** Every branch row of a gid below `timeMs` sorts below this. */
export function branchKeyFloor(timeMs: number): string {
  return BRANCH_PREFIX + timeMs.toString(16).padStart(12, "0");
}

export function parseBranchKey(storeKey: string): BranchRef {
  const slash = storeKey.indexOf("/");
  return { gid: storeKey.slice(BRANCH_PREFIX.length + 13, slash) as Gid, branch: storeKey.slice(slash + 1) };
}

function seal(key: StoreKey, record: Buffer): Buffer {
  record.writeUInt32LE(crc32c(record, CRC_BYTES, record.length, key.crc), 0);
  return record;
}

/** The CRC that a stored record carries. */
export function fingerprintOf(record: Buffer): number {
  return record.readUInt32LE(0);
}

/** Whether the record carries the CRC of this key and its own body. */
export function isIntact(key: StoreKey, record: Buffer): boolean {
  return record.length > CRC_BYTES && fingerprintOf(record) === crc32c(record, CRC_BYTES, record.length, key.crc);
}

const INTEGER = 1;
const TEXT = 2;

export function encodeValue(key: StoreKey, value: KvValue): Buffer {
  const text = String(value);
  const record = Buffer.allocUnsafe(CRC_BYTES + 1 + (typeof value === "number" ? text.length : Buffer.byteLength(text)));
  record[CRC_BYTES] = typeof value === "number" ? INTEGER : TEXT;
  record.write(text, CRC_BYTES + 1, typeof value === "number" ? "latin1" : "utf8");
  return seal(key, record);
}

export function decodeValue(record: Buffer): KvValue {
  const text = record.toString("utf8", CRC_BYTES + 1);
  return record[CRC_BYTES] === INTEGER ? Number(text) : text;
}

/** What a branch read, and the fingerprint of each locked key's record when it voted (0: no record): the branch's read versions. */
export interface PreparedRow {
  readonly state: "prepared";
  readonly epoch: number;
  readonly payload: Uint8Array;
  readonly reads: readonly (KvValue | null)[];
  readonly versions: readonly number[];
}

export interface OutcomeRow {
  readonly state: "committed" | "rolled-back";
  readonly reads: readonly (KvValue | null)[];
}

const PREPARED = 1;
const COMMITTED = 2;
const ROLLED_BACK = 3;

/** state | epoch u48 | versions: count u16, u32 each | reads: bytes u32, JSON | payload */
export function encodePrepared(key: StoreKey, row: Omit<PreparedRow, "state">): Buffer {
  const reads = readsText(row.reads);
  const readsBytes = reads === "" ? 0 : Buffer.byteLength(reads);
  const record = Buffer.allocUnsafe(CRC_BYTES + 1 + 6 + 2 + 4 * row.versions.length + 4 + readsBytes + row.payload.length);
  let at = record.writeUInt8(PREPARED, CRC_BYTES);
  at = record.writeUIntLE(row.epoch, at, 6);
  at = record.writeUInt16LE(row.versions.length, at);
  for (const version of row.versions) at = record.writeUInt32LE(version, at);
  at = record.writeUInt32LE(readsBytes, at);
  if (readsBytes > 0) at += record.write(reads, at, "utf8");
  record.set(row.payload, at);
  return seal(key, record);
}

export function encodeOutcome(key: StoreKey, row: OutcomeRow): Buffer {
  const reads = readsText(row.reads);
  const record = Buffer.allocUnsafe(CRC_BYTES + 1 + (reads === "" ? 0 : Buffer.byteLength(reads)));
  record[CRC_BYTES] = row.state === "committed" ? COMMITTED : ROLLED_BACK;
  if (reads !== "") record.write(reads, CRC_BYTES + 1, "utf8");
  return seal(key, record);
}

/** Whether an intact branch row is that of a branch without an outcome. */
export function isPrepared(record: Buffer): boolean {
  return record[CRC_BYTES] === PREPARED;
}

/** Reads an intact branch row. */
export function decodeRow(record: Buffer): PreparedRow | OutcomeRow {
  const state = record.readUInt8(CRC_BYTES);
  let at = CRC_BYTES + 1;
  if (state !== PREPARED)
    return { state: state === COMMITTED ? "committed" : "rolled-back", reads: parseReads(record.toString("utf8", at)) };
  const epoch = record.readUIntLE(at, 6);
  at += 6;
  const count = record.readUInt16LE(at);
  at += 2;
  const versions: number[] = [];
  for (let i = 0; i < count; i++, at += 4) versions.push(record.readUInt32LE(at));
  const readsBytes = record.readUInt32LE(at);
  at += 4;
  const reads = parseReads(record.toString("utf8", at, at + readsBytes));
  return { state: "prepared", epoch, versions, reads, payload: record.subarray(at + readsBytes) };
}

function readsText(reads: readonly (KvValue | null)[]): string {
  return reads.length === 0 ? "" : JSON.stringify(reads);
}

function parseReads(text: string): readonly (KvValue | null)[] {
  return text === "" ? [] : (JSON.parse(text) as (KvValue | null)[]);
}

/** Fingerprints are summed modulo this. */
export const SUM_MODULUS = 2 ** 48;

/** LevelDB's account of itself, part of every batch that is written to it. */
export interface Head {
  readonly format: 2;
  /** Random; the log carries the same, so that the two cannot come from different stores. */
  readonly storeId: string;
  readonly participant: string;
  /** Empty until the first start with a cluster. */
  readonly clusterId: string;
  /** The group up to which LevelDB is whole. Records of later ones may be there as well; the log has those groups. */
  readonly sequence: number;
  /** Data records and branch rows in LevelDB, and the sum of their fingerprints modulo 2^48. */
  readonly records: number;
  readonly sum: number;
  /** The highest epoch a prepare carried, as of `sequence`. */
  readonly epoch: number;
  /** Gids whose own time is below this take no new work, as of `sequence`. */
  readonly floorMs: number;
  /** The log was durable up to here. Absent until the log is made. */
  readonly log?: { readonly segment: number; readonly offset: number };
}

/** Of the head. */
export const HEAD = new StoreKey(HEAD_KEY);

export function encodeHead(head: Head): Buffer {
  const text = JSON.stringify(head);
  const record = Buffer.allocUnsafe(CRC_BYTES + Buffer.byteLength(text));
  record.write(text, CRC_BYTES, "utf8");
  return seal(HEAD, record);
}

/** Of whatever format: check it before anything else. */
export function decodeHead(record: Buffer): Omit<Head, "format"> & { readonly format: unknown } {
  return JSON.parse(record.toString("utf8", CRC_BYTES)) as Head;
}
