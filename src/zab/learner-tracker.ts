/**
 * The leader's book of followers: who is connected, how far each has come, who may be counted.
 */
import { ZXID_ZERO } from "../base/index.js";
import type { NodeId } from "../base/index.js";
import type { Core } from "./core.js";
import type { SessionId } from "./input.js";
import { isQuorum, isVoter, reachedByQuorum } from "./quorum.js";
import { ReadRounds } from "./reads.js";
import type { Leading, Learner } from "./roles.js";

export function createLeading(core: Core, electors: readonly NodeId[]): Leading {
  const { history, disk, options, nowMs } = core;
  return {
    kind: "leading",
    phase: "discovery",
    epoch: 0,
    promised: false,
    current: false,
    initialIndex: history.lastIndex,
    initialLast: history.last,
    initialEpoch: disk.durableEpochs.currentEpoch,
    learners: new Map(),
    sessions: new Map(),
    contacts: new Map(),
    deserters: new Map(),
    electors: new Set(electors),
    reads: new ReadRounds(),
    pingSeq: 0,
    pingAtMs: nowMs + options.pingIntervalMs,
    sinceMs: nowMs,
    deadlineMs: nowMs + options.initLimitMs,
    transfer: undefined,
  };
}

/** A new connection replaces an older one of the same peer: a dangling socket must not keep a dead one alive (ZOOKEEPER-3240). */
export function addLearner(core: Core, leading: Leading, session: SessionId, peer: NodeId): Learner {
  const older = leading.learners.get(peer);
  if (older !== undefined) dropLearner(core, leading, older, "replaced");
  const learner: Learner = {
    peer,
    session,
    stage: "connected",
    damage: undefined,
    acceptedEpoch: 0,
    promiseCounts: false,
    log: undefined,
    sentIndex: 0,
    durableIndex: 0,
    commitSentIndex: 0,
    newLeaderAtIndex: 0,
    newLeaderSent: false,
    current: false,
    upToDateSent: false,
    pinIndex: Infinity,
    joinedAtPingSeq: leading.pingSeq,
    pongSeq: 0,
    deadlineMs: core.nowMs + core.options.initLimitMs,
  };
  leading.learners.set(peer, learner);
  leading.sessions.set(session, learner);
  leading.deserters.delete(peer);
  return learner;
}

/**
 * Every learner owes something in bounded time, or it is let go: one that is current a sign of life (ZOOKEEPER-3240), one that is being
 * synchronized an answer to a heartbeat (a snapshot in transfer takes as long as it takes), any other its next message.
 */
export function extendDeadline(core: Core, learner: Learner): void {
  const { options, nowMs } = core;
  const silenceMs = Math.max(options.quorumLossMs, options.followerSilenceMsMax);
  learner.deadlineMs = nowMs + (learner.upToDateSent ? silenceMs : options.initLimitMs);
}

/** Ends a learner's session from this side. */
export function dropLearner(core: Core, leading: Leading, learner: Learner, why: string): undefined {
  forgetLearner(leading, learner);
  core.out.close(learner.session);
  core.out.event("learner-dropped", { peer: learner.peer, why });
}

export function forgetLearner(leading: Leading, learner: Learner): void {
  leading.sessions.delete(learner.session);
  if (leading.learners.get(learner.peer) === learner) leading.learners.delete(learner.peer);
}

/** A node with damage is served but believed in nothing. */
export function isTrusted(learner: Learner | undefined): learner is Learner {
  return learner !== undefined && learner.damage === undefined;
}

/** Entries a quorum holds durably under this leader's epoch. */
export function quorumDurableIndex(core: Core, leading: Leading): number {
  return reachedByQuorum(core.configuration, (id) => {
    if (id === core.id) return leading.current ? core.disk.durableIndex : -1;
    const learner = leading.learners.get(id);
    return learner?.current === true ? learner.durableIndex : -1;
  });
}

/** The latest heartbeat that a quorum has answered. */
export function quorumPongSeq(core: Core, leading: Leading): number {
  return reachedByQuorum(core.configuration, (id) => {
    if (id === core.id) return core.mayVote ? leading.pingSeq : -1;
    const learner = leading.learners.get(id);
    return isTrusted(learner) ? learner.pongSeq : -1;
  });
}

/** When a quorum, the leader included, was last heard of. */
export function quorumContactMs(core: Core, leading: Leading): number {
  return reachedByQuorum(core.configuration, (id) => (id === core.id ? Infinity : (leading.contacts.get(id) ?? leading.sinceMs)));
}

/** True while those who are connected, or may yet connect, can form a quorum. Before establishment those may who voted for it. */
export function electorsRemain(core: Core, leading: Leading): boolean {
  const inOffice = leading.phase === "broadcast";
  const graceMs = inOffice ? core.options.redialGraceMs : 0;
  return isQuorum(core.configuration, (id) => {
    if (id === core.id || isTrusted(leading.learners.get(id))) return true;
    const since = leading.deserters.get(id);
    if (since !== undefined) return core.nowMs < since + graceMs;
    return !core.deadLinks.has(id) && (inOffice || leading.electors.has(id));
  });
}

/** The counted voter that has most of the log. */
export function mostAdvanced(core: Core, leading: Leading): Learner | undefined {
  let best: Learner | undefined;
  for (const learner of leading.learners.values()) {
    if (!learner.current || !isVoter(core.configuration, learner.peer)) continue;
    if (
      best === undefined ||
      learner.durableIndex > best.durableIndex ||
      (learner.durableIndex === best.durableIndex && learner.peer < best.peer)
    ) {
      best = learner;
    }
  }
  return best;
}

export function describeLearners(core: Core, leading: Leading): { peer: NodeId; durable: typeof ZXID_ZERO; counted: boolean }[] {
  return [...leading.learners.values()]
    .sort((a, b) => a.peer - b.peer)
    .map((learner) => ({
      peer: learner.peer,
      durable: learner.stage === "streaming" ? core.history.zxidAt(Math.max(learner.durableIndex, core.history.baseIndex)) : ZXID_ZERO,
      counted: learner.current && isVoter(core.configuration, learner.peer),
    }));
}
