/**
 * Bytes of a log segment: one header block, then records, then the zeros it was filled with.
 *
 *   header  8 magic | u32 text length | u32 CRC of the text | JSON text | zeros to 4096
 *   record  44 header | payload | u32 CRC | zeros | 0xa5          (a multiple of 8 bytes, at a multiple of 8)
 *
 * Record header, little-endian u32 unless said otherwise:
 *    0 CRC of bytes 4..43     4 payload length      8 epoch         12 counter low   16 counter high
 *   20 previous epoch        24 previous counter low                28 previous counter high
 *   32 synced: every byte of the segment before this offset was durable when the record was written
 *   36 the record's own offset                     40 three zeros   43 type (never zero)
 *
 * The header has its own CRC, so that a bad length is never followed. The CRC after the payload continues the header's, so both
 * are covered by one pass. Every CRC starts from the segment's own header: a record that strayed in from elsewhere is not valid.
 * The last byte of a header and of a record is never zero: an interrupted write shows there.
 */
import { crc32c } from "../base/index.js";
import type { Zxid } from "../base/index.js";
import type { Identity } from "./identity.js";

export const SEGMENT_HEADER_BYTES = 4096;
export const RECORD_HEADER_BYTES = 44;
export const RECORD_END = 0xa5;
/** CRC and end byte. */
const RECORD_TRAILER_BYTES = 5;
export const LOG_FORMAT_VERSION = 1;
const MAGIC = Buffer.from("QRTELOG\n", "latin1");
const TWO_32 = 0x1_0000_0000;

export type RecordType = typeof RECORD_ENTRY | typeof RECORD_TRUNCATE;
// At least two bits each: one flipped bit makes neither zero, which is what an interrupted write leaves there.
export const RECORD_ENTRY = 0x45;
/** Removes every entry after its zxid. The log is append-only: what was removed stays in front of the record that says so. */
export const RECORD_TRUNCATE = 0x54;

export interface SegmentHeader extends Identity {
  readonly formatVersion: number;
  readonly segment: number;
  /** Size of the file in bytes. */
  readonly capacity: number;
  /** The segment this one continues, and where that one ended; undefined when the log starts afresh here (format, reset). */
  readonly continues: { readonly segment: number; readonly end: number } | undefined;
  /** The last entry before this segment. */
  readonly previous: Zxid;
}

export function encodeSegmentHeader(header: SegmentHeader): Buffer {
  const text = Buffer.from(JSON.stringify(header), "utf8");
  const out = Buffer.alloc(SEGMENT_HEADER_BYTES);
  if (text.length > SEGMENT_HEADER_BYTES - 16)
    throw new RangeError(`a segment header of ${text.length} bytes does not fit; the cluster id is too long`);
  MAGIC.copy(out, 0);
  out.writeUInt32LE(text.length, 8);
  out.writeUInt32LE(crc32c(text), 12);
  text.copy(out, 16);
  return out;
}

/** The header, or what is wrong with it. */
export function decodeSegmentHeader(bytes: Buffer): SegmentHeader | string {
  if (bytes.length < SEGMENT_HEADER_BYTES) return "the file is shorter than a segment header";
  if (!bytes.subarray(0, 8).equals(MAGIC)) return "the file does not start like a log segment";
  const length = bytes.readUInt32LE(8);
  if (length > SEGMENT_HEADER_BYTES - 16 || crc32c(bytes, 16, 16 + length) !== bytes.readUInt32LE(12))
    return "the segment header fails its checksum";
  return JSON.parse(bytes.toString("utf8", 16, 16 + length)) as SegmentHeader;
}

/** The start value of every record CRC in the segment that begins with these bytes. */
export function segmentSeed(header: Uint8Array): number {
  return crc32c(header, 0, SEGMENT_HEADER_BYTES);
}

export function recordBytes(payloadLength: number): number {
  return (RECORD_HEADER_BYTES + payloadLength + RECORD_TRAILER_BYTES + 7) & ~7;
}

/** Records encoded back to back for one write. Reused: no allocation per record or batch once it has grown. */
export class BatchBuffer {
  bytes: Buffer;
  length = 0;
  #view: DataView;

  constructor(initialBytes: number) {
    this.bytes = Buffer.alloc(initialBytes);
    this.#view = viewOf(this.bytes);
  }

  clear(): void {
    this.length = 0;
  }

  /** Appends one record that will lie at segment offset `start + length`, in a batch that starts at `start`. */
  append(type: RecordType, zxid: Zxid, previous: Zxid, payload: Uint8Array | undefined, start: number, seed: number): void {
    const payloadLength = payload === undefined ? 0 : payload.length;
    const size = recordBytes(payloadLength);
    const at = this.length;
    if (at + size > this.bytes.length) this.#grow(at + size);
    const { bytes } = this;
    const view = this.#view;
    view.setUint32(at + 4, payloadLength, true);
    view.setUint32(at + 8, zxid.epoch, true);
    view.setUint32(at + 12, zxid.counter, true); // modulo 2^32 by definition of setUint32
    view.setUint32(at + 16, Math.floor(zxid.counter / TWO_32), true);
    view.setUint32(at + 20, previous.epoch, true);
    view.setUint32(at + 24, previous.counter, true);
    view.setUint32(at + 28, Math.floor(previous.counter / TWO_32), true);
    view.setUint32(at + 32, start, true);
    view.setUint32(at + 36, start + at, true);
    view.setUint32(at + 40, type * 0x1_00_00_00, true);
    const headerCrc = crc32c(bytes, at + 4, at + RECORD_HEADER_BYTES, seed);
    view.setUint32(at, headerCrc, true);
    const payloadAt = at + RECORD_HEADER_BYTES;
    const end = payloadAt + payloadLength;
    if (payload !== undefined) bytes.set(payload, payloadAt);
    view.setUint32(end, crc32c(bytes, payloadAt, end, headerCrc), true);
    for (let i = end + 4; i < at + size - 1; i++) bytes[i] = 0;
    bytes[at + size - 1] = RECORD_END;
    this.length = at + size;
  }

  #grow(needed: number): void {
    const larger = Buffer.alloc(Math.max(needed, this.bytes.length * 2));
    larger.set(this.bytes.subarray(0, this.length));
    this.bytes = larger;
    this.#view = viewOf(larger);
  }
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export interface RecordHeader {
  readonly type: number;
  readonly payloadLength: number;
  readonly zxid: Zxid;
  readonly previous: Zxid;
  readonly synced: number;
}

/** A record header that is valid at this offset, or undefined. Says nothing about the payload. */
export function decodeRecordHeader(bytes: Uint8Array, view: DataView, at: number, seed: number): RecordHeader | undefined {
  if (at + RECORD_HEADER_BYTES > bytes.length) return undefined;
  if (view.getUint32(at + 36, true) !== at) return undefined;
  if (view.getUint32(at, true) !== crc32c(bytes, at + 4, at + RECORD_HEADER_BYTES, seed)) return undefined;
  return {
    type: view.getUint8(at + 43),
    payloadLength: view.getUint32(at + 4, true),
    zxid: { epoch: view.getUint32(at + 8, true), counter: view.getUint32(at + 12, true) + view.getUint32(at + 16, true) * TWO_32 },
    previous: { epoch: view.getUint32(at + 20, true), counter: view.getUint32(at + 24, true) + view.getUint32(at + 28, true) * TWO_32 },
    synced: view.getUint32(at + 32, true),
  };
}

/** Whether the payload and the end of a record with a valid header are intact. */
export function recordBodyIntact(bytes: Uint8Array, view: DataView, at: number, payloadLength: number): boolean {
  const payloadAt = at + RECORD_HEADER_BYTES;
  const end = payloadAt + payloadLength;
  const size = recordBytes(payloadLength);
  if (at + size > bytes.length || bytes[at + size - 1] !== RECORD_END) return false;
  return view.getUint32(end, true) === crc32c(bytes, payloadAt, end, view.getUint32(at, true));
}
