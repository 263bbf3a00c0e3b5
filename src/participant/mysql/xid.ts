/**
 * The identifier under which MariaDB or MySQL holds a prepared branch.
 *
 *   XA ... '<cluster tag>.<gid>', '<participant>.<branch>', 1364545362
 *
 * It names everything needed to find the branch's owner again, and cannot be read in two ways: "." is in no alphabet of the parts. The
 * format id is Quorate's own (the letters QUOR). The server takes 64 bytes for each half: the first is at most 8 + 1 + 48; the second
 * fits when participant and branch have at most 63 characters together, and what does not fit is refused and not shortened: a branch
 * that is found after a crash must name its owner. All of it goes into SQL as literals, because XA statements take no parameters: every
 * part is checked against its alphabet right here.
 */
import { assert, crc32c, gidProblem, GID_PATTERN, NAME_PATTERN, nameProblem, type Gid } from "../../base/index.js";
import type { BranchRef } from "../contract.js";

/** "QUOR". */
export const XID_FORMAT = 0x51554f52;
const HALF_MAX = 64;
const TAG = /^[0-9a-f]{8}$/;
/** What participant and branch may have together. */
export const NAMES_MAX = HALF_MAX - 1;

/** Which branches are this participant's in this cluster. */
export interface XidScope {
  readonly tag: string;
  readonly participant: string;
}

/** An id as XA RECOVER tells it, of whatever owner. */
export interface RawXid {
  readonly format: number;
  readonly gtrid: Buffer;
  readonly bqual: Buffer;
}

export interface ParsedXid extends XidScope {
  readonly ref: BranchRef;
}

/**
 * Eight hex digits that stand for a cluster: a checksum of the whole id, because ids that begin with a time would be alike for clusters
 * made in the same minute.
 */
export function clusterTag(clusterId: string): string {
  return crc32c(Buffer.from(clusterId, "utf8")).toString(16).padStart(8, "0");
}

export function xidScope(clusterId: string, participant: string): XidScope {
  assert(nameProblem("participant", participant) === undefined, "a participant's name is checked before it goes into SQL");
  return { tag: clusterTag(clusterId), participant };
}

/** Why the branch of a participant has no id at all, if it has none. */
export function fitProblem(participant: string, branch: string): string | undefined {
  const length = participant.length + branch.length;
  if (length <= NAMES_MAX) return undefined;
  return (
    `the names of participant "${participant}" and branch "${branch}" have ${length} characters together; ` +
    `a branch of MariaDB and MySQL has room for ${NAMES_MAX}: use shorter names`
  );
}

/** `'gtrid','bqual',format` as it stands in XA statements. */
export function formatXid(scope: XidScope, ref: BranchRef): string {
  assert(gidProblem(ref.gid) === undefined, "a gid is checked before it goes into SQL");
  assert(nameProblem("branch", ref.branch) === undefined, "a branch id is checked before it goes into SQL");
  assert(fitProblem(scope.participant, ref.branch) === undefined, "an id that does not fit is refused before");
  return `'${scope.tag}.${ref.gid}','${scope.participant}.${ref.branch}',${XID_FORMAT}`;
}

/** The parts of an id of any cluster and participant; undefined for a foreign one. */
export function parseXid(raw: RawXid): ParsedXid | undefined {
  if (raw.format !== XID_FORMAT) return undefined;
  const [tag = "", gid = "", ...more] = raw.gtrid.toString("latin1").split(".");
  const [participant = "", branch = "", ...evenMore] = raw.bqual.toString("latin1").split(".");
  const wellFormed =
    more.length === 0 &&
    evenMore.length === 0 &&
    TAG.test(tag) &&
    GID_PATTERN.test(gid) &&
    NAME_PATTERN.test(participant) &&
    NAME_PATTERN.test(branch);
  return wellFormed ? { tag, participant, ref: { gid: gid as Gid, branch } } : undefined;
}

/** A row of XA RECOVER; the data are both halves without anything between them. Undefined when it makes no sense. */
export function rawXid(row: Readonly<Record<string, unknown>>): RawXid | undefined {
  const { formatID, gtrid_length: gtridLength, bqual_length: bqualLength, data } = row;
  const bytes = typeof data === "string" ? Buffer.from(data, "utf8") : data;
  const [format, first, second] = [Number(formatID), Number(gtridLength), Number(bqualLength)];
  if (!Buffer.isBuffer(bytes) || !Number.isSafeInteger(format) || !isLength(first) || !isLength(second)) return undefined;
  if (bytes.length < first + second) return undefined;
  return { format, gtrid: bytes.subarray(0, first), bqual: bytes.subarray(first, first + second) };
}

function isLength(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0 && value <= HALF_MAX;
}
