/**
 * Phase 1: a prospective leader learns which epochs its followers have promised, proposes a higher one, and collects their promises.
 *
 * Decides the epoch and with it the initial history: once a quorum has promised e to a leader that none of them is ahead of, no entry
 * of a lower epoch that this leader lacks can be committed any more. A node supports each epoch once.
 *
 * Durability: acceptedEpoch = e is on disk before NEWEPOCH leaves the leader and before ACKEPOCH leaves a follower.
 */
import { assert, compareZxid } from "../base/index.js";
import type { NodeId } from "../base/index.js";
import type { Core } from "./core.js";
import { dropLearner, extendDeadline } from "./learner-tracker.js";
import type { SessionMessage } from "./message.js";
import { isQuorum, isVoter, versionOf } from "./quorum.js";
import type { Following, Leading, Learner, Transition } from "./roles.js";
import { startSync, tryEstablish } from "./synchronization.js";
import { abdicate } from "./transfer.js";

type Of<K extends SessionMessage["kind"]> = Extract<SessionMessage, { readonly kind: K }>;

const EPOCH_MAX = 0xffff_ffff;

// ---- follower

export function announceEpoch(core: Core, following: Following): void {
  following.stage = "awaiting-epoch";
  const { acceptedEpoch, damage } = core.disk.submittedEpochs;
  core.out.session(following.session, { kind: "CEPOCH", acceptedEpoch, configVersion: versionOf(core.configuration), damage });
}

export function onNewEpoch(core: Core, following: Following, message: Of<"NEWEPOCH">): Transition | undefined {
  if (following.stage !== "awaiting-epoch") return { kind: "look", reason: "sync-mismatch" };
  const { acceptedEpoch } = core.disk.submittedEpochs;
  if (message.epoch < acceptedEpoch) {
    core.out.event("refused", { leader: following.leader, epoch: message.epoch, acceptedEpoch });
    core.out.session(following.session, { kind: "REFUSE", acceptedEpoch, reason: "promised a higher epoch" });
    return { kind: "look", reason: "epoch-refused" };
  }
  following.stage = "promising";
  following.epoch = message.epoch;
  following.promisedBefore = message.epoch === acceptedEpoch;
  if (!following.promisedBefore) core.updateEpochs({ acceptedEpoch: message.epoch });
  // The queue is one FIFO: with this operation everything logged under earlier leaders is durable too.
  following.promiseSeq = core.disk.submittedSeq;
  sendPromise(core, following);
  return undefined;
}

/** Called whenever durability advanced. */
export function sendPromise(core: Core, following: Following): void {
  const { disk, history } = core;
  if (following.stage !== "promising" || disk.durableSeq < following.promiseSeq) return;
  assert(disk.durableEpochs.acceptedEpoch === following.epoch, "ACKEPOCH leaves after its promise is durable");
  assert(disk.durableIndex === history.lastIndex, "ACKEPOCH describes a durable log");
  following.stage = "awaiting-sync";
  following.detector.heard(core.nowMs);
  core.out.session(following.session, {
    kind: "ACKEPOCH",
    epoch: following.epoch,
    currentEpoch: following.promisedBefore ? undefined : disk.durableEpochs.currentEpoch,
    last: history.last,
    base: history.base,
    lineage: history.lineage(),
  });
}

// ---- leader

export function onEpochAnnounced(core: Core, leading: Leading, learner: Learner, message: Of<"CEPOCH">): Transition | undefined {
  if (learner.stage !== "connected") return dropLearner(core, leading, learner, "protocol");
  if (compareZxid(message.configVersion, versionOf(core.configuration)) > 0)
    return dropLearner(core, leading, learner, "newer-configuration");
  learner.stage = "announced";
  // From here on it waits for this leader, which has a limit of its own.
  learner.deadlineMs = Infinity;
  learner.damage = message.damage;
  learner.acceptedEpoch = message.acceptedEpoch;
  learner.joinedAtPingSeq = leading.pingSeq;
  if (leading.epoch === 0) return tryProposeEpoch(core, leading);
  if (message.acceptedEpoch > leading.epoch) return onHigherPromise(core, leading, learner);
  if (leading.promised) proposeEpoch(core, leading, learner);
  return undefined;
}

/** A follower promised a higher epoch between CEPOCH and NEWEPOCH. */
export function onRefuse(core: Core, leading: Leading, learner: Learner, message: Of<"REFUSE">): Transition | undefined {
  learner.acceptedEpoch = message.acceptedEpoch;
  if (message.acceptedEpoch <= leading.epoch) return dropLearner(core, leading, learner, "refused");
  return onHigherPromise(core, leading, learner);
}

/** With a quorum of announcements, itself included, the epoch is one above all of them. */
export function tryProposeEpoch(core: Core, leading: Leading): Transition | undefined {
  if (leading.epoch !== 0) return undefined;
  const announced = (id: NodeId): boolean => {
    if (id === core.id) return true;
    const learner = leading.learners.get(id);
    return learner?.stage === "announced" && learner.damage === undefined;
  };
  if (!isQuorum(core.configuration, announced)) return undefined;
  let highest = Math.max(core.disk.submittedEpochs.acceptedEpoch, core.promiseSeen);
  for (const learner of leading.learners.values()) if (learner.stage === "announced") highest = Math.max(highest, learner.acceptedEpoch);
  leading.epoch = highest + 1;
  assert(leading.epoch <= EPOCH_MAX, "epochs fit 32 bits");
  core.updateEpochs({ acceptedEpoch: leading.epoch });
  core.out.event("epoch-proposed", { epoch: leading.epoch });
  return undefined;
}

/** The leader's own promise became durable: now it may ask others for theirs. */
export function onOwnPromiseDurable(core: Core, leading: Leading): Transition | undefined {
  leading.promised = true;
  assert(core.disk.durableIndex === leading.initialIndex, "the initial history is durable before it is offered");
  for (const learner of leading.learners.values()) if (learner.stage === "announced") proposeEpoch(core, leading, learner);
  return tryFixHistory(core, leading);
}

export function onEpochAcknowledged(core: Core, leading: Leading, learner: Learner, message: Of<"ACKEPOCH">): Transition | undefined {
  if (learner.stage !== "promising" || message.epoch !== leading.epoch) return dropLearner(core, leading, learner, "protocol");
  learner.stage = "promised";
  learner.log = message;
  learner.deadlineMs = Infinity;
  if (leading.phase !== "discovery") {
    // The history is fixed: whatever a late follower has beyond it was never committed.
    startSync(core, leading, learner);
    return undefined;
  }
  if (learner.damage !== undefined || message.currentEpoch === undefined || !isVoter(core.configuration, learner.peer)) return undefined;
  const ahead =
    message.currentEpoch !== leading.initialEpoch
      ? message.currentEpoch > leading.initialEpoch
      : compareZxid(message.last, leading.initialLast) > 0;
  if (ahead) {
    // Counting it would fix a history that may lack committed entries. It is the better leader.
    core.out.event("ahead-follower", { peer: learner.peer, currentEpoch: message.currentEpoch });
    return abdicate(core, leading, "follower-ahead", learner.peer);
  }
  learner.promiseCounts = true;
  return tryFixHistory(core, leading);
}

function proposeEpoch(core: Core, leading: Leading, learner: Learner): void {
  learner.stage = "promising";
  extendDeadline(core, learner);
  core.out.session(learner.session, { kind: "NEWEPOCH", epoch: leading.epoch });
}

/** With a quorum of promises the leader's log is the initial history of its epoch. */
function tryFixHistory(core: Core, leading: Leading): Transition | undefined {
  if (leading.phase !== "discovery" || !leading.promised) return undefined;
  if (!isQuorum(core.configuration, (id) => id === core.id || leading.learners.get(id)?.promiseCounts === true)) return undefined;
  leading.phase = "synchronization";
  core.updateEpochs({ currentEpoch: leading.epoch });
  for (const learner of leading.learners.values()) if (learner.stage === "promised") startSync(core, leading, learner);
  return tryEstablish(core, leading);
}

/**
 * A voter that promised a higher epoch can never follow this leader. Before establishment the attempt is worthless; after it the
 * leader moves everybody to a new epoch, in good order and not too often.
 */
function onHigherPromise(core: Core, leading: Leading, learner: Learner): Transition | undefined {
  const { peer } = learner;
  core.out.event("refused", { peer, epoch: leading.epoch, acceptedEpoch: learner.acceptedEpoch });
  dropLearner(core, leading, learner, "higher-epoch-promised");
  if (!isVoter(core.configuration, peer)) return undefined;
  core.promiseSeen = Math.max(core.promiseSeen, learner.acceptedEpoch);
  if (leading.phase !== "broadcast") {
    // One with damage makes no quorum: this attempt is as good without it.
    return learner.damage === undefined ? abdicate(core, leading, "higher-epoch-promised", undefined) : undefined;
  }
  if (leading.transfer === undefined && core.nowMs >= core.epochBumpedMs + core.options.initLimitMs) {
    core.epochBumpedMs = core.nowMs;
    leading.transfer = { to: core.id, untilMs: core.nowMs + core.options.transferTimeoutMs, bumpsEpoch: true };
  }
  return undefined;
}
