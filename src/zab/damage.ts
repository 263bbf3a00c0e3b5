/**
 * Who may count a node whose durable state is not complete, and when.
 *
 * `log` damage: entries the node may have acknowledged are gone; its epochs are known. It takes no part in elections, its CEPOCH and
 * ACKEPOCH are not counted, and NEWLEADER reaches it only from a leader that was established without it. Sufficient, because any
 * entry z it helped to commit in epoch g was acknowledged by a quorum, and the establishing quorum shares a voter other than the
 * damaged one with it (n voters: (Q-1)+Q > n-1), so the leader holds z when its epoch is above g; when it is g it proposed z; below
 * g it cannot be, for the node still honours its acceptedEpoch.
 *
 * `identity` damage: the node no longer knows what it promised. Two things can go wrong on top.
 *  (1) It follows a deposed leader: its new acknowledgements would complete a quorum of an epoch that a newer one has fenced off.
 *  (2) It had answered ACKEPOCH to a candidate whose epoch is still being formed. That candidate may hold the old promise for as
 *      long as it stays in that role, fix its initial history with it, and be established, while the node acknowledges
 *      newer entries to the leader it found after its return: those would be lost (the hole that Michael et al., "Recovering Shared
 *      Objects Without Stable Storage", DISC 2017, found in Viewstamped Replication's recovery).
 * Why not "count it from the second epoch on": no number of epochs bounds a promise made to a candidate that is merely slow.
 * The rule: besides being established without the node, the leader needs a heartbeat answer from *every* other voter, to a
 * heartbeat sent after the node came back. A voter that answers is at that moment a follower of this leader: (1) no other voter has
 * promised a newer epoch, and of the leader's own epoch there is one leader; (2) a candidacy lives in its owner's memory and ends
 * when the owner follows someone, so no candidate holds the old promise any more. From then on the node's new promises are all that
 * matter. The price: with one voter lost for good, a second one that loses its identity cannot be counted until the first is back.
 * With three voters the other two are the quorum anyway, and the rule costs one heartbeat.
 */
import type { NodeId } from "../base/index.js";
import { votersOf } from "./quorum.js";
import type { Configuration } from "./membership.js";
import type { Leading, Learner } from "./roles.js";

/** True when the leader may send this learner NEWLEADER, and so count it afterwards. */
export function mayBecomeCurrent(self: NodeId, configuration: Configuration, leading: Leading, learner: Learner): boolean {
  if (learner.damage === undefined) return true;
  if (leading.phase !== "broadcast") return false;
  if (learner.damage === "log") return true;
  return votersOf(configuration).every(
    (id) => id === self || id === learner.peer || (leading.learners.get(id)?.pongSeq ?? 0) > learner.joinedAtPingSeq,
  );
}
