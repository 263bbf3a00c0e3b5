/**
 * The dispatcher: one input in, to the role it concerns; one Ready out. The only assigner of the role.
 *
 * A role ends by returning a transition; nothing else changes it. After every input timers are looked at and invariants checked.
 */
import { assert, compareZxid, formatZxid, unreachable } from "../base/index.js";
import type { Buggify, NodeId, Zxid } from "../base/index.js";
import { appendProposals } from "./broadcast.js";
import { maybeCompact } from "./compaction.js";
import { Core } from "./core.js";
import {
  createLooking,
  electionWakeAtMs,
  onElectionTimers,
  onFarewell,
  onLinkDown,
  onLinkUp,
  onNotify,
  startElection,
  answerSettled,
} from "./election.js";
import type { EpochRecord, RecoveredLog } from "./entry.js";
import {
  createFollowing,
  enterFollowing,
  flushFollower,
  followerPhase,
  followerWakeAtMs,
  leaveFollowing,
  onAbdication,
  onFollowerPersisted,
  onFollowerTimers,
  onInstallDone,
  onLeaderMessage,
  onLeaderSessionUp,
  onNotifyWhileFollowing,
} from "./follower.js";
import { onPing, onPong } from "./heartbeat.js";
import { History } from "./history.js";
import type { ProposeRefusal, Ready, Role, SessionId, ZabInput } from "./input.js";
import { checkInvariants } from "./invariants.js";
import type { Configuration } from "./membership.js";
import {
  enterLeading,
  flushLeader,
  leaderWakeAtMs,
  leaveLeading,
  onElectorLost,
  onLeaderPersisted,
  onLeaderTimers,
  onLearnerMessage,
  onLearnerSessionDown,
  onNotifyWhileLeading,
} from "./leader.js";
import { addLearner, createLeading, describeLearners, mostAdvanced } from "./learner-tracker.js";
import type { ControlMessage, SessionMessage } from "./message.js";
import { Outbox } from "./outbox.js";
import type { CreateZabPeer, ZabOptions, ZabPeer, ZabStatus } from "./peer-api.js";
import { PersistQueue } from "./persist-queue.js";
import { isVoter } from "./quorum.js";
import type { RoleState, Transition } from "./roles.js";
import { onSnapshotReady } from "./synchronization.js";
import { abdicate, startTransfer } from "./transfer.js";

/** A node's roles change at most this often inside one step; more is a livelock, which is a bug. */
const TRANSITIONS_MAX = 16;
/** A session that waits for the election to end carries CEPOCH and nothing else. */
const WAITING_MESSAGES_MAX = 4;
/** Below 2^53 with room for one batch. */
const COUNTER_MAX = 2 ** 53 - 2 ** 32;

export const createZabPeer: CreateZabPeer = (id, recovered, options, random32, nowMs, buggify) =>
  new Peer(id, recovered, options, random32, nowMs, buggify);

class Peer implements ZabPeer {
  readonly #core: Core;
  readonly #seen = { acceptedEpoch: 0, currentEpoch: 0 };
  #role: RoleState;
  #shown: Role | undefined;
  #wakeAtMs: number;

  constructor(
    id: NodeId,
    recovered: RecoveredLog,
    options: ZabOptions,
    random32: () => number,
    nowMs: number,
    buggify: Buggify | undefined,
  ) {
    const { base, applied } = recovered;
    assert(compareZxid(base, applied) <= 0, "recovery: the log begins at or before the applied state");
    const history = new History(base, recovered.entries);
    const disk = new PersistQueue(history, recoveredEpochs(recovered));
    const held = history.indexOf(applied);
    this.#core = new Core(id, options, history, disk, new Outbox(), random32, held ?? history.lastIndex, nowMs, buggify);
    // An install was cut short between the state and the log: the state is a leader's committed one, so the old log is obsolete.
    if (held === undefined) this.#core.snapshotInstalled(applied);
    this.#wakeAtMs = nowMs;
    this.#role = createLooking(this.#core, undefined);
    this.#core.out.event("started", { damage: disk.durableEpochs.damage ?? "none" });
    this.#advance(startElection(this.#core, this.#role));
    checkInvariants(this.#core, this.#role, this.#seen);
  }

  step(input: ZabInput, nowMs: number): void {
    const core = this.#core;
    assert(nowMs >= core.nowMs, "time does not go back");
    // The host stalled: what the others said may wait unread in its sockets. Believe nobody dead before that was read.
    if (nowMs > this.#wakeAtMs + core.options.pingIntervalMs) core.graceUntilMs = nowMs + core.options.pingIntervalMs;
    this.#wakeAtMs = Math.max(this.#wakeAtMs, nowMs);
    core.nowMs = nowMs;
    this.#advance(this.#handle(input));
    this.#advance(this.#timers());
    checkInvariants(core, this.#role, this.#seen);
  }

  propose(
    payloads: readonly Uint8Array[],
    nowMs: number,
  ): { readonly ok: true; readonly first: Zxid } | { readonly ok: false; readonly refusal: ProposeRefusal } {
    const core = this.#core;
    const role = this.#role;
    const { history, options } = core;
    core.nowMs = Math.max(core.nowMs, nowMs);
    if (role.kind !== "leading") return { ok: false, refusal: "not-leader" };
    if (role.phase !== "broadcast") return { ok: false, refusal: "not-established" };
    if (role.transfer !== undefined) return { ok: false, refusal: "transferring" };
    if (history.last.epoch === role.epoch && history.last.counter > COUNTER_MAX) {
      // Unlike ZooKeeper's 32-bit counter this takes millennia; still it ends in a new epoch, never in a wrap (ZOOKEEPER-1277).
      this.#advance(abdicate(core, role, "counter-exhausted", undefined));
      return { ok: false, refusal: "not-leader" };
    }
    let bytes = history.bytesBetween(core.deliveredIndex, history.lastIndex);
    const entries = history.lastIndex - core.deliveredIndex;
    if (entries > 0) {
      // One batch above the bounds is taken when nothing is outstanding, or it could never be.
      for (const payload of payloads) bytes += payload.length;
      if (entries + payloads.length > options.uncommittedEntriesMax || bytes > options.uncommittedBytesMax) {
        return { ok: false, refusal: "overloaded" };
      }
    }
    return { ok: true, first: appendProposals(core, role, payloads) };
  }

  drain(): Ready {
    const core = this.#core;
    const role = this.#role;
    if (role.kind === "leading") flushLeader(core, role);
    else if (role.kind === "following") flushFollower(core, role);
    const changed = this.#changedRole();
    if (changed !== undefined) this.#tellAskers();
    core.disk.submitAppends(core.nowMs);
    const committed = core.takeCommitted();
    const persist = core.disk.takeOwed();
    const lists = core.out.take();
    this.#wakeAtMs = Math.min(this.#nextWakeMs(), core.lingerUntilMs);
    const { control, session, dial, close, reads, snapshotWanted, installWanted, events } = lists;
    const wakeAtMs = this.#wakeAtMs;
    const moreCommitted = core.deliveredIndex < core.deliverable;
    return {
      persist,
      control,
      session,
      dial,
      close,
      committed,
      moreCommitted,
      reads,
      role: changed,
      snapshotWanted,
      installWanted,
      events,
      wakeAtMs,
    };
  }

  status(): ZabStatus {
    const core = this.#core;
    const role = this.#role;
    const { history, disk } = core;
    return {
      role: this.#describeRole(),
      epochs: disk.durableEpochs,
      lastLogged: history.last,
      lastDurable: core.lastDurable,
      committed: core.committed,
      historyBase: history.base,
      synced: role.kind === "leading" ? describeLearners(core, role) : [],
      lastSync: core.lastSync,
      electionsStarted: core.electionsStarted,
      uncommittedEntries: Math.max(0, history.lastIndex - core.deliveredIndex),
      uncommittedBytes: history.bytesBetween(core.deliveredIndex, history.lastIndex),
    };
  }

  configuration(): Configuration {
    return this.#core.disk.durableEpochs.configuration;
  }

  // ---- inputs

  #handle(input: ZabInput): Transition | undefined {
    const core = this.#core;
    const role = this.#role;
    switch (input.kind) {
      case "tick":
        return undefined;
      case "control":
        return this.#onControl(input.from, input.message);
      case "link":
        return this.#onLink(input.peer, input.up);
      case "session-up":
        this.#onSessionUp(input.session, input.peer, input.direction);
        return undefined;
      case "session-down":
        return this.#onSessionDown(input.session, input.peer, input.direction);
      case "session":
        return this.#onSessionMessage(input.session, input.message);
      case "persisted":
        return this.#onPersisted(input.seq);
      case "applied":
        core.noteApplied(input.zxid);
        return undefined;
      case "checkpointed":
        core.noteCheckpointed(input.zxid);
        maybeCompact(core, role);
        return undefined;
      case "snapshot-ready":
        if (role.kind === "leading") onSnapshotReady(core, role, input.session, input.at, input.snapshotId);
        return undefined;
      case "snapshot-installed":
        return this.#onInstalled(input.session, input.at, input.ok);
      case "read":
        if (role.kind !== "leading") core.out.read(input.id, false, core.committed);
        else role.reads.add(input.id, role.pingSeq + 1, role.phase === "broadcast" ? core.committed : undefined);
        return undefined;
      case "transfer":
        if (role.kind === "leading") startTransfer(core, role, input.to);
        else core.out.event("transfer-refused", { to: input.to ?? 0 });
        return undefined;
      case "damaged":
        return this.#onDamaged();
      default:
        return unreachable(input);
    }
  }

  #onControl(from: NodeId, message: ControlMessage): Transition | undefined {
    const core = this.#core;
    const role = this.#role;
    switch (message.kind) {
      case "NOTIFY":
        if (role.kind === "looking") return onNotify(core, role, from, message);
        if (role.kind === "leading") return onNotifyWhileLeading(core, role, from, message);
        return onNotifyWhileFollowing(core, role, from, message);
      case "PING":
        if (role.kind === "following") onPing(core, role, from, message);
        return undefined;
      case "PONG":
        if (role.kind === "leading") onPong(core, role, from, message);
        return undefined;
      case "ABDICATE":
        if (role.kind === "following") return onAbdication(role, from, message);
        if (role.kind === "looking") return onFarewell(core, role, from, message);
        return undefined;
      default:
        return unreachable(message);
    }
  }

  #onLink(peer: NodeId, up: boolean): Transition | undefined {
    const core = this.#core;
    const role = this.#role;
    if (up) {
      core.deadLinks.delete(peer);
      if (role.kind === "looking") onLinkUp(core, role, peer);
      return undefined;
    }
    core.deadLinks.add(peer);
    if (role.kind === "looking") return onLinkDown(core, role, peer);
    if (role.kind === "leading") onElectorLost(core, role, peer);
    if (role.kind === "following" && role.leader === peer) return { kind: "look", reason: "leader-connection-lost" };
    return undefined;
  }

  #onSessionUp(session: SessionId, peer: NodeId, direction: "dialed" | "accepted"): void {
    const core = this.#core;
    const role = this.#role;
    if (direction === "dialed") {
      if (role.kind === "following" && role.session === session) onLeaderSessionUp(core, role);
      else core.out.close(session);
      return;
    }
    if (role.kind === "following" || !isVoter(core.configuration, peer)) core.out.close(session);
    else if (role.kind === "leading") addLearner(core, role, session, peer);
    else {
      // It knows the outcome of the election earlier than this node does.
      if (core.waiting.has(peer)) core.closeWaiting(peer);
      core.waiting.set(peer, { session, messages: [] });
    }
  }

  #onSessionDown(session: SessionId, peer: NodeId, direction: "dialed" | "accepted"): Transition | undefined {
    const core = this.#core;
    const role = this.#role;
    if (direction === "accepted") {
      if (core.waiting.get(peer)?.session === session) core.waiting.delete(peer);
      core.lingering.delete(session);
      if (role.kind === "leading") onLearnerSessionDown(core, role, session);
      return undefined;
    }
    if (role.kind !== "following" || role.session !== session) return undefined;
    role.ended = true;
    return { kind: "look", reason: "leader-connection-lost" };
  }

  #onSessionMessage(session: SessionId, message: SessionMessage): Transition | undefined {
    const core = this.#core;
    const role = this.#role;
    // Messages of an older session find no owner and are dropped.
    if (role.kind === "following") return role.session === session ? onLeaderMessage(core, role, message) : undefined;
    if (role.kind === "leading") return onLearnerMessage(core, role, session, message);
    for (const [peer, waiting] of core.waiting) {
      if (waiting.session !== session) continue;
      if (waiting.messages.length >= WAITING_MESSAGES_MAX) core.closeWaiting(peer);
      else waiting.messages.push(message);
    }
    return undefined;
  }

  #onPersisted(seq: number): Transition | undefined {
    const core = this.#core;
    const role = this.#role;
    core.disk.persisted(seq);
    if (core.deliveredIndex <= core.disk.durableIndex && core.commitIndex <= core.history.lastIndex) core.rebuilding = false;
    switch (role.kind) {
      case "looking":
        return startElection(core, role);
      case "following":
        onFollowerPersisted(core, role);
        return undefined;
      case "leading":
        return onLeaderPersisted(core, role);
    }
  }

  #onInstalled(session: SessionId, at: Zxid, ok: boolean): Transition | undefined {
    const core = this.#core;
    const role = this.#role;
    if (core.installing !== session) return undefined;
    core.installing = undefined;
    // The state was replaced, whether or not the session that brought it still lives: the log follows the state.
    if (ok) core.snapshotInstalled(at);
    if (role.kind === "following" && role.session === session && role.stage === "installing") return onInstallDone(core, role, at, ok);
    return role.kind === "looking" ? startElection(core, role) : undefined;
  }

  /** A record on disk is bad: say so durably, distrust the log behind the last checkpoint, and fetch it again without a vote. */
  #onDamaged(): Transition | undefined {
    const core = this.#core;
    const role = this.#role;
    core.out.event("damaged", { keeps: formatZxid(core.history.zxidAt(core.checkpointIndex)) });
    const successor = role.kind === "leading" ? mostAdvanced(core, role)?.peer : undefined;
    core.updateEpochs({ damage: core.disk.submittedEpochs.damage ?? "log" });
    core.rebuilding = true;
    core.disk.rewind(core.checkpointIndex, core.nowMs);
    if (role.kind === "leading") return abdicate(core, role, "damaged", successor);
    return { kind: "look", reason: "damaged" };
  }

  #timers(): Transition | undefined {
    const core = this.#core;
    const role = this.#role;
    if (core.nowMs >= core.lingerUntilMs) core.closeLingering();
    switch (role.kind) {
      case "looking":
        return onElectionTimers(core, role);
      case "following":
        return onFollowerTimers(core, role);
      case "leading":
        return onLeaderTimers(core, role);
    }
  }

  // ---- roles

  #advance(first: Transition | undefined): void {
    let transition = first;
    for (let count = 0; transition !== undefined; count++) {
      assert(count < TRANSITIONS_MAX, "roles settle within a step");
      transition = this.#enter(transition);
    }
  }

  #enter(transition: Transition): Transition | undefined {
    const core = this.#core;
    this.#leave(transition);
    core.askers.clear();
    switch (transition.kind) {
      case "look": {
        const looking = createLooking(core, transition.successor);
        this.#role = looking;
        return startElection(core, looking);
      }
      case "follow": {
        const following = createFollowing(core, transition.leader, transition.round);
        this.#role = following;
        for (const peer of [...core.waiting.keys()]) core.closeWaiting(peer);
        enterFollowing(core, following);
        return undefined;
      }
      case "lead": {
        const leading = createLeading(core, transition.electors);
        this.#role = leading;
        return enterLeading(core, leading);
      }
    }
  }

  #leave(transition: Transition): void {
    const core = this.#core;
    const role = this.#role;
    const reason = transition.kind === "look" ? transition.reason : transition.kind;
    if (role.kind === "following") {
      leaveFollowing(core, role);
      core.out.event("leader-left", { leader: role.leader, epoch: role.epoch, reason });
    } else if (role.kind === "leading") {
      leaveLeading(core, role, transition.kind === "look" ? transition.successor : undefined);
      core.out.event("abdicated", { epoch: role.epoch, phase: role.phase, reason });
    }
  }

  #describeRole(): Role {
    const role = this.#role;
    switch (role.kind) {
      case "looking":
        return { kind: "looking" };
      case "following":
        return { kind: "following", leader: role.leader, epoch: role.epoch, phase: followerPhase(role) };
      case "leading":
        return { kind: "leading", epoch: role.epoch, phase: role.phase };
    }
  }

  /** The role if it changed since the last drain. */
  #changedRole(): Role | undefined {
    const role = this.#role;
    const shown = this.#shown;
    const same =
      shown !== undefined &&
      shown.kind === role.kind &&
      (role.kind === "looking" ||
        (shown.kind !== "looking" &&
          shown.epoch === role.epoch &&
          shown.phase === (role.kind === "leading" ? role.phase : followerPhase(role)) &&
          (role.kind === "leading" || (shown.kind === "following" && shown.leader === role.leader))));
    if (same) return undefined;
    this.#shown = this.#describeRole();
    return this.#shown;
  }

  /** Those who asked before this node knew its leader's epoch could not match its answer: they are told it, once. */
  #tellAskers(): void {
    const core = this.#core;
    const role = this.#role;
    if (role.kind === "looking" || role.epoch === 0) return;
    for (const peer of core.askers) answerSettled(core, role, peer);
    core.askers.clear();
  }

  #nextWakeMs(): number {
    const core = this.#core;
    const role = this.#role;
    switch (role.kind) {
      case "looking":
        return electionWakeAtMs(core, role);
      case "following":
        return followerWakeAtMs(core, role);
      case "leading":
        return leaderWakeAtMs(core, role);
    }
  }
}

/** What the log proves about promises is not to be forgotten with the record of them. */
function recoveredEpochs(recovered: RecoveredLog): EpochRecord {
  const { epochs, entries, base, applied } = recovered;
  const seen = Math.max(entries[entries.length - 1]?.zxid.epoch ?? base.epoch, applied.epoch);
  if (seen <= epochs.acceptedEpoch) return epochs;
  assert(epochs.damage === "identity", "recovery: no entry is of an epoch above acceptedEpoch");
  return { ...epochs, acceptedEpoch: seen };
}
