/**
 * One entry of the participant's log: everything that was submitted in one turn of the event loop.
 *
 *   1 | records u48 | sum u48 | epoch u48 | floor u48 | cluster: bytes u16, UTF-8 | writes u32 | the writes
 *   write:  key: bytes u16, UTF-8 | record: bytes u32 (0xffffffff: deleted), bytes
 *
 * Pure. `records` and `sum` are the digest of the whole store after the group: what a replay must arrive at. The log guards the entry
 * with a checksum of its own (docs/participants.md has the layout of both).
 */

import type { StoreKey } from "./store-key.js";

/** One record to write. */
export interface Write {
  readonly key: StoreKey;
  /** undefined: delete. */
  readonly record: Buffer | undefined;
  /** The fingerprint of the record it replaces or deletes; undefined: there is none. */
  readonly before: number | undefined;
}

/** What the store says of itself, in force from the group that carries it. */
export interface StoreState {
  /** Empty until the first start with a cluster. */
  readonly clusterId: string;
  /** Data records and branch rows, and the sum of their fingerprints modulo 2^48. */
  readonly records: number;
  readonly sum: number;
  /** The highest epoch a prepare carried. */
  readonly epoch: number;
  /** Gids whose own time is below this take no new work. */
  readonly floorMs: number;
}

/**
 * A group's bytes, and of each write PLACE_NUMBERS numbers: its offset, the CRC of its key, the fingerprint of what it replaces, and 1
 * or, if it replaces nothing, 0.
 */
export interface PackedGroup {
  readonly bytes: Buffer;
  readonly places: Uint32Array;
}

export const PLACE_NUMBERS = 4;

const VERSION = 1;
const DELETED = 0xffffffff;
const FIXED_BYTES = 1 + 4 * 6 + 2 + 4;
const WRITE_BYTES_MIN = 6;

/** What a write takes in a group. */
export function writeBytes({ key, record }: Write): number {
  return WRITE_BYTES_MIN + key.length + (record === undefined ? 0 : record.length);
}

/** `bytes`: the sum of {@link writeBytes}; `count`: of the writes. */
export function encodeGroup(state: StoreState, lists: readonly (readonly Write[])[], count: number, bytes: number): PackedGroup {
  const cluster = Buffer.byteLength(state.clusterId);
  const out = Buffer.allocUnsafe(FIXED_BYTES + cluster + bytes);
  const places = new Uint32Array(count * PLACE_NUMBERS);
  let at = out.writeUInt8(VERSION, 0);
  at = out.writeUIntLE(state.records, at, 6);
  at = out.writeUIntLE(state.sum, at, 6);
  at = out.writeUIntLE(state.epoch, at, 6);
  at = out.writeUIntLE(state.floorMs, at, 6);
  at = out.writeUInt16LE(cluster, at);
  out.write(state.clusterId, at, "utf8");
  at = out.writeUInt32LE(count, at + cluster);
  let place = 0;
  for (const writes of lists) {
    for (const { key, record, before } of writes) {
      places[place++] = at;
      places[place++] = key.crc;
      places[place++] = before ?? 0;
      places[place++] = before === undefined ? 0 : 1;
      at = out.writeUInt16LE(key.length, at);
      for (let i = 0; i < key.length; i++) out[at + i] = key.bytes[key.start + i] as number;
      at += key.length;
      at = out.writeUInt32LE(record === undefined ? DELETED : record.length, at);
      if (record === undefined) continue;
      out.set(record, at);
      at += record.length;
    }
  }
  return { bytes: out, places };
}

/** UTF-8 bytes of the key of the write at `offset`; the key itself begins two bytes later. */
export function keyBytesAt(bytes: Buffer, offset: number): number {
  return (bytes[offset] as number) | ((bytes[offset + 1] as number) << 8);
}

/** Bytes of the record of the write at `offset`; undefined: it deletes. */
export function recordBytesAt(bytes: Buffer, offset: number): number | undefined {
  const length = bytes.readUInt32LE(offset + 2 + keyBytesAt(bytes, offset));
  return length === DELETED ? undefined : length;
}

export function recordStart(bytes: Buffer, offset: number): number {
  return offset + WRITE_BYTES_MIN + keyBytesAt(bytes, offset);
}

/** Reads the state and finds the writes. undefined: these bytes are not a group of this version. */
export function decodeGroup(
  payload: Uint8Array,
): { readonly bytes: Buffer; readonly state: StoreState; readonly offsets: readonly number[] } | undefined {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  if (bytes.length < FIXED_BYTES || bytes[0] !== VERSION) return undefined;
  const [records, sum, epoch, floorMs] = [1, 7, 13, 19].map((at) => bytes.readUIntLE(at, 6)) as [number, number, number, number];
  let at = 27 + bytes.readUInt16LE(25);
  if (at + 4 > bytes.length) return undefined;
  const clusterId = bytes.toString("utf8", 27, at);
  const count = bytes.readUInt32LE(at);
  at += 4;
  const offsets: number[] = [];
  for (let i = 0; i < count; i++) {
    if (at + WRITE_BYTES_MIN > bytes.length || recordStart(bytes, at) > bytes.length) return undefined;
    offsets.push(at);
    at = recordStart(bytes, at) + (recordBytesAt(bytes, at) ?? 0);
  }
  return at === bytes.length ? { bytes, state: { clusterId, records, sum, epoch, floorMs }, offsets } : undefined;
}
