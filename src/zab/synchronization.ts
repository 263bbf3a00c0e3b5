/**
 * Phase 2: every follower's log becomes a copy of the leader's, cut where they part and never below.
 *
 * The leader reads the common prefix off the follower's lineage: DIFF when the follower's log is a prefix, TRUNC first when it has a
 * tail of its own, SNAP when they part below what the leader still holds. From the cut point on every entry goes out in one FIFO,
 * old and new alike (the log itself is the queue: broadcast.ts), so nothing falls between synchronization and broadcast
 * (ZOOKEEPER-962, 1551) and nothing overtakes a SNAP (3104). NEWLEADER is not a log entry.
 *
 * Durability, at the follower: history, then currentEpoch, then ACKNEWLEADER (ZOOKEEPER-4643, 4646, 3911).
 */
import { assert, compareZxid, equalZxid, formatZxid, must, type Zxid } from "../base/index.js";
import { advanceCommit, learnCommit } from "./broadcast.js";
import type { Core } from "./core.js";
import { mayBecomeCurrent } from "./damage.js";
import { commonPrefix, type History, type RemoteLog } from "./history.js";
import type { SessionId, SyncKind } from "./input.js";
import { sendPing } from "./heartbeat.js";
import { dropLearner, extendDeadline } from "./learner-tracker.js";
import type { SessionMessage } from "./message.js";
import { isQuorum, isVoter, sameConfiguration } from "./quorum.js";
import type { Following, Leading, Learner, Transition } from "./roles.js";

type Of<K extends SessionMessage["kind"]> = Extract<SessionMessage, { readonly kind: K }>;

export type SyncPlan =
  | { readonly kind: "DIFF" | "TRUNC"; /** the last shared entry */ readonly from: number }
  | { readonly kind: "SNAP" }
  /** The follower's committed prefix is not part of this log: no synchronization can be right. */
  | { readonly kind: "FOREIGN" };

/** How to turn the follower's log into a prefix of this one. */
export function planSync(history: History, remote: RemoteLog): SyncPlan {
  const shared = commonPrefix(history, remote);
  if (shared === "foreign") return { kind: "FOREIGN" };
  if (shared === "below") return { kind: "SNAP" };
  return { kind: equalZxid(history.zxidAt(shared), remote.last) ? "DIFF" : "TRUNC", from: shared };
}

// ---- leader

export function startSync(core: Core, leading: Leading, learner: Learner): void {
  const log = must(learner.log, "log of a promised learner");
  const planned = planSync(core.history, log);
  const plan: SyncPlan = planned.kind !== "FOREIGN" && core.rarely("snapshot-instead-of-diff") ? { kind: "SNAP" } : planned;
  switch (plan.kind) {
    case "FOREIGN":
      core.out.event("foreign-history", { peer: learner.peer, base: formatZxid(log.base), last: formatZxid(log.last) });
      dropLearner(core, leading, learner, "foreign-history");
      return;
    case "SNAP":
      learner.stage = "awaiting-snapshot";
      // Whatever snapshot storage has, it is of a checkpoint at or above this base: nothing after it may be compacted meanwhile.
      learner.pinIndex = core.history.baseIndex;
      extendDeadline(core, learner);
      core.out.snapshotWanted(learner.session, learner.peer);
      return;
    case "DIFF":
    case "TRUNC": {
      const from = core.history.zxidAt(plan.from);
      if (plan.kind === "TRUNC") core.out.session(learner.session, { kind: "TRUNC", to: from });
      startStream(core, leading, learner, plan.kind, plan.from);
      return;
    }
  }
}

export function onSnapshotReady(core: Core, leading: Leading, session: SessionId, at: Zxid, snapshotId: string): void {
  const learner = leading.sessions.get(session);
  if (learner?.stage !== "awaiting-snapshot") return;
  const index = core.history.indexOf(at);
  if (index === undefined || index > core.deliveredIndex) {
    // Not a state this log continues from: the learner comes again and another snapshot is made.
    dropLearner(core, leading, learner, "unusable-snapshot");
    return;
  }
  core.out.session(session, { kind: "SNAP", at, snapshotId });
  learner.pinIndex = index;
  startStream(core, leading, learner, "SNAP", index);
}

function startStream(core: Core, leading: Leading, learner: Learner, kind: SyncKind, from: number): void {
  const at = core.history.zxidAt(from);
  learner.stage = "streaming";
  learner.sentIndex = from;
  learner.durableIndex = from;
  learner.newLeaderAtIndex = core.history.lastIndex;
  extendDeadline(core, learner);
  core.out.session(learner.session, { kind: "DIFF", from: at });
  core.out.event(`${kind.toLowerCase()}-sent`, {
    peer: learner.peer,
    epoch: leading.epoch,
    from: formatZxid(at),
    to: formatZxid(core.history.last),
  });
}

/** Sends NEWLEADER once the history is out, behind it in the same FIFO. */
export function offerLeadership(core: Core, leading: Leading, learner: Learner): void {
  if (learner.newLeaderSent || learner.sentIndex < learner.newLeaderAtIndex) return;
  if (!mayBecomeCurrent(core.id, core.configuration, leading, learner)) return;
  learner.newLeaderSent = true;
  learner.newLeaderAtIndex = learner.sentIndex;
  const { configuration } = core;
  const last = core.history.zxidAt(learner.sentIndex);
  core.out.session(learner.session, { kind: "NEWLEADER", epoch: leading.epoch, last, configuration });
}

export function onNewLeaderAcknowledged(
  core: Core,
  leading: Leading,
  learner: Learner,
  message: Of<"ACKNEWLEADER">,
): Transition | undefined {
  const index = core.history.indexOf(message.last);
  const valid = learner.newLeaderSent && !learner.current && message.epoch === leading.epoch;
  if (!valid || index === undefined || index < learner.newLeaderAtIndex || index > learner.sentIndex) {
    return dropLearner(core, leading, learner, "protocol");
  }
  learner.current = true;
  learner.durableIndex = Math.max(learner.durableIndex, index);
  learner.pinIndex = Infinity;
  if (learner.damage !== undefined) {
    core.out.event("damage-cleared", { peer: learner.peer, damage: learner.damage });
    learner.damage = undefined;
  }
  if (leading.phase === "broadcast") {
    // What it holds may complete a quorum, and it has nothing more to acknowledge.
    advanceCommit(core, leading);
    sendUpToDate(core, leading, learner);
  } else tryEstablish(core, leading);
  return undefined;
}

/** With a quorum that holds the initial history as its current epoch, that history is committed. */
export function tryEstablish(core: Core, leading: Leading): undefined {
  if (leading.phase !== "synchronization") return;
  leading.current = core.disk.durableEpochs.currentEpoch === leading.epoch;
  if (!isQuorum(core.configuration, (id) => (id === core.id ? leading.current : leading.learners.get(id)?.current === true))) return;
  assert(core.history.lastIndex === leading.initialIndex, "nothing is proposed before establishment");
  leading.phase = "broadcast";
  leading.sinceMs = core.nowMs;
  core.commitUpTo(leading.initialIndex);
  core.out.event("established", { epoch: leading.epoch, initial: formatZxid(leading.initialLast) });
  for (const learner of leading.learners.values()) if (learner.current) sendUpToDate(core, leading, learner);
  leading.reads.established(core.committed);
  // Learners that had to wait for an established leader are offered it with this heartbeat's answers at the latest.
  sendPing(core, leading);
}

function sendUpToDate(core: Core, leading: Leading, learner: Learner): void {
  learner.upToDateSent = true;
  learner.commitSentIndex = core.commitIndex;
  extendDeadline(core, learner);
  // The latest commit, not the acknowledged zxid: what was committed meanwhile must not wait for the next proposal.
  core.out.session(learner.session, { kind: "UPTODATE", epoch: leading.epoch, commit: core.committed });
  core.out.event("uptodate", { peer: learner.peer, counted: isVoter(core.configuration, learner.peer) });
}

// ---- follower

/** For status: where this log ended when its leader began, and with which message it began. */
function noteSync(core: Core, following: Following, kind: SyncKind): void {
  const { last } = core.history;
  core.lastSync = { peer: following.leader, kind, from: last, to: last, atMs: core.nowMs };
}

export function onTrunc(core: Core, following: Following, message: Of<"TRUNC">): Transition | undefined {
  const to = following.stage === "awaiting-sync" ? core.history.indexOf(message.to) : undefined;
  if (to === undefined) return { kind: "look", reason: "sync-mismatch" };
  const removed = core.history.lastIndex - to;
  noteSync(core, following, "TRUNC");
  core.truncate(to);
  following.stage = "awaiting-diff";
  core.out.event("trunc-applied", { to: formatZxid(message.to), removed });
  return undefined;
}

export function onSnap(core: Core, following: Following, message: Of<"SNAP">): Transition | undefined {
  // A snapshot that is not newer than what was applied is never installed over it; a damaged log may need even that.
  const newer = compareZxid(message.at, core.committed) > 0 || core.disk.submittedEpochs.damage !== undefined;
  if (following.stage !== "awaiting-sync" || !newer) return { kind: "look", reason: "sync-mismatch" };
  assert(core.installing === undefined, "one snapshot is installed at a time");
  following.stage = "installing";
  noteSync(core, following, "SNAP");
  core.installing = following.session;
  core.out.installWanted(following.session, following.leader, message.at, message.snapshotId);
  return undefined;
}

export function onDiff(core: Core, following: Following, message: Of<"DIFF">): Transition | undefined {
  const expected = following.stage === "awaiting-sync" || following.stage === "awaiting-diff";
  // The log must end exactly where the leader begins: here a wrong truncation is noticed (ZOOKEEPER-2846, 4352).
  if (!expected || !equalZxid(message.from, core.history.last)) return { kind: "look", reason: "sync-mismatch" };
  if (following.stage === "awaiting-sync") noteSync(core, following, "DIFF");
  following.stage = "streaming";
  following.ackedIndex = core.disk.durableIndex;
  following.deadlineMs = core.nowMs + core.options.initLimitMs;
  return undefined;
}

export function onNewLeader(core: Core, following: Following, message: Of<"NEWLEADER">): Transition | undefined {
  const matches = message.epoch === following.epoch && equalZxid(message.last, core.history.last);
  if (following.stage !== "streaming" || !matches) return { kind: "look", reason: "sync-mismatch" };
  following.stage = "history-syncing";
  following.newLeader = message;
  following.newLeaderIndex = core.history.lastIndex;
  if (core.lastSync !== undefined) core.lastSync = { ...core.lastSync, to: message.last, atMs: core.nowMs };
  acceptLeadership(core, following);
  return undefined;
}

/** Called whenever durability advanced: history first, then the epoch, then the acknowledgement. */
export function acceptLeadership(core: Core, following: Following): void {
  const { disk } = core;
  if (following.stage === "history-syncing" && disk.durableIndex >= following.newLeaderIndex) {
    const offered = must(following.newLeader, "NEWLEADER").configuration;
    following.stage = "epoch-syncing";
    const { currentEpoch, damage, configuration } = disk.submittedEpochs;
    const same = sameConfiguration(offered, configuration);
    // Damage is cleared by the very write that makes the rebuilt history current.
    if (currentEpoch !== following.epoch || damage !== undefined || !same) {
      core.updateEpochs({ currentEpoch: following.epoch, configuration: same ? configuration : offered, damage: undefined });
    }
    following.promiseSeq = disk.submittedSeq;
  }
  if (following.stage === "epoch-syncing" && disk.durableSeq >= following.promiseSeq) {
    assert(disk.durableEpochs.currentEpoch === following.epoch, "ACKNEWLEADER leaves after currentEpoch is durable");
    following.stage = "acknowledged";
    following.ackedIndex = disk.durableIndex;
    core.out.session(following.session, { kind: "ACKNEWLEADER", epoch: following.epoch, last: core.lastDurable });
  }
}

export function onUpToDate(core: Core, following: Following, message: Of<"UPTODATE">): Transition | undefined {
  if (following.stage !== "acknowledged" || message.epoch !== following.epoch) return { kind: "look", reason: "sync-mismatch" };
  following.stage = "serving";
  following.deadlineMs = Infinity;
  core.troubleWith = undefined;
  core.failedAttempts = 0;
  learnCommit(core, following, message.commit);
  return undefined;
}
