/**
 * The leading role: sessions of followers, whose messages go to the phase they belong to, and the reasons to give up.
 */
import type { NodeId } from "../base/index.js";
import { advanceCommit, onAck, stream } from "./broadcast.js";
import type { Core } from "./core.js";
import { onEpochAcknowledged, onEpochAnnounced, onOwnPromiseDurable, onRefuse, tryProposeEpoch } from "./discovery.js";
import { answerSettled } from "./election.js";
import { heardFrom, sendPing } from "./heartbeat.js";
import type { SessionId } from "./input.js";
import { addLearner, dropLearner, electorsRemain, forgetLearner, isTrusted, mostAdvanced, quorumContactMs } from "./learner-tracker.js";
import type { SessionMessage } from "./message.js";
import { isVoter } from "./quorum.js";
import type { Leading, Notify, Transition } from "./roles.js";
import { offerLeadership, onNewLeaderAcknowledged, tryEstablish } from "./synchronization.js";
import { abdicate, continueTransfer } from "./transfer.js";

/** Takes over the sessions of followers that dialed before the election was decided here. */
export function enterLeading(core: Core, leading: Leading): Transition | undefined {
  let transition = tryProposeEpoch(core, leading);
  for (const [peer, { session, messages }] of core.waiting) {
    addLearner(core, leading, session, peer);
    for (const message of messages) transition ??= onLearnerMessage(core, leading, session, message);
  }
  core.waiting.clear();
  return transition;
}

export function onLearnerSessionDown(core: Core, leading: Leading, session: SessionId): void {
  const learner = leading.sessions.get(session);
  if (learner === undefined) return;
  forgetLearner(leading, learner);
  core.out.event("learner-lost", { peer: learner.peer });
  onElectorLost(core, leading, learner.peer);
}

export function onLearnerMessage(core: Core, leading: Leading, session: SessionId, message: SessionMessage): Transition | undefined {
  const learner = leading.sessions.get(session);
  if (learner === undefined) return undefined;
  heardFrom(core, leading, learner.peer);
  switch (message.kind) {
    case "CEPOCH":
      return onEpochAnnounced(core, leading, learner, message);
    case "ACKEPOCH":
      return onEpochAcknowledged(core, leading, learner, message);
    case "REFUSE":
      return onRefuse(core, leading, learner, message);
    case "ACKNEWLEADER":
      return onNewLeaderAcknowledged(core, leading, learner, message);
    case "ACK":
      return onAck(core, leading, learner, message);
    default:
      return dropLearner(core, leading, learner, "protocol");
  }
}

/** A peer is looking for a leader: tell it, and remember that it does not follow. */
export function onNotifyWhileLeading(core: Core, leading: Leading, from: NodeId, notify: Notify): Transition | undefined {
  if (notify.wantsReply) answerSettled(core, leading, from);
  if (notify.state !== "looking") return undefined;
  if (!isVoter(core.configuration, from)) return undefined;
  if (leading.epoch === 0) core.askers.add(from);
  // An elector of this round that asks is merely late; one of a later round has changed its mind (ZOOKEEPER-3109). One of an earlier round
  // is neither: it cannot join before this leader is established, so its coming is nothing to wait for.
  const gone = leading.phase === "broadcast" || notify.round > core.round || notify.nonVoting;
  if (notify.round === core.round && notify.vote.leader === core.id) leading.electors.add(from);
  if (gone && !leading.deserters.has(from)) leading.deserters.set(from, core.nowMs);
  return checkElectors(core, leading);
}

/**
 * The last connection with a voter broke before this leader is established. Both ends see that, and a follower looks for a new leader at
 * once; one that crashed has forgotten whom it voted for. Nobody need wait for initLimit to find out: when no quorum is left that may
 * still come, the attempt is given up. What a follower says of its looking may overtake the end of its session, so it is not enough.
 */
export function onElectorLost(core: Core, leading: Leading, peer: NodeId): void {
  if (leading.phase === "broadcast" || leading.learners.has(peer) || !isVoter(core.configuration, peer)) return;
  leading.deserters.set(peer, core.nowMs);
}

/** Durability advanced. */
export function onLeaderPersisted(core: Core, leading: Leading): Transition | undefined {
  const { durableEpochs } = core.disk;
  let transition: Transition | undefined;
  if (leading.epoch > 0 && !leading.promised && durableEpochs.acceptedEpoch === leading.epoch)
    transition = onOwnPromiseDurable(core, leading);
  if (leading.promised && durableEpochs.currentEpoch === leading.epoch) leading.current = true;
  if (transition === undefined) tryEstablish(core, leading);
  advanceCommit(core, leading);
  return transition;
}

export function onLeaderTimers(core: Core, leading: Leading): Transition | undefined {
  const { nowMs, options } = core;
  for (const learner of leading.learners.values()) {
    if (nowMs < learner.deadlineMs || nowMs < core.graceUntilMs) continue;
    dropLearner(core, leading, learner, learner.upToDateSent ? "silent" : "init-limit");
  }
  if (leading.phase !== "broadcast") {
    if (nowMs >= leading.deadlineMs) return abdicate(core, leading, "init-limit", undefined);
  } else {
    if (nowMs >= quorumContactMs(core, leading) + options.quorumLossMs && nowMs >= core.graceUntilMs) {
      return abdicate(core, leading, "quorum-lost", undefined);
    }
    const waitingSince = core.disk.waitingSinceMs;
    if (waitingSince !== undefined && nowMs >= waitingSince + options.quorumLossMs && core.commitIndex > core.disk.durableIndex) {
      // Its followers commit what it cannot apply: every client waits for this disk alone.
      const successor = mostAdvanced(core, leading);
      if (successor !== undefined) return abdicate(core, leading, "slow-disk", successor.peer);
    }
  }
  if (nowMs >= leading.pingAtMs) {
    if (leading.epoch > 0 && !core.rarely("ping-skipped")) sendPing(core, leading);
    else leading.pingAtMs = nowMs + options.pingIntervalMs;
  }
  return checkElectors(core, leading) ?? continueTransfer(core, leading);
}

export function leaderWakeAtMs(core: Core, leading: Leading): number {
  const { options } = core;
  let wakeAtMs = Math.min(leading.pingAtMs, leading.transfer?.untilMs ?? Infinity);
  for (const learner of leading.learners.values()) wakeAtMs = Math.min(wakeAtMs, Math.max(learner.deadlineMs, core.graceUntilMs));
  for (const [peer, since] of leading.deserters) {
    const graceEndsMs = since + options.redialGraceMs;
    if (!isTrusted(leading.learners.get(peer)) && graceEndsMs > core.nowMs) wakeAtMs = Math.min(wakeAtMs, graceEndsMs);
  }
  if (leading.phase !== "broadcast") return Math.min(wakeAtMs, leading.deadlineMs);
  const lossMs = Math.max(quorumContactMs(core, leading) + options.quorumLossMs, core.graceUntilMs);
  return Math.min(wakeAtMs, lossMs, (core.disk.waitingSinceMs ?? Infinity) + options.quorumLossMs);
}

/** Everything that is cut once per drain: the heartbeat that reads wait for, proposals, NEWLEADER, COMMIT. */
export function flushLeader(core: Core, leading: Leading): void {
  if (leading.reads.wantsRound && leading.epoch > 0) sendPing(core, leading);
  const share: Parameters<typeof stream>[3] = { message: undefined, after: -1 };
  for (const learner of leading.learners.values()) {
    if (learner.stage !== "streaming") continue;
    offerLeadership(core, leading, learner);
    stream(core, leading, learner, share);
    offerLeadership(core, leading, learner);
  }
}

/** The role ends. Reads fail, followers are disconnected; pending proposals have an unknown outcome. */
export function leaveLeading(core: Core, leading: Leading, successor: NodeId | undefined): void {
  leading.reads.purge(core.out);
  for (const { session } of leading.learners.values()) {
    if (successor === undefined) core.out.close(session);
    else core.lingering.add(session);
  }
  if (successor !== undefined) core.lingerUntilMs = core.nowMs + core.farewellMs;
}

function checkElectors(core: Core, leading: Leading): Transition | undefined {
  if (leading.deserters.size === 0 || electorsRemain(core, leading)) return undefined;
  return abdicate(core, leading, "electors-gone", undefined);
}
