/**
 * One coordinator node: consensus, state machine and driver joined in one synchronous loop behind ports.
 *
 * Inputs may arrive in any number; `flush` then carries out everything owed, once per turn of the event loop, so that one turn's work
 * is one proposal batch, one frame per stream and one write. The same class runs in a process and in the simulator.
 */
import { assert, equalZxid, formatZxid, compareZxid, type Buggify, type BuggifyPoint, type NodeId, type Zxid } from "../base/index.js";
import {
  createCoordinator,
  type Abilities,
  type Answer,
  type BranchReply,
  type ClientSession,
  type Coordinator,
  type CoordinatorOptions,
  type Inquiry,
  type InstanceId,
  type Request,
} from "../coordinator/index.js";
import { createStateMachine, type Command, type StampedCommand, type StateMachine } from "../txn/index.js";
import { codecs, type NodeView } from "../wire/index.js";
import {
  createZabPeer,
  type Entry,
  type Ready,
  type Role,
  type SessionId,
  type ZabInput,
  type ZabOptions,
  type ZabPeer,
  type ZabStatus,
} from "../zab/index.js";
import { Checkpoints } from "./checkpoints.js";
import type {
  ClockPort,
  FailpointName,
  LogPort,
  NetPort,
  Recovered,
  ReplicaObserver,
  SessionPort,
  StatePort,
  StateWrite,
} from "./ports.js";
import { ProposalQueue } from "./proposal-queue.js";
import { ReadQueue } from "./read-queue.js";
import { StampClock } from "./stamp-clock.js";
import { decodeState, encodeChanges, StateRestore } from "./stored-state.js";
import { describeView, ViewPusher } from "./view.js";

export interface ReplicaOptions {
  readonly id: NodeId;
  readonly clusterId: string;
  readonly zab: ZabOptions;
  readonly coordinator: CoordinatorOptions;
  readonly clockSkewMs: number;
  /** Applied entries, or bytes of their payloads, after which a checkpoint is taken. */
  readonly checkpointEntries: number;
  readonly checkpointBytes: number;
  /** The view's clock is refreshed at least this often on every stream. */
  readonly viewIntervalMs: number;
}

export interface ReplicaPorts {
  readonly clock: ClockPort;
  /** 32 random bits. */
  readonly random32: () => number;
  readonly log: LogPort;
  readonly state: StatePort;
  readonly net: NetPort;
  readonly sessions: SessionPort;
  readonly observer: ReplicaObserver;
  /** Takes rare branches of the code on purpose (base/buggify.ts). Only of a simulator. */
  readonly buggify?: Buggify;
}

export interface ReplicaStatus {
  readonly zab: ZabStatus;
  readonly applied: Zxid;
  readonly checkpointed: Zxid;
  readonly established: boolean;
  readonly digest: number;
  readonly counts: ReturnType<StateMachine["counts"]>;
  readonly driver: ReturnType<Coordinator["counts"]>;
  readonly participants: readonly { readonly name: string; readonly kind: string; readonly instances: number }[];
  readonly clients: number;
  readonly findings: readonly string[];
  readonly wallOffsetMs: number;
}

/** Bound on rounds of one flush: each round's outputs can only cause bounded further outputs; more means a livelock, which is a bug. */
const FLUSH_ROUNDS_MAX = 10_000;

export class Replica {
  readonly #options: ReplicaOptions;
  readonly #ports: ReplicaPorts;
  readonly #zab: ZabPeer;
  readonly #state: StateMachine;
  readonly #coordinator: Coordinator;
  readonly #stamps: StampClock;
  readonly #proposals = new ProposalQueue();
  readonly #reads = new ReadQueue();
  readonly #checkpoints: Checkpoints;
  readonly #findings: readonly string[];
  readonly #instanceNames = new Map<InstanceId, { readonly name: string; readonly kind: string }>();
  #applied: Zxid;
  #role: Role = { kind: "looking" };
  /** Set between "the core is established" and "every entry of earlier epochs is applied". */
  #establishAt: Zxid | undefined;
  #established = false;
  /** While this node follows a leader that serves: the end of the history it was brought. What comes after it has just been made. */
  #heardFrom: Zxid | undefined;
  /** An installed snapshot that is being read in. It is on disk in place of the old state, which is in force here until all is read. */
  #restoring: { readonly session: SessionId; readonly at: Zxid; readonly state: StateRestore } | undefined;
  #commitCalls = 0;
  #clients = 0;
  #halted = false;
  readonly #views: ViewPusher;

  constructor(options: ReplicaOptions, ports: ReplicaPorts, recovered: Recovered) {
    this.#options = options;
    this.#ports = ports;
    this.#findings = recovered.findings;
    this.#state = createStateMachine();
    this.#state.restore(decodeState(recovered.state));
    this.#applied = recovered.log.applied;
    this.#stamps = new StampClock(
      () => ({ monotonicMs: ports.clock.monotonicMs(), wallMs: ports.clock.wallMs() }),
      options.clockSkewMs,
      this.#state.meta().stampMs,
    );
    this.#views = new ViewPusher(
      options.viewIntervalMs,
      () => this.view(),
      (view) => ports.sessions.setView(view),
      () => this.#rarely("view-now"),
    );
    this.#checkpoints = new Checkpoints(ports.state, options.checkpointEntries, options.checkpointBytes, recovered.log.applied);
    const { random32, buggify } = ports;
    this.#zab = createZabPeer(options.id, recovered.log, options.zab, random32, this.#now(), buggify);
    this.#coordinator = createCoordinator(this.#state, options.coordinator, random32, () => this.#stamps.now(), buggify);
  }

  // ---- inputs: consensus

  /** Anything from the network or the log that concerns consensus. */
  input(input: ZabInput): void {
    if (input.kind === "session-down") this.#checkpoints.sessionEnded(input.session);
    this.#zab.step(input, this.#now());
  }

  /** Everything submitted to the log up to `seq` is durable. */
  persisted(seq: number): void {
    this.#zab.step({ kind: "persisted", seq }, this.#now());
  }

  checkpointed(at: Zxid): void {
    this.#checkpoints.finished(at);
    this.#zab.step({ kind: "checkpointed", zxid: at }, this.#now());
  }

  /** A snapshot install ended; `entries` is the whole new state, undefined when it failed and nothing changed. */
  installed(session: SessionId, at: Zxid, entries: Iterable<StateWrite> | undefined): void {
    if (entries === undefined) this.#installEnded(session, at, false);
    else this.#restoring = { session, at, state: new StateRestore(this.#state, entries) };
  }

  /** A learner has read this snapshot to its end, or gave up. */
  snapshotRead(snapshotId: string): void {
    this.#checkpoints.release(snapshotId);
  }

  transfer(to: NodeId | undefined): void {
    this.#zab.step({ kind: "transfer", to }, this.#now());
  }

  tick(): void {
    const now = this.#now();
    this.#zab.step({ kind: "tick" }, now);
    this.#coordinator.tick(now);
  }

  // ---- inputs: clients and participants

  clientUp(session: ClientSession, client: string): void {
    this.#clients += 1;
    this.#coordinator.clientUp(session, client, this.#now());
  }

  clientDown(session: ClientSession): void {
    this.#clients -= 1;
    this.#reads.drop(session);
    this.#coordinator.clientDown(session, this.#now());
  }

  requests(session: ClientSession, requests: readonly { readonly request: number; readonly body: Request }[]): void {
    const now = this.#now();
    for (const { request, body } of requests) {
      if (!this.#established) this.#ports.sessions.answer(session, request, this.#notLeader(body));
      else if (body.kind === "read" || body.kind === "outcome" || body.kind === "list") {
        const id = this.#reads.add(session, request, body);
        this.#zab.step({ kind: "read", id }, now);
      } else this.#coordinator.request(session, request, body, now);
    }
  }

  instanceUp(instance: InstanceId, participant: string, participantKind: string, abilities: Abilities): void {
    this.#instanceNames.set(instance, { name: participant, kind: participantKind });
    this.#coordinator.instanceUp(instance, participant, participantKind, this.#now(), abilities);
  }

  instanceDown(instance: InstanceId): void {
    this.#instanceNames.delete(instance);
    this.#coordinator.instanceDown(instance, this.#now());
  }

  replies(instance: InstanceId, replies: readonly BranchReply[]): void {
    this.#coordinator.replies(instance, replies, this.#now());
  }

  inquiries(instance: InstanceId, inquiries: readonly Inquiry[]): void {
    this.#coordinator.inquiries(instance, inquiries, this.#now());
  }

  // ---- output

  /**
   * Carries out what is owed. Returns the monotonic time at which `tick` is wanted at the latest, or -Infinity when a backlog is left
   * that another flush shall go on with, once others had their turn.
   */
  flush(): number {
    let wakeAtMs = Infinity;
    this.#restoreSlice();
    for (let round = 0; ; round++) {
      assert(round < FLUSH_ROUNDS_MAX, "one flush did not come to rest");
      if (this.#halted) return Infinity;
      const ready = this.#zab.drain();
      const moved = this.#carryOut(ready);
      if (this.#halted) return Infinity;
      const driver = this.#drive();
      if (this.#halted) return Infinity;
      wakeAtMs = Math.min(ready.wakeAtMs, driver.wakeAtMs);
      // A backlog is applied a slice a turn: heartbeats, acknowledgements and votes go out in between.
      if (ready.moreCommitted) {
        wakeAtMs = -Infinity;
        break;
      }
      if (!moved && !driver.moved) break;
    }
    this.#maybeCheckpoint();
    const viewAtMs = this.#showView();
    return this.#restoring === undefined ? Math.min(wakeAtMs, viewAtMs) : -Infinity;
  }

  status(): ReplicaStatus {
    const instances = new Map<string, number>();
    for (const { name } of this.#instanceNames.values()) instances.set(name, (instances.get(name) ?? 0) + 1);
    return {
      zab: this.#zab.status(),
      applied: this.#applied,
      checkpointed: this.#checkpoints.durable,
      established: this.#established,
      digest: this.#state.meta().digest,
      counts: this.#state.counts(),
      driver: this.#coordinator.counts(),
      participants: this.#state
        .participants()
        .map((p) => ({ name: p.name, kind: p.participantKind, instances: instances.get(p.name) ?? 0 })),
      clients: this.#clients,
      findings: this.#findings,
      wallOffsetMs: this.#stamps.wallOffsetMs(),
    };
  }

  /** This node's view of the cluster, as pushed to clients and participants. */
  view(): NodeView {
    return describeView(
      this.#options.clusterId,
      this.#options.id,
      this.#role,
      this.#established,
      this.#zab.configuration(),
      this.#stamps.now(),
      this.#state.forgottenBelowMs(),
    );
  }

  /** The replicated state, for checks; never to be changed. */
  get state(): StateMachine {
    return this.#state;
  }

  /** The epoch this node leads and serves; undefined while it does not. */
  get servingEpoch(): number | undefined {
    return this.#established && this.#role.kind === "leading" ? this.#role.epoch : undefined;
  }

  get applied(): Zxid {
    return this.#applied;
  }

  get halted(): boolean {
    return this.#halted;
  }

  // ---- consensus side

  /** True when something happened that may cause more to be owed. */
  #carryOut(ready: Ready): boolean {
    const { log, net, observer } = this.#ports;
    if (ready.persist.length > 0) log.submit(ready.persist);
    for (const { to, message } of ready.control) net.control(to, message);
    for (const { session, message } of ready.session) net.session(session, message);
    for (const session of ready.close) {
      net.close(session);
      this.#checkpoints.sessionEnded(session);
    }
    for (const { session, peer } of ready.dial) net.dial(session, peer);
    for (const event of ready.events) observer.event(event.name, event.fields);
    if (ready.role !== undefined) this.#roleChanged(ready.role);
    for (const entry of ready.committed) {
      this.#apply(entry);
      if (this.#halted) return true;
    }
    if (ready.committed.length > 0) this.#zab.step({ kind: "applied", zxid: this.#applied }, this.#now());
    this.#maybeEstablish();
    for (const read of ready.reads) this.#reads.confirmed(read.id, read.ok, read.index);
    this.#serveReads();
    for (const { session } of ready.snapshotWanted) {
      const pin = this.#checkpoints.pin(session);
      if (pin === undefined) continue;
      this.#zab.step({ kind: "snapshot-ready", session, at: pin.at, snapshotId: pin.snapshotId }, this.#now());
    }
    for (const want of ready.installWanted) {
      if (this.#failpoint("snapshot-install")) return true;
      this.#checkpoints.install(want);
    }
    this.#checkpoints.wishesServed();
    return ready.committed.length > 0 || ready.snapshotWanted.length > 0 || ready.reads.length > 0 || ready.role !== undefined;
  }

  /** Consensus waits for the install, so nothing is applied meanwhile, and no checkpoint of the old state is made (checkpoints.ts). */
  #restoreSlice(): void {
    const restoring = this.#restoring;
    if (restoring === undefined || !restoring.state.step(this.#rarely("restore-one"))) return;
    const { session, at } = restoring;
    this.#restoring = undefined;
    this.#applied = at;
    this.#stamps.recall(this.#state.meta().stampMs);
    this.#installEnded(session, at, true);
  }

  #installEnded(session: SessionId, at: Zxid, ok: boolean): void {
    this.#checkpoints.installed(ok ? at : undefined);
    this.#zab.step({ kind: "snapshot-installed", session, at, ok }, this.#now());
  }

  #apply(entry: Entry): void {
    const { zxid } = entry;
    assert(compareZxid(zxid, this.#applied) > 0, () => `entry ${formatZxid(zxid)} applied twice, applied is ${formatZxid(this.#applied)}`);
    const own = this.#proposals.take(zxid);
    const stamped: StampedCommand = own !== undefined && !this.#rarely("own-proposal-decoded") ? own : codecs.command.decode(entry.payload);
    if (this.#heardFrom !== undefined && compareZxid(zxid, this.#heardFrom) > 0) this.#noteAhead(this.#stamps.observe(stamped.stampMs));
    else this.#stamps.recall(stamped.stampMs);
    const result = this.#state.apply(stamped, zxid);
    this.#applied = zxid;
    this.#checkpoints.applied(entry.payload.length);
    if (stamped.command.kind === "DECIDE" && this.#established && this.#failpoint("decision-applied")) return;
    this.#coordinator.applied(stamped, zxid, result, this.#now());
  }

  #roleChanged(role: Role): void {
    const wasLeading = this.#role.kind === "leading";
    const epochBefore = this.#role.kind === "leading" ? this.#role.epoch : 0;
    this.#role = role;
    const broadcasting = role.kind === "leading" && role.phase === "broadcast";
    if (wasLeading && (!broadcasting || role.epoch !== epochBefore)) this.#resign();
    this.#heardFrom = role.kind === "following" && role.phase === "broadcast" ? this.#zab.status().lastLogged : undefined;
    if (broadcasting && !this.#established) this.#establishAt = this.#zab.status().committed;
    else if (!broadcasting) this.#establishAt = undefined;
    this.#ports.observer.event("role", {
      role: role.kind,
      ...(role.kind === "looking" ? {} : { phase: role.phase, epoch: role.epoch }),
      ...(role.kind === "following" ? { leader: role.leader } : {}),
    });
  }

  /** The driver starts only when the state holds every entry that earlier epochs can ever have committed. */
  #maybeEstablish(): void {
    if (this.#establishAt === undefined || this.#established || this.#role.kind !== "leading") return;
    if (compareZxid(this.#applied, this.#establishAt) < 0) return;
    if (this.#failpoint("establish")) return;
    this.#established = true;
    this.#establishAt = undefined;
    this.#proposals.clear();
    this.#noteFromWall(this.#stamps.lead());
    this.#coordinator.establish(this.#role.epoch, this.#now());
    this.#ports.observer.event("leader-serving", { epoch: this.#role.epoch });
  }

  /** Stamps never go back, so a jump cannot be taken back: somebody should know at once. */
  #noteAhead(aheadMs: number): void {
    if (aheadMs === 0) return;
    const message = "the leader's stamps jumped ahead of the time this node measured: check the wall clocks, the leader's first";
    this.#ports.observer.event("alarm-clock", { message, aheadMs: Math.round(aheadMs) });
  }

  /** How long everybody was down only the wall clock can tell; beyond the retention everything recorded so far is about to be forgotten. */
  #noteFromWall(jumpMs: number): void {
    if (jumpMs <= 0) return;
    const { retentionMs } = this.#options.coordinator;
    if (jumpMs <= retentionMs) this.#ports.observer.event("stamp-from-wall-clock", { jumpMs: Math.round(jumpMs) });
    else {
      const message = "the wall clock says that more than the retention has passed since the last record: check it before you trust it";
      this.#ports.observer.event("alarm-clock", { message, aheadMs: Math.round(jumpMs) });
    }
  }

  #resign(): void {
    if (!this.#established) return;
    this.#established = false;
    this.#stamps.resign();
    this.#coordinator.resign(this.#now());
    for (const { session, request, body } of this.#reads.clear()) this.#ports.sessions.answer(session, request, this.#notLeader(body));
    this.#proposals.clear();
  }

  // ---- driver side

  #drive(): { readonly moved: boolean; readonly wakeAtMs: number } {
    const { sessions, observer } = this.#ports;
    const owed = this.#coordinator.drain(this.#now());
    if (owed.propose.length > 0) this.#propose(owed.propose);
    if (this.#halted) return { moved: true, wakeAtMs: Infinity };
    const reversed = owed.calls.length > 1 && this.#rarely("calls-reversed");
    for (const call of reversed ? owed.calls.toReversed() : owed.calls) {
      if (call.phase === "prepare" && this.#failpoint("prepare-send")) return { moved: true, wakeAtMs: Infinity };
      if (call.phase === "one-phase" && this.#failpoint("one-phase-send")) return { moved: true, wakeAtMs: Infinity };
      if (call.phase === "commit") {
        if (this.#commitCalls === 0 && this.#failpoint("commit-send-first")) return { moved: true, wakeAtMs: Infinity };
        if (this.#commitCalls === 1 && this.#failpoint("commit-send-second")) return { moved: true, wakeAtMs: Infinity };
        this.#commitCalls += 1;
      }
      sessions.call(call);
    }
    for (const { session, request, answer } of owed.answers) {
      if (answer.kind === "decided" && this.#failpoint("client-answer")) return { moved: true, wakeAtMs: Infinity };
      sessions.answer(session, request, answer);
    }
    for (const { instance, answers } of owed.inquiryAnswers) sessions.inquiryAnswers(instance, answers);
    for (const alarm of owed.alarms)
      observer.event(`alarm-${alarm.name}`, {
        message: alarm.message,
        ...(alarm.gid === undefined ? {} : { gid: alarm.gid }),
        ...(alarm.branch === undefined ? {} : { branch: alarm.branch }),
      });
    return { moved: owed.propose.length > 0, wakeAtMs: owed.wakeAtMs };
  }

  #propose(commands: readonly Command[]): void {
    if (!this.#established) {
      this.#coordinator.refused(commands, "this node is not the established leader", this.#now());
      return;
    }
    for (const command of commands) if (this.#failpointOf(command)) return;
    const stampMs = this.#stamps.now();
    const stamped = commands.map((command): StampedCommand => ({ stampMs, command }));
    const result = this.#zab.propose(
      stamped.map((command) => codecs.command.encode(command)),
      this.#now(),
    );
    if (result.ok) this.#proposals.push(result.first, stamped);
    else this.#coordinator.refused(commands, result.refusal, this.#now());
  }

  #failpointOf(command: Command): boolean {
    if (command.kind === "BEGIN") return this.#failpoint("begin-propose");
    if (command.kind === "DECIDE") return this.#failpoint("decision-propose");
    if (command.kind === "DONE") return this.#failpoint("done-propose");
    if (command.kind === "FORGET") return this.#failpoint("forget-propose");
    return false;
  }

  #rarely(point: BuggifyPoint): boolean {
    return this.#ports.buggify?.(point) === true;
  }

  /** True when the replica must stop here: it is being killed at this very point. */
  #failpoint(name: FailpointName): boolean {
    if (this.#ports.observer.failpoint(name) === "halt") this.#halted = true;
    return this.#halted;
  }

  // ---- reads, checkpoints, view

  #serveReads(): void {
    for (const { session, request, body, ok } of this.#reads.ready(this.#applied)) {
      if (!ok) this.#ports.sessions.answer(session, request, this.#notLeader(body));
      else this.#coordinator.request(session, request, body, this.#now());
    }
  }

  #maybeCheckpoint(): void {
    const early = this.#checkpoints.due(this.#applied, true) && this.#rarely("checkpoint-now");
    if (!this.#checkpoints.due(this.#applied, early) || this.#failpoint("checkpoint-start")) return;
    const changes = this.#state.takeChanges();
    this.#checkpoints.start(this.#applied, encodeChanges(changes));
    this.#ports.observer.event("checkpoint", { at: formatZxid(this.#applied), changes: changes.length });
  }

  #showView(): number {
    const shown = { role: this.#role, established: this.#established, configuration: this.#zab.configuration() };
    return this.#views.show(shown, this.#now());
  }

  /** Nothing was proposed: the caller may go elsewhere at once. */
  #notLeader(body: Request): Answer {
    const { leader } = this.view();
    const where = leader === undefined ? "no leader with a majority is known here" : `the leader is n${leader}`;
    return {
      kind: "error",
      code: leader === undefined ? "QUORATE_NO_QUORUM" : "QUORATE_NOT_LEADER",
      message: `node n${this.#options.id} cannot take this ${body.kind} request: ${where}; nothing was proposed`,
      outcome: "gid" in body && body.gid !== undefined ? "unknown" : undefined,
      retry: "safe",
      gid: "gid" in body ? body.gid : undefined,
      version: undefined,
    };
  }

  #now(): number {
    return this.#ports.clock.monotonicMs();
  }
}

/** True when both replicas stand at the same entry; then their digests must agree. */
export function sameMoment(a: ReplicaStatus, b: ReplicaStatus): boolean {
  return equalZxid(a.applied, b.applied);
}
