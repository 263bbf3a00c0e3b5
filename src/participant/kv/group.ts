/**
 * One entry of the participant's log: everything that was submitted in one turn of the event loop.
 *
 *   1 | records u48 | sum u48 | epoch u48 | floor u48 | cluster: bytes u16, UTF-8 | writes u32 | the writes
 *   write:  key: bytes u16, UTF-8 | record: bytes u32 (0xffffffff: deleted), bytes
 *
 * Pure. `records` and `sum` are the digest of the whole store after the group: what a replay must arrive at. The log guards the entry
 * with a checksum of its own (docs/participants.md has the layout of both).
 */
import type { Write } from "./overlay.js";

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

export interface GroupWrite {
  readonly key: string;
  readonly record: Buffer | undefined;
}

const VERSION = 1;
const DELETED = 0xffffffff;
const FIXED_BYTES = 1 + 4 * 6 + 2 + 4;

/** More than a write takes in a group. */
export function writeBytesMax({ key, record }: Write): number {
  return 6 + key.length * 3 + (record === undefined ? 0 : record.length);
}

/** `bytes`: the sum of {@link writeBytesMax}. */
export function encodeGroup(state: StoreState, lists: readonly (readonly Write[])[], bytes: number): Buffer {
  const out = Buffer.allocUnsafe(FIXED_BYTES + state.clusterId.length * 3 + bytes);
  let at = out.writeUInt8(VERSION, 0);
  at = out.writeUIntLE(state.records, at, 6);
  at = out.writeUIntLE(state.sum, at, 6);
  at = out.writeUIntLE(state.epoch, at, 6);
  at = out.writeUIntLE(state.floorMs, at, 6);
  const cluster = out.write(state.clusterId, at + 2, "utf8");
  out.writeUInt16LE(cluster, at);
  at += 2 + cluster;
  const countAt = at;
  at += 4;
  let count = 0;
  for (const writes of lists) {
    count += writes.length;
    for (const { key, record } of writes) {
      const length = out.write(key, at + 2, "utf8");
      out.writeUInt16LE(length, at);
      at += 2 + length;
      at = out.writeUInt32LE(record === undefined ? DELETED : record.length, at);
      if (record === undefined) continue;
      out.set(record, at);
      at += record.length;
    }
  }
  out.writeUInt32LE(count, countAt);
  return out.subarray(0, at);
}

/** Reads a group; every record is a copy. undefined: these bytes are not a group of this version. */
export function decodeGroup(payload: Uint8Array): { readonly state: StoreState; readonly writes: readonly GroupWrite[] } | undefined {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  if (bytes.length < FIXED_BYTES || bytes[0] !== VERSION) return undefined;
  const numbers = [1, 7, 13, 19].map((at) => bytes.readUIntLE(at, 6)) as [number, number, number, number];
  const [records, sum, epoch, floorMs] = numbers;
  let at = 27 + bytes.readUInt16LE(25);
  if (at + 4 > bytes.length) return undefined;
  const clusterId = bytes.toString("utf8", 27, at);
  const count = bytes.readUInt32LE(at);
  at += 4;
  const writes: GroupWrite[] = [];
  for (let i = 0; i < count; i++) {
    if (at + 2 > bytes.length) return undefined;
    const keyEnd = at + 2 + bytes.readUInt16LE(at);
    if (keyEnd + 4 > bytes.length) return undefined;
    const key = bytes.toString("utf8", at + 2, keyEnd);
    const length = bytes.readUInt32LE(keyEnd);
    at = keyEnd + 4;
    if (length === DELETED) {
      writes.push({ key, record: undefined });
      continue;
    }
    if (at + length > bytes.length) return undefined;
    writes.push({ key, record: Buffer.from(bytes.subarray(at, at + length)) });
    at += length;
  }
  return at === bytes.length ? { state: { clusterId, records, sum, epoch, floorMs }, writes } : undefined;
}
