/**
 * The identifier under which PostgreSQL holds a prepared branch.
 *
 *   quorate_<cluster tag>_<participant>.<gid>.<branch>
 *
 * It names everything needed to find the branch's owner again, and cannot be read in two ways: the tag has a fixed length, and "." is
 * in no alphabet of the rest. At most 8 + 9 + 49 + 49 + 48 = 163 characters; PostgreSQL takes up to 199. It goes into SQL as a literal,
 * because PREPARE TRANSACTION takes no parameters: every part is checked against its alphabet right here.
 */
import { assert, crc32c, gidProblem, GID_PATTERN, NAME_PATTERN, nameProblem, type Gid } from "../../base/index.js";
import type { BranchRef } from "../contract.js";

export const XID_PREFIX = "quorate_";
const TAG_LENGTH = 8;

/**
 * Eight hex digits that stand for a cluster. A checksum of the whole id and not its beginning: ids that begin with a time would be
 * alike for clusters made in the same minute, and one of them would settle the other's branches.
 */
export function clusterTag(clusterId: string): string {
  return crc32c(Buffer.from(clusterId, "utf8")).toString(16).padStart(TAG_LENGTH, "0");
}

/** What every xid of this participant in this cluster begins with. */
export function xidPrefix(clusterId: string, participant: string): string {
  assert(nameProblem("participant", participant) === undefined, "a participant's name is checked before it goes into SQL");
  return `${XID_PREFIX}${clusterTag(clusterId)}_${participant}.`;
}

export function formatXid(prefix: string, ref: BranchRef): string {
  assert(gidProblem(ref.gid) === undefined, "a gid is checked before it goes into SQL");
  assert(nameProblem("branch", ref.branch) === undefined, "a branch id is checked before it goes into SQL");
  return `${prefix}${ref.gid}.${ref.branch}`;
}

/** The parts of an xid of any cluster and participant; undefined for a foreign one. */
export function parseXid(xid: string): { readonly tag: string; readonly participant: string; readonly ref: BranchRef } | undefined {
  if (!xid.startsWith(XID_PREFIX) || xid[XID_PREFIX.length + TAG_LENGTH] !== "_") return undefined;
  const tag = xid.slice(XID_PREFIX.length, XID_PREFIX.length + TAG_LENGTH);
  const [participant = "", gid = "", branch = "", ...more] = xid.slice(XID_PREFIX.length + TAG_LENGTH + 1).split(".");
  const wellFormed =
    more.length === 0 && /^[0-9a-f]{8}$/.test(tag) && NAME_PATTERN.test(participant) && GID_PATTERN.test(gid) && NAME_PATTERN.test(branch);
  return wellFormed ? { tag, participant, ref: { gid: gid as Gid, branch } } : undefined;
}
