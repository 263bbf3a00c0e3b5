/**
 * Reads one segment's bytes: the verified records, and what the first place that is not a valid record means.
 *
 * A log ends in one of three ways. `clean`: only zeros follow. `torn`: an interrupted write, provably never acknowledged.
 * `damaged`: anything else, for what is missing may have been acknowledged. A place p is torn only if all of these hold
 * (Alagappan et al., "Protocol-Aware Recovery for Consensus-Based Storage", FAST'18, separates crash from corruption the same way):
 *   1. p lies at or past every point known to be synced;
 *   2. no later valid record was written after p had been synced;
 *   3. the bytes at p have the shape of an interrupted write: a sector of the record that still holds the zeros it had before, or
 *      a record whose end was never reached. A flipped bit has neither shape.
 * What no log can tell is a whole sector of zeros where the last, just synced batch was, before the next record or mark went out.
 */
import { compareZxid, equalZxid, formatZxid } from "../base/index.js";
import type { Zxid } from "../base/index.js";
import {
  decodeRecordHeader,
  RECORD_ENTRY,
  RECORD_HEADER_BYTES,
  RECORD_TRUNCATE,
  recordBodyIntact,
  recordBytes,
  viewOf,
} from "./log-format.js";
import type { RecordHeader } from "./log-format.js";
import { SECTOR_BYTES } from "./sector-codec.js";

export interface ScannedRecord {
  readonly type: typeof RECORD_ENTRY | typeof RECORD_TRUNCATE;
  readonly zxid: Zxid;
  readonly payloadAt: number;
  readonly payloadLength: number;
}

export interface SegmentScan {
  readonly records: readonly ScannedRecord[];
  /** The last entry after the records. */
  readonly last: Zxid;
  /** Where the verified records end. */
  readonly end: number;
  /** Highest offset the segment's own records prove durable. */
  readonly synced: number;
  readonly verdict: "clean" | "torn" | "damaged";
  /** In words, unless clean. */
  readonly finding: string | undefined;
}

/**
 * Scans records from `from`, each continuing the one before, the first continuing `previous`.
 * `sealedEnd`: where the segment is known to end; undefined for the segment that was being written.
 * `knownSynced`: an offset known to be durable from elsewhere.
 */
export function scanSegment(
  bytes: Buffer,
  seed: number,
  from: number,
  previous: Zxid,
  sealedEnd: number | undefined,
  knownSynced: number,
): SegmentScan {
  const view = viewOf(bytes);
  const limit = sealedEnd ?? bytes.length;
  const records: ScannedRecord[] = [];
  let at = from;
  let last = previous;
  let synced = Math.max(from, knownSynced);
  let problem: string | undefined;
  while (at < limit) {
    const header = decodeRecordHeader(bytes, view, at, seed);
    if (header === undefined || !recordBodyIntact(bytes, view, at, header.payloadLength)) break;
    problem = recordProblem(header, last, at);
    if (problem !== undefined) break;
    records.push({
      type: header.type === RECORD_ENTRY ? RECORD_ENTRY : RECORD_TRUNCATE,
      zxid: header.zxid,
      payloadAt: at + RECORD_HEADER_BYTES,
      payloadLength: header.payloadLength,
    });
    last = header.zxid;
    synced = Math.max(synced, header.synced);
    at += recordBytes(header.payloadLength);
  }
  const result = { records, last, end: at, synced };
  const place = `offset ${at}, after ${formatZxid(last)}`;
  if (problem !== undefined) return { ...result, verdict: "damaged", finding: problem };
  if (sealedEnd !== undefined) {
    if (at === sealedEnd) return { ...result, verdict: "clean", finding: undefined };
    return {
      ...result,
      verdict: "damaged",
      finding: `${place}: a record is missing or fails its checksum before the segment's end at ${sealedEnd}`,
    };
  }
  if (synced > at) {
    return {
      ...result,
      verdict: "damaged",
      finding: `${place}: the record here is missing or fails its checksum, yet the log was synced up to offset ${synced}`,
    };
  }
  if (isZero(bytes, at, bytes.length)) return { ...result, verdict: "clean", finding: undefined };
  const later = recordWrittenAfterSyncOf(bytes, view, at, seed);
  if (later !== undefined) {
    return {
      ...result,
      verdict: "damaged",
      finding: `${place}: the record here fails its checksum, yet it was synced before the record at offset ${later} was written`,
    };
  }
  if (!hasTornShape(bytes, view, at, seed)) {
    return {
      ...result,
      verdict: "damaged",
      finding: `${place}: the record here fails its checksum and does not look like an interrupted write`,
    };
  }
  return { ...result, verdict: "torn", finding: `${place}: an interrupted write that was never acknowledged was cut off` };
}

function recordProblem(header: RecordHeader, last: Zxid, at: number): string | undefined {
  if (!equalZxid(header.previous, last)) {
    return `offset ${at}: the record ${formatZxid(header.zxid)} continues ${formatZxid(header.previous)}, but the log before it ends at ${formatZxid(last)}`;
  }
  const step = compareZxid(header.zxid, last);
  if (header.type === RECORD_ENTRY ? step > 0 : header.type === RECORD_TRUNCATE && step <= 0) return undefined;
  return `offset ${at}: a record of type ${header.type} at ${formatZxid(header.zxid)} cannot follow ${formatZxid(last)}`;
}

/** The offset of a record past `at` that was written when `at` was already durable, if there is one. */
function recordWrittenAfterSyncOf(bytes: Buffer, view: DataView, at: number, seed: number): number | undefined {
  for (let i = at + 8; i + RECORD_HEADER_BYTES <= bytes.length; i += 8) {
    if (view.getUint32(i + 36, true) !== i) continue;
    const header = decodeRecordHeader(bytes, view, i, seed);
    if (header !== undefined && header.synced > at) return i;
  }
  return undefined;
}

function hasTornShape(bytes: Buffer, view: DataView, at: number, seed: number): boolean {
  const header = decodeRecordHeader(bytes, view, at, seed);
  const size = header === undefined ? RECORD_HEADER_BYTES : recordBytes(header.payloadLength);
  const end = Math.min(at + size, bytes.length);
  // The last byte of a header, and of a record, is never zero once written.
  if (bytes[end - 1] === 0) return true;
  for (let sector = at - (at % SECTOR_BYTES); sector < end; sector += SECTOR_BYTES) {
    if (isZero(bytes, Math.max(at, sector), Math.min(sector + SECTOR_BYTES, bytes.length))) return true;
  }
  return false;
}

const ZEROS = Buffer.alloc(64 * 1024);

export function isZero(bytes: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i += ZEROS.length) {
    const stop = Math.min(end, i + ZEROS.length);
    if (bytes.compare(ZEROS, 0, stop - i, i, stop) !== 0) return false;
  }
  return true;
}
