/**
 * Phase 0: fast leader election. Decides whom to follow, or to lead; promises nothing.
 *
 * Safety rests on acceptedEpoch, never on votes, so votes are volatile and a wrong result costs one attempt. What matters is
 * that the best log is found quickly, that a node finds a leader that exists already, and that nobody waits for the dead.
 */
import { ZXID_ZERO } from "../base/index.js";
import type { NodeId } from "../base/index.js";
import type { Core } from "./core.js";
import type { ControlMessage, ElectionVote } from "./message.js";
import { isQuorum, isVoter, versionOf, votersOf } from "./quorum.js";
import type { Following, Leading, Looking, Notify, Transition } from "./roles.js";
import { compareVotes } from "./vote.js";

export function createLooking(core: Core, successor: NodeId | undefined): Looking {
  return {
    kind: "looking",
    started: false,
    held: new Map(),
    successor,
    vote: undefined,
    received: new Map(),
    settled: new Map(),
    abstaining: new Set(),
    startedMs: core.nowMs,
    finalizeAtMs: Infinity,
    resendAtMs: Infinity,
    resendMs: core.options.notifyResendMsMin,
  };
}

/** Starts the election once the disk holds everything that was submitted and no snapshot is being installed. */
export function startElection(core: Core, looking: Looking): Transition | undefined {
  if (looking.started || !core.disk.idle || core.installing !== undefined) return undefined;
  looking.started = true;
  looking.startedMs = core.nowMs;
  core.electionsStarted++;
  beginRound(core, looking, core.round + 1);
  core.out.event("election-started", { round: core.round, nonVoting: !core.mayVote });
  let decision = decide(core, looking);
  for (const [from, notify] of looking.held) decision ??= onNotify(core, looking, from, notify);
  looking.held.clear();
  return decision;
}

export function onNotify(core: Core, looking: Looking, from: NodeId, notify: Notify): Transition | undefined {
  if (!looking.started) {
    looking.held.set(from, notify);
    return undefined;
  }
  if (!isVoter(core.configuration, from)) {
    answer(core, looking, from, notify);
    return undefined;
  }
  if (notify.state === "looking") onLookingPeer(core, looking, from, notify);
  else {
    looking.abstaining.delete(from);
    looking.settled.set(from, {
      state: notify.state,
      leader: notify.vote.leader,
      settledEpoch: notify.settledEpoch,
      round: notify.round,
    });
  }
  return decide(core, looking);
}

export function onLinkDown(core: Core, looking: Looking, peer: NodeId): Transition | undefined {
  if (!looking.started) return undefined;
  looking.settled.delete(peer);
  // Its next life will not remember its vote; if only the link broke, it is asked again when that is mended.
  looking.received.delete(peer);
  // The candidate died before it could lead: everybody votes anew, or would wait for it until initLimit.
  if (looking.vote?.leader === peer) beginRound(core, looking, core.round + 1);
  return decide(core, looking);
}

export function onLinkUp(core: Core, looking: Looking, peer: NodeId): void {
  if (looking.started) send(core, looking, peer, true);
}

/** The leader this node has just lost names its successor. In a round under way that only spares the wait for somebody better. */
export function onFarewell(
  core: Core,
  looking: Looking,
  from: NodeId,
  message: Extract<ControlMessage, { readonly kind: "ABDICATE" }>,
): Transition | undefined {
  const { successor } = message;
  if (successor === undefined || core.troubleWith !== from || core.disk.durableEpochs.currentEpoch !== message.epoch) return undefined;
  if (!looking.started || looking.vote?.leader === successor) looking.successor = successor;
  return decide(core, looking);
}

export function onElectionTimers(core: Core, looking: Looking): Transition | undefined {
  if (!looking.started) return undefined;
  const { successor } = looking;
  if (successor !== undefined && core.nowMs >= looking.startedMs + core.farewellMs) {
    looking.successor = undefined;
    // The named successor did not come forward: the ordinary order decides.
    const silent = successor !== core.id && !looking.received.has(successor) && !looking.settled.has(successor);
    if (looking.vote?.leader === successor && silent) beginRound(core, looking, core.round + 1);
  }
  if (core.nowMs >= looking.resendAtMs) {
    broadcast(core, looking);
    looking.resendMs = Math.min(looking.resendMs * 2, core.options.notifyResendMsMax);
    looking.resendAtMs = core.nowMs + core.jitter(looking.resendMs);
  }
  return decide(core, looking);
}

export function electionWakeAtMs(core: Core, looking: Looking): number {
  if (!looking.started) return Infinity;
  const successorMs = looking.successor === undefined ? Infinity : looking.startedMs + core.farewellMs;
  return Math.min(looking.finalizeAtMs, looking.resendAtMs, successorMs);
}

/** A node with a leader answers a looking one: this is how a node that was away finds the leader. */
export function answerSettled(core: Core, role: Following | Leading, to: NodeId): void {
  core.out.control(to, {
    kind: "NOTIFY",
    round: role.kind === "leading" ? core.round : role.round,
    state: role.kind,
    // The epoch is the present one, not the one of the election: votes of settled peers must agree (ZOOKEEPER-1732, 1818).
    vote: {
      leader: role.kind === "leading" ? core.id : role.leader,
      epoch: core.disk.durableEpochs.currentEpoch,
      zxid: core.lastDurable,
    },
    settledEpoch: role.epoch,
    nonVoting: !core.mayVote,
    configVersion: versionOf(core.configuration),
    wantsReply: false,
  });
}

// ---- inside

function beginRound(core: Core, looking: Looking, round: number): void {
  core.round = round;
  looking.received.clear();
  looking.vote = initialVote(core, looking);
  looking.finalizeAtMs = Infinity;
  looking.resendMs = core.options.notifyResendMsMin;
  looking.resendAtMs = core.nowMs + core.jitter(looking.resendMs);
  broadcast(core, looking);
}

/** What this node votes for before it has heard anybody: the named successor, which has everything this node has, or itself. */
function initialVote(core: Core, looking: Looking): ElectionVote | undefined {
  if (!core.mayVote) return undefined;
  const { successor } = looking;
  const named =
    successor !== undefined &&
    isVoter(core.configuration, successor) &&
    !core.deadLinks.has(successor) &&
    !looking.abstaining.has(successor);
  return { leader: named ? successor : core.id, epoch: core.disk.durableEpochs.currentEpoch, zxid: core.lastDurable };
}

function onLookingPeer(core: Core, looking: Looking, from: NodeId, notify: Notify): void {
  looking.settled.delete(from);
  if (notify.nonVoting) {
    looking.abstaining.add(from);
    looking.received.delete(from);
    // It asked for votes before it found that it may not have them.
    if (looking.vote?.leader === from) beginRound(core, looking, core.round + 1);
    else answer(core, looking, from, notify);
    return;
  }
  looking.abstaining.delete(from);
  if (!core.mayVote) {
    // Has no round of its own and passes nothing on: following voters from round to round, it would carry their disagreement in circles.
    looking.received.set(from, { vote: notify.vote, round: notify.round });
    answer(core, looking, from, notify);
    return;
  }
  if (notify.round > core.round) {
    looking.received.clear();
    core.round = notify.round;
    looking.vote = initialVote(core, looking);
    looking.finalizeAtMs = Infinity;
    looking.received.set(from, { vote: notify.vote, round: notify.round });
    adopt(core, looking, notify.vote);
    broadcast(core, looking);
    return;
  }
  if (notify.round < core.round) {
    // Even without being asked: the sender is behind and its vote cannot be counted.
    send(core, looking, from, false);
    return;
  }
  const known = looking.received.get(from);
  // The lane reorders: inside a round votes only improve, so the better one is the newer one.
  if (known === undefined || compareVotes(notify.vote, known.vote) > 0)
    looking.received.set(from, { vote: notify.vote, round: notify.round });
  const candidate = looking.vote?.leader;
  const adopted = adopt(core, looking, notify.vote);
  if (adopted && looking.vote?.leader !== candidate) broadcast(core, looking);
  else answer(core, looking, from, notify);
}

/** Takes the vote if it is better and its candidate is a voter that is not known to be dead or to abstain. */
function adopt(core: Core, looking: Looking, vote: ElectionVote): boolean {
  const { leader } = vote;
  if (!isVoter(core.configuration, leader) || core.deadLinks.has(leader) || looking.abstaining.has(leader)) return false;
  if (looking.vote !== undefined && compareVotes(vote, looking.vote) <= 0) return false;
  if (leader !== looking.vote?.leader) looking.finalizeAtMs = Infinity;
  looking.vote = vote;
  return true;
}

function decide(core: Core, looking: Looking): Transition | undefined {
  if (!looking.started) return undefined;
  return joinSettled(core, looking) ?? concludeRound(core, looking);
}

/**
 * A leader exists: follow it when it says so itself and a quorum agrees. Settled peers are matched on (leader, epoch) only, for
 * their zxid and round legitimately differ (ZOOKEEPER-1732); or, in the round of this very election, on the leader.
 */
function joinSettled(core: Core, looking: Looking): Transition | undefined {
  const { settled, received, vote } = looking;
  for (const [leader, claim] of settled) {
    if (claim.state !== "leading" || claim.leader !== leader || leader === core.id || core.deadLinks.has(leader)) continue;
    const epoch = claim.settledEpoch;
    const loyal = isLoyal(core, leader, epoch);
    const inOffice = isQuorum(core.configuration, (id) => {
      if (id === core.id) return loyal && core.mayVote;
      const peer = settled.get(id);
      return peer !== undefined && peer.leader === leader && peer.settledEpoch === epoch;
    });
    const sameRound =
      claim.round === core.round &&
      isQuorum(core.configuration, (id) => {
        if (id === core.id) return vote?.leader === leader && core.mayVote;
        const peer = settled.get(id);
        return peer === undefined ? received.get(id)?.vote.leader === leader : peer.leader === leader && peer.round === core.round;
      });
    if (!inOffice && !sameRound) continue;
    const { round } = claim;
    // Never back: a vote of an earlier round would be taken for one of the round that others are in already.
    core.round = Math.max(core.round, round);
    core.out.event("out-of-election-join", { leader, epoch, loyal });
    return { kind: "follow", leader, round };
  }
  return undefined;
}

/**
 * A node that holds the history of this very epoch counts itself among those who know its leader: one broken connection, or its own
 * restart, is no reason to wait for others or for a new epoch. Only for a short while once attempts fail.
 */
function isLoyal(core: Core, leader: NodeId, epoch: number): boolean {
  if (epoch === 0 || core.disk.durableEpochs.currentEpoch !== epoch) return false;
  return core.troubleWith !== leader || core.nowMs < core.troubleSinceMs + core.options.redialGraceMs;
}

/** The round is won when a quorum votes for one candidate, the candidate among them, and nobody better is to be expected. */
function concludeRound(core: Core, looking: Looking): Transition | undefined {
  const won = core.mayVote ? winner(core, looking, looking.vote?.leader, core.round) : observedWinner(core, looking);
  if (won === undefined) {
    looking.finalizeAtMs = Infinity;
    return undefined;
  }
  if (looking.finalizeAtMs === Infinity) looking.finalizeAtMs = core.nowMs + core.options.finalizeWaitMs;
  // Nobody better than a named successor is to be expected: it has everything its predecessor had.
  const settled = won.unanimous || won.leader === looking.successor;
  if (!settled && core.nowMs < looking.finalizeAtMs && !core.rarely("early-conclusion")) return undefined;
  const { leader, round, unanimous } = won;
  core.round = Math.max(core.round, round);
  core.out.event("elected", { leader, round, unanimous, tookMs: core.nowMs - looking.startedMs });
  return leader === core.id ? { kind: "lead", electors: won.supporters } : { kind: "follow", leader, round };
}

interface Won {
  readonly leader: NodeId;
  readonly round: number;
  readonly unanimous: boolean;
  readonly supporters: readonly NodeId[];
}

function winner(core: Core, looking: Looking, candidate: NodeId | undefined, round: number): Won | undefined {
  if (candidate === undefined) return undefined;
  const supports = (id: NodeId): boolean => {
    if (id === core.id) return core.mayVote;
    const vote = looking.received.get(id);
    if (vote !== undefined && vote.round === round && vote.vote.leader === candidate) return true;
    const peer = looking.settled.get(id);
    return peer !== undefined && peer.leader === candidate && peer.round === round;
  };
  if (!isQuorum(core.configuration, supports) || !supports(candidate)) return undefined;
  const supporters = votersOf(core.configuration).filter(supports);
  const excused = (id: NodeId): boolean => core.deadLinks.has(id) || looking.abstaining.has(id) || id === core.id;
  return {
    leader: candidate,
    round,
    unanimous: votersOf(core.configuration).every((id) => supporters.includes(id) || excused(id)),
    supporters,
  };
}

/** What a node that may not vote sees the voters agree on, in any round. */
function observedWinner(core: Core, looking: Looking): Won | undefined {
  for (const { vote, round } of looking.received.values()) {
    const won = core.deadLinks.has(vote.leader) ? undefined : winner(core, looking, vote.leader, round);
    if (won !== undefined && won.leader !== core.id) return won;
  }
  return undefined;
}

function answer(core: Core, looking: Looking, to: NodeId, notify: Notify): void {
  if (notify.wantsReply) send(core, looking, to, false);
}

function broadcast(core: Core, looking: Looking): void {
  for (const id of votersOf(core.configuration)) if (id !== core.id) send(core, looking, id, true);
}

function send(core: Core, looking: Looking, to: NodeId, wantsReply: boolean): void {
  core.out.control(to, {
    kind: "NOTIFY",
    round: core.round,
    state: "looking",
    vote: looking.vote ?? { leader: core.id, epoch: 0, zxid: ZXID_ZERO },
    settledEpoch: 0,
    nonVoting: !core.mayVote,
    configVersion: versionOf(core.configuration),
    wantsReply,
  });
}
