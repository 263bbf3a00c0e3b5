/**
 * A cheap integer chain over what apply did: replicas that applied the same entries have the same number, and a replica whose apply
 * went another way differs from there on. Not a checksum of the state; canonical() is for that.
 */
import { unreachable } from "../base/index.js";
import type { Zxid } from "../base/index.js";
import type { ApplyResult, RefusalReason } from "./api.js";

const REASONS: Readonly<Record<RefusalReason, number>> = {
  unknown: 1,
  expired: 2,
  future: 3,
  "wrong-state": 4,
  "branch-mismatch": 5,
  "duplicate-branch": 6,
  "unknown-participant": 7,
  "no-branches": 8,
  "too-large": 9,
  "already-decided": 10,
  "incomplete-votes": 11,
  "version-conflict": 12,
  "not-forgettable": 13,
  invalid: 14,
  delegated: 15,
};

/** The next link. An unsigned 32-bit integer. */
export function chainDigest(digest: number, zxid: Zxid, result: ApplyResult): number {
  let h = Math.imul(digest ^ zxid.epoch, 0x9e3779b1);
  h = Math.imul(h ^ (h >>> 15) ^ (zxid.counter >>> 0), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13) ^ Math.floor(zxid.counter / 0x1_0000_0000), 0xc2b2ae35);
  h = Math.imul(h ^ (h >>> 16) ^ codeOf(result), 0x27d4eb2f);
  return (h ^ (h >>> 15)) >>> 0;
}

function codeOf(result: ApplyResult): number {
  switch (result.kind) {
    case "opened":
      return 1;
    case "enlisted":
      return 2;
    case "sealed":
      return 3;
    case "decided":
      return 4 + (result.decision === "commit" ? 1 : 0) + (result.first ? 2 : 0);
    case "done":
      return 8 + 64 * result.finished.length;
    case "forgotten":
      return 9 + 64 * result.gids.length;
    case "floor":
      return 10;
    case "heuristic":
      return 11;
    case "registered":
      return 12;
    case "put":
      return result.repeated ? 14 : 13;
    case "noop":
      return 15;
    case "refused":
      return 16 + REASONS[result.reason];
    default:
      return unreachable(result);
  }
}
