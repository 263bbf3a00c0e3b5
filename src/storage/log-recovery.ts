/**
 * Decides, from the log's files alone, what the log is: its entries, where it goes on, and whether something is missing.
 *
 * Segments form a chain by their headers. The chain that ends in the newest segment is the log, provided it reaches down to the
 * state's applied zxid; whatever is older is left over from a compaction or a reset. Reads only; acting on the result is
 * log-store.ts. Damage never makes this refuse: the verified prefix is returned with findings that name segment, offset and zxid.
 */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { compareZxid, equalZxid, formatNodeId, formatZxid, QuorateError } from "../base/index.js";
import type { Zxid } from "../base/index.js";
import type { Entry } from "../zab/index.js";
import { formatPosition, LOG_POSITION_ZERO, laterPosition } from "./identity.js";
import type { Identity, LogPosition } from "./identity.js";
import {
  decodeSegmentHeader,
  LOG_FORMAT_VERSION,
  RECORD_ENTRY,
  RECORD_HEADER_BYTES,
  SEGMENT_HEADER_BYTES,
  segmentSeed,
} from "./log-format.js";
import type { SegmentHeader } from "./log-format.js";
import { LogIndex } from "./log-index.js";
import { scanSegment } from "./log-scan.js";
import { damagedNumber, segmentName, segmentNumber } from "./log-segments.js";
import { readTolerantly } from "./read-file.js";

export interface LogRecoveryInput {
  readonly folder: string;
  readonly identity: Identity;
  /** The state's applied zxid, and whether the state last changed by installing a snapshot rather than by a checkpoint. */
  readonly applied: Zxid;
  readonly installed: boolean;
  /** Positions known to be durable from outside the log. */
  readonly promised: readonly LogPosition[];
}

/** The segment the log ends in. */
export interface LogTail {
  readonly segment: number;
  readonly end: number;
  /** Everything before this offset is known to be on disk, not only in the page cache. */
  readonly synced: number;
  readonly capacity: number;
  readonly seed: number;
  /** The segment's bytes up to `end`. */
  readonly bytes: Buffer;
}

export interface LogRecovery {
  readonly index: LogIndex;
  readonly entries: readonly Entry[];
  /** undefined when no segment can be used. */
  readonly tail: LogTail | undefined;
  /** `continue` after the tail; `cut`: a new segment excludes what follows the tail; `reset`: a new segment starts the log afresh. */
  readonly next: "continue" | "cut" | "reset";
  /** Entries that may have been acknowledged are missing. */
  readonly damaged: boolean;
  /** Segments no longer part of the log. */
  readonly unused: readonly number[];
  /** The highest segment number ever seen: new ones lie above. */
  readonly highest: number;
  readonly findings: readonly string[];
}

interface LoadedHeader {
  readonly header: SegmentHeader;
  readonly seed: number;
}

interface ChainScan {
  readonly index: LogIndex;
  readonly entries: Entry[];
  readonly tail: LogTail;
  readonly verdict: "clean" | "torn" | "damaged";
  readonly findings: string[];
}

export async function recoverLog(input: LogRecoveryInput): Promise<LogRecovery> {
  const names = await readdir(input.folder);
  const segments = names.flatMap((name) => segmentNumber(name) ?? []).sort((a, b) => a - b);
  const promised = input.promised.reduce(laterPosition, LOG_POSITION_ZERO);
  const highest = Math.max(promised.segment, ...segments, ...names.flatMap((name) => damagedNumber(name) ?? []), 0);
  const findings: string[] = [];
  let damaged = false;
  const damage = (finding: string): void => {
    damaged = true;
    findings.push(finding);
  };

  const newest = segments.at(-1) ?? 0;
  if (newest < promised.segment) {
    damage(
      `${input.folder}: the log was synced up to ${formatPosition(promised)}, but the newest segment is ${newest === 0 ? "missing" : newest}`,
    );
  }
  const headers = new Map<number, LoadedHeader>();
  for (const segment of segments) {
    const loaded = await loadHeader(input, segment);
    if (typeof loaded === "string") findings.push(loaded);
    else headers.set(segment, loaded);
  }

  let chosen: ChainScan | undefined;
  let chain: number[] = [];
  let below = Infinity;
  while (chosen === undefined) {
    const end = segments.filter((segment) => segment < below).at(-1);
    if (end === undefined) break;
    chain = chainEndingAt(end, headers);
    below = chain[0] ?? end;
    if (chain.length === 0) {
      damage(`${segmentName(end)}: an unreadable segment; everything in it and after it is set aside`);
      continue;
    }
    const scan = await scanChain(input.folder, chain, headers, promised);
    if (scan.verdict === "damaged") damaged = true;
    findings.push(...scan.findings);
    if (compareZxid(scan.index.base, input.applied) <= 0) chosen = scan;
    else {
      damage(
        `${segmentName(chain[0] ?? end)}: the log starts after ${formatZxid(scan.index.base)}, but the state holds only what was applied up to ${formatZxid(input.applied)}; ` +
          `the entries between are missing`,
      );
    }
  }

  if (chosen === undefined || !chosen.index.contains(input.applied)) {
    if (chosen !== undefined && !input.installed && !damaged) {
      damage(
        `${input.folder}: the state was applied up to ${formatZxid(input.applied)}, but the log, which ends at ${formatZxid(chosen.index.last)}, does not hold that entry`,
      );
    }
    if (segments.length === 0) damage(`${input.folder}: every segment of the log is missing`);
    return {
      index: new LogIndex(input.applied),
      entries: [],
      tail: undefined,
      next: "reset",
      damaged,
      unused: segments,
      highest,
      findings,
    };
  }
  const kept = new Set(chain.filter((segment) => segment <= chosen.tail.segment));
  return {
    index: chosen.index,
    entries: chosen.entries,
    tail: chosen.tail,
    next: chosen.verdict === "clean" && chosen.tail.segment === newest && !damaged ? "continue" : "cut",
    damaged,
    unused: segments.filter((segment) => !kept.has(segment)),
    highest,
    findings,
  };
}

/** Oldest first; empty when the segment's header is unreadable. Stops where a link leads to nothing readable. */
function chainEndingAt(end: number, headers: ReadonlyMap<number, LoadedHeader>): number[] {
  const chain: number[] = [];
  let at: number | undefined = end;
  while (at !== undefined) {
    const loaded = headers.get(at);
    if (loaded === undefined) break;
    chain.unshift(at);
    const previous: number | undefined = loaded.header.continues?.segment;
    at = previous !== undefined && previous < at ? previous : undefined;
  }
  return chain;
}

async function loadHeader({ folder, identity }: LogRecoveryInput, segment: number): Promise<LoadedHeader | string> {
  const path = join(folder, segmentName(segment));
  const bytes = await readTolerantly(path, SEGMENT_HEADER_BYTES);
  const header = decodeSegmentHeader(bytes);
  if (typeof header === "string") return `${segmentName(segment)}: ${header}`;
  if (header.formatVersion > LOG_FORMAT_VERSION) {
    throw new QuorateError(
      "QUORATE_DATA_FOLDER",
      `log segment ${path} has format ${header.formatVersion}; this version reads up to ${LOG_FORMAT_VERSION}. Start it with the newer version that wrote it.`,
    );
  }
  if (header.clusterId !== identity.clusterId || header.nodeId !== identity.nodeId) {
    throw new QuorateError(
      "QUORATE_DATA_FOLDER",
      `log segment ${path} belongs to node ${formatNodeId(header.nodeId)} of cluster ${JSON.stringify(header.clusterId)}, not to ` +
        `node ${formatNodeId(identity.nodeId)} of cluster ${JSON.stringify(identity.clusterId)}. Put the right file back, or give the node an empty data folder.`,
    );
  }
  if (header.segment !== segment) return `${segmentName(segment)}: the header says this is segment ${header.segment}`;
  return { header, seed: segmentSeed(bytes) };
}

/** Reads and replays a chain of segments up to its end, or up to the first damage. */
async function scanChain(
  folder: string,
  chain: readonly number[],
  headers: ReadonlyMap<number, LoadedHeader>,
  promised: LogPosition,
): Promise<ChainScan> {
  let index = new LogIndex({ epoch: 0, counter: 0 });
  const entries: Entry[] = [];
  let tail: LogTail | undefined;
  for (const [position, segment] of chain.entries()) {
    const loaded = headers.get(segment);
    if (loaded === undefined) break;
    const { header, seed } = loaded;
    if (tail === undefined) index = new LogIndex(header.previous);
    else if (!equalZxid(header.previous, index.last)) {
      const finding = `${segmentName(segment)}: the header continues ${formatZxid(header.previous)}, but the log before it ends at ${formatZxid(index.last)}`;
      return { index, entries, tail, verdict: "damaged", findings: [finding] };
    }
    const nextNumber = chain[position + 1];
    const next = nextNumber === undefined ? undefined : headers.get(nextNumber)?.header;
    const file = await readTolerantly(join(folder, segmentName(segment)), header.capacity);
    const knownSynced = promised.segment === segment ? promised.offset : 0;
    const scan = scanSegment(file, seed, SEGMENT_HEADER_BYTES, header.previous, next?.continues?.end, knownSynced);
    // Entries keep views of their segment's bytes: one allocation per segment, shrunk when most of it was never written.
    const bytes = scan.end * 2 < file.length ? Buffer.from(file.subarray(0, scan.end)) : file.subarray(0, scan.end);
    const broken = replay(scan.records, bytes, segment, index, entries);
    const end = broken?.at ?? scan.end;
    tail = { segment, end, synced: Math.min(scan.synced, end), capacity: header.capacity, seed, bytes: bytes.subarray(0, end) };
    const finding = broken?.problem ?? scan.finding;
    const verdict = broken === undefined ? scan.verdict : "damaged";
    if (verdict !== "clean") return { index, entries, tail, verdict, findings: [`${segmentName(segment)}: ${finding ?? verdict}`] };
  }
  if (tail === undefined) throw new RangeError("an empty chain of segments");
  return { index, entries, tail, verdict: "clean", findings: [] };
}

/** Applies a segment's records to the index and the entries; returns what does not fit together, if anything. */
function replay(
  records: ReturnType<typeof scanSegment>["records"],
  bytes: Buffer,
  segment: number,
  index: LogIndex,
  entries: Entry[],
): { readonly at: number; readonly problem: string } | undefined {
  index.addSegment(segment);
  for (const record of records) {
    if (record.type === RECORD_ENTRY) {
      index.append(record.zxid);
      entries.push({ zxid: record.zxid, payload: bytes.subarray(record.payloadAt, record.payloadAt + record.payloadLength) });
      continue;
    }
    if (compareZxid(record.zxid, index.base) < 0) {
      // The target lay in a segment that a later compaction removed: what is left of the log starts there.
      index.restart(record.zxid);
      entries.length = 0;
      continue;
    }
    if (!index.contains(record.zxid)) {
      const at = record.payloadAt - RECORD_HEADER_BYTES;
      return { at, problem: `offset ${at}: a truncation to ${formatZxid(record.zxid)}, which the log does not hold` };
    }
    index.truncate(record.zxid);
    while (entries.length > 0 && compareZxid(entries[entries.length - 1]?.zxid ?? record.zxid, record.zxid) > 0) entries.pop();
  }
  return undefined;
}
