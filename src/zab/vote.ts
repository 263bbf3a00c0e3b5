/**
 * The order of votes in fast leader election: currentEpoch, then last zxid, then id.
 *
 * Unlike ZooKeeper: the zxid is that of the last real entry. No synthetic (epoch, 0) exists, so an empty DIFF cannot let a node
 * outrank one with a real tail (ZOOKEEPER-2832). Votes carry no safety: what a quorum promised does (discovery.ts).
 */
import { compareZxid } from "../base/index.js";
import type { ElectionVote } from "./message.js";

/** Positive when `a` is the better vote. A total order: 0 only for identical votes. */
export function compareVotes(a: ElectionVote, b: ElectionVote): number {
  if (a.epoch !== b.epoch) return a.epoch - b.epoch;
  const byZxid = compareZxid(a.zxid, b.zxid);
  return byZxid !== 0 ? byZxid : a.leader - b.leader;
}
