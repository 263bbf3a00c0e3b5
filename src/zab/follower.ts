/**
 * The following role: one dialed session to the leader, whose messages go to the phase they belong to, and the reasons to leave.
 *
 * A lost connection is a hint, acted upon at once: this node looks for a leader, while others stay loyal. A wrong hint costs one
 * exchange, for a leader in office answers and is joined again.
 */
import { unreachable } from "../base/index.js";
import type { NodeId, Zxid } from "../base/index.js";
import { acknowledge, onCommit, onPropose } from "./broadcast.js";
import type { Core } from "./core.js";
import { SilenceDetector } from "./detector.js";
import { announceEpoch, onNewEpoch, sendPromise } from "./discovery.js";
import { answerSettled } from "./election.js";
import type { ControlMessage, SessionMessage } from "./message.js";
import { isVoter } from "./quorum.js";
import type { Following, Notify, Transition } from "./roles.js";
import { acceptLeadership, onDiff, onNewLeader, onSnap, onTrunc, onUpToDate } from "./synchronization.js";

export function createFollowing(core: Core, leader: NodeId, round: number): Following {
  const { options, nowMs } = core;
  const failures = core.troubleWith === leader ? core.failedAttempts : 0;
  // Well inside initLimit, or the pause of its followers would use up the time a leader has to gather them.
  const pauseMsMax = Math.min(options.notifyResendMsMax, options.initLimitMs / 4);
  const backoffMs = failures === 0 ? 0 : core.jitter(Math.min(options.notifyResendMsMin * 2 ** (failures - 1), pauseMsMax));
  return {
    kind: "following",
    leader,
    round,
    session: core.newSession(),
    stage: "connecting",
    epoch: 0,
    dialAtMs: nowMs + backoffMs,
    dialed: false,
    ended: false,
    promiseSeq: 0,
    promisedBefore: false,
    newLeaderIndex: 0,
    newLeader: undefined,
    ackedIndex: 0,
    deferred: [],
    detector: new SilenceDetector(options, nowMs),
    deadlineMs: nowMs + backoffMs + options.initLimitMs,
  };
}

/** Dials as soon as the pause after failed attempts is over. */
export function enterFollowing(core: Core, following: Following): void {
  if (following.dialed || core.nowMs < following.dialAtMs) return;
  following.dialed = true;
  core.out.dial(following.session, following.leader);
}

export function onLeaderSessionUp(core: Core, following: Following): void {
  if (following.stage === "connecting") announceEpoch(core, following);
}

export function onLeaderMessage(core: Core, following: Following, message: SessionMessage): Transition | undefined {
  following.detector.heard(core.nowMs);
  if (following.stage === "installing") {
    // Nothing overtakes SNAP: what comes behind it waits until the snapshot is the state.
    following.deferred.push(message);
    return undefined;
  }
  switch (message.kind) {
    case "NEWEPOCH":
      return onNewEpoch(core, following, message);
    case "DIFF":
      return onDiff(core, following, message);
    case "TRUNC":
      return onTrunc(core, following, message);
    case "SNAP":
      return onSnap(core, following, message);
    case "NEWLEADER":
      return onNewLeader(core, following, message);
    case "UPTODATE":
      return onUpToDate(core, following, message);
    case "PROPOSE":
      return onPropose(core, following, message);
    case "COMMIT":
      return onCommit(core, following, message);
    case "CEPOCH":
    case "ACKEPOCH":
    case "REFUSE":
    case "ACKNEWLEADER":
    case "ACK":
      return { kind: "look", reason: "sync-mismatch" };
    default:
      return unreachable(message);
  }
}

/** Storage finished the install asked for in this session. The log was reset by the caller when it succeeded. */
export function onInstallDone(core: Core, following: Following, at: Zxid, ok: boolean): Transition | undefined {
  if (!ok) return { kind: "look", reason: "install-failed" };
  core.out.event("snap-installed", { at: `${at.epoch}:${at.counter}` });
  following.stage = "awaiting-diff";
  following.deadlineMs = core.nowMs + core.options.initLimitMs;
  const deferred = following.deferred.splice(0);
  for (const message of deferred) {
    const transition = onLeaderMessage(core, following, message);
    if (transition !== undefined) return transition;
  }
  return undefined;
}

/** Durability advanced. */
export function onFollowerPersisted(core: Core, following: Following): void {
  sendPromise(core, following);
  acceptLeadership(core, following);
}

export function onAbdication(
  following: Following,
  from: NodeId,
  message: Extract<ControlMessage, { readonly kind: "ABDICATE" }>,
): Transition | undefined {
  if (from !== following.leader || (following.epoch !== 0 && following.epoch !== message.epoch)) return undefined;
  return { kind: "look", reason: "leader-abdicated", successor: message.successor };
}

export function onNotifyWhileFollowing(core: Core, following: Following, from: NodeId, notify: Notify): Transition | undefined {
  if (notify.wantsReply) answerSettled(core, following, from);
  if (notify.state !== "looking") return undefined;
  if (following.epoch === 0 && isVoter(core.configuration, from)) core.askers.add(from);
  // The leader itself looks for one, in an election after the one it won: it is no leader any more.
  // Its vote says who it thinks should follow it, should that arrive before its farewell.
  if (from === following.leader && notify.round > following.round) {
    const successor = notify.vote.leader === from ? undefined : notify.vote.leader;
    return { kind: "look", reason: "leader-looking", successor };
  }
  return undefined;
}

export function onFollowerTimers(core: Core, following: Following): Transition | undefined {
  enterFollowing(core, following);
  if (following.stage === "serving" && core.rarely("needless-election")) return { kind: "look", reason: "needless" };
  const { nowMs } = core;
  if (nowMs >= deadlineMs(core, following)) return { kind: "look", reason: "init-limit" };
  if (nowMs >= silenceMs(core, following)) {
    core.out.event("leader-silent", { leader: following.leader, limitMs: Math.round(following.detector.limitMs) });
    return { kind: "look", reason: "leader-silent" };
  }
  return undefined;
}

export function followerWakeAtMs(core: Core, following: Following): number {
  const dialMs = following.dialed ? Infinity : following.dialAtMs;
  return Math.min(dialMs, deadlineMs(core, following), silenceMs(core, following));
}

/** One cumulative acknowledgement per drain. */
export function flushFollower(core: Core, following: Following): void {
  acknowledge(core, following);
}

export function leaveFollowing(core: Core, following: Following): void {
  if (core.troubleWith !== following.leader) {
    core.troubleWith = following.leader;
    core.troubleSinceMs = core.nowMs;
    core.failedAttempts = 0;
  }
  if (following.stage !== "serving") core.failedAttempts++;
  if (following.dialed && !following.ended) core.out.close(following.session);
}

/** Discovery and synchronization are bounded, except by what lies with storage (an install) or with other voters (damage.ts). */
function deadlineMs(core: Core, following: Following): number {
  if (following.stage === "installing") return Infinity;
  if (following.stage === "streaming" && core.disk.submittedEpochs.damage !== undefined) return Infinity;
  return following.deadlineMs;
}

/** Heartbeats begin with ACKEPOCH. */
function silenceMs(core: Core, following: Following): number {
  const { stage } = following;
  if (stage === "connecting" || stage === "awaiting-epoch" || stage === "promising") return Infinity;
  return Math.max(following.detector.deadlineMs, core.graceUntilMs);
}

/** For the role as others see it. */
export function followerPhase(following: Following): "discovery" | "synchronization" | "broadcast" {
  switch (following.stage) {
    case "connecting":
    case "awaiting-epoch":
    case "promising":
      return "discovery";
    case "serving":
      return "broadcast";
    default:
      return "synchronization";
  }
}
