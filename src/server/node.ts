/**
 * One coordinator node in this process: the replica with real ports around it.
 *
 * Wires storage, peer network, client server and clock to the replica, and nothing else: what a signal does, and when the process
 * ends, is process.ts.
 */
import { setTimeout as setTimer } from "node:timers";
import { setTimeout as sleep } from "node:timers/promises";
import { messageOf, PRODUCT_VERSION, QuorateError, type Logger, type NodeId } from "../base/index.js";
import { bootstrapConfiguration, nodeIdentity, replicaOptions, splitAddress, type NodeIdentity, type Settings } from "../config/index.js";
import { Replica } from "../replica/index.js";
import { ServiceHost } from "../service/index.js";
import { nodeDisk, openStorage, type Storage } from "../storage/index.js";
import { createClientServer, createPeerNet, type ClientServer, type ClientServerHandlers, type PeerNet } from "../transport/index.js";
import type { NodeStatus, NodeView } from "../wire/index.js";
import { startAdmin, type AdminHandlers, type AdminServer } from "./admin.js";
import { parseFailpoints, type Failpoints } from "./failpoints.js";
import { FaultDisk } from "./fault-disk.js";
import { handOver, leads } from "./hand-over.js";
import { Late } from "./late.js";
import { LeaderProxy } from "./leader-proxy.js";
import { LoopDelay } from "./loop-delay.js";
import { adoptAddresses } from "./membership-check.js";
import { MessageFaults } from "./message-faults.js";
import { renderMetrics } from "./metrics.js";
import { describeNode } from "./node-status.js";
import { ProtocolEvents } from "./protocol-events.js";
import { netPort, realClock, sessionPort, systemEntropy } from "./real-ports.js";
import { sealed, unsealed } from "./snapshot-bridge.js";
import { TurnLoop } from "./turn-loop.js";
import { UNARY_SESSION, UnaryRequests } from "./unary-requests.js";

export interface NodeOptions {
  readonly logger: Logger;
  /** A bug or a disk error: nothing more is sent or acknowledged, and the process must end. Called at most once. */
  readonly onFatal: (error: unknown) => void;
  /** Undefined: fault injection is off. */
  readonly failpoints: Failpoints | undefined;
}

export interface RunningNode {
  readonly identity: NodeIdentity;
  readonly clientPort: number;
  readonly adminPort: number;
  status(): NodeStatus;
  view(): NodeView;
  /** Hands leadership over if this node has it, ends what is under way, closes everything. Resolves when the folder is unlocked. */
  stop(): Promise<void>;
}

const DRAIN_POLL_MS = 5;

/** Closed in the reverse order of their making. */
type Closers = (() => Promise<void>)[];

/** Throws QuorateError: QUORATE_CONFIG, QUORATE_DATA_FOLDER. */
export async function startNode(settings: Settings, options: NodeOptions): Promise<RunningNode> {
  const closers: Closers = [];
  try {
    const node = new NodeParts(settings, options);
    await node.open(closers);
    return node;
  } catch (error) {
    for (const close of closers.reverse()) await close();
    throw error;
  }
}

/** An error of the file system at the start is about the folder; a bug stays a bug. */
function folderError(dataDir: string, error: unknown): unknown {
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (code === undefined || syscall === undefined) return error;
  return new QuorateError("QUORATE_DATA_FOLDER", `data folder ${dataDir} cannot be used: ${messageOf(error)}`, { cause: error });
}

class NodeParts implements RunningNode {
  readonly identity: NodeIdentity;
  readonly #settings: Settings;
  readonly #logger: Logger;
  readonly #failpoints: Failpoints | undefined;
  readonly #messages: MessageFaults | undefined;
  readonly #events: ProtocolEvents;
  readonly #loop: TurnLoop;
  readonly #loopDelay = new LoopDelay();
  readonly #unary: UnaryRequests;
  readonly #proxy: LeaderProxy;
  readonly #services: ServiceHost;
  readonly #startedMs = realClock.monotonicMs();
  readonly #storage = new Late<Storage>("storage");
  readonly #replica = new Late<Replica>("replica");
  readonly #net = new Late<PeerNet>("peer network");
  readonly #server = new Late<ClientServer>("client server");
  readonly #admin = new Late<AdminServer>("admin server");
  #stopping: Promise<void> | undefined;

  constructor(settings: Settings, options: NodeOptions) {
    this.identity = nodeIdentity(settings);
    this.#settings = settings;
    this.#logger = options.logger;
    this.#failpoints = options.failpoints;
    this.#messages =
      options.failpoints === undefined
        ? undefined
        : new MessageFaults({
            rule: options.failpoints.messageRule,
            random: Math.random,
            later: (ms, action) => void setTimer(action, ms).unref(),
          });
    this.#events = new ProtocolEvents(options.logger);
    let fatal = false;
    this.#fatal = (error) => {
      if (fatal) return;
      fatal = true;
      this.#loop.stop();
      options.onFatal(error);
    };
    this.#loop = new TurnLoop({
      now: () => realClock.monotonicMs(),
      tick: () => this.#replica.get().tick(),
      flush: () => this.#flush(),
      onFatal: this.#fatal,
    });
    this.#unary = new UnaryRequests((request, body) =>
      this.#loop.input(() => this.#replica.get().requests(UNARY_SESSION, [{ request, body }])),
    );
    this.#proxy = new LeaderProxy(this.identity.members.map((member) => member.clientAddress));
    this.#services = this.#makeServices();
  }

  readonly #fatal: (error: unknown) => void;

  async open(closers: Closers): Promise<void> {
    closers.push(() => Promise.resolve(this.#loopDelay.stop()));
    const storage = this.#storage.set(
      await this.#openStorage().catch((error: unknown) => Promise.reject(folderError(this.identity.dataDir, error))),
    );
    closers.push(() => storage.close());
    this.#replica.set(this.#makeReplica(storage));
    // The replica has taken over what was recovered; a second reference would hold up to a whole log in memory.
    storage.forgetRecovered();
    const net = this.#net.set(await this.#openNet(storage));
    closers.push(() => net.shutdown());
    const server = this.#server.set(await this.#openServer());
    closers.push(() => server.close(0));
    const admin = this.#admin.set(await startAdmin(splitAddress(this.identity.adminListen, "adminListen"), this.#adminHandlers()));
    closers.push(() => admin.close());
    this.#loop.start();
  }

  get clientPort(): number {
    return this.#server.get().port;
  }

  get adminPort(): number {
    return this.#admin.get().port;
  }

  status(): NodeStatus {
    const { log } = this.#storage.get().metrics();
    return describeNode({
      replica: this.#replica.get().status(),
      view: this.view(),
      log: { fsyncP50Ms: log.syncLatency.p50Ms, fsyncP99Ms: log.syncLatency.p99Ms, bytes: log.bytes, segments: log.segments },
      startedMs: this.#startedMs,
      nowMs: realClock.monotonicMs(),
      loopDelayMaxMs: this.#loopDelay.maxMs(),
    });
  }

  view(): NodeView {
    return this.#replica.get().view();
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    const deadline = realClock.monotonicMs() + this.#settings.shutdownGraceMs;
    if (leads(this.view()) && this.identity.members.length > 1) {
      await this.#handOver(undefined).then(
        (leader) => this.#logger.info({ leader }, "leadership handed over"),
        (error: Error) => this.#logger.warn({ error: error.message }, "stopping without a hand-over"),
      );
    }
    while (this.#answersOwed() > 0 && realClock.monotonicMs() < deadline) await sleep(DRAIN_POLL_MS);
    await this.#server.get().close(0);
    this.#unary.close();
    await this.#proxy.close();
    this.#services.close();
    this.#loop.stop();
    await this.#net.get().shutdown();
    await this.#admin.get().close();
    await this.#storage.get().close();
    this.#loopDelay.stop();
  }

  /** Requests under way here. Streams stay open for as long as their clients like, so their end is nothing to wait for. */
  #answersOwed(): number {
    return this.#replica.get().status().driver.waiting + this.#unary.size;
  }

  /** What this turn owes goes onto the wire in this turn. */
  #flush(): number {
    const replica = this.#replica.get();
    const wakeAtMs = replica.flush();
    this.#services.follow(replica.servingEpoch, replica.state.services());
    this.#net.get().flush();
    this.#server.get().flush();
    return wakeAtMs;
  }

  // ---- parts

  #openStorage(): Promise<Storage> {
    const { id, clusterId, dataDir, members } = this.identity;
    const failpoints = this.#failpoints;
    return openStorage({
      dir: dataDir,
      clusterId,
      nodeId: id,
      configuration: bootstrapConfiguration(members),
      bootstrap: this.#settings.bootstrap,
      segmentBytes: this.#settings.segmentBytes,
      fetchSnapshot: (peer, snapshotId, signal) => unsealed(this.#net.get().fetchSnapshot(peer, snapshotId, signal)),
      onPersisted: (seq) => this.#loop.input(() => this.#replica.get().persisted(seq)),
      onCheckpointed: (at) => this.#loop.input(() => this.#replica.get().checkpointed(at)),
      onInstalled: (session, at, entries, problem) => {
        if (problem !== undefined) this.#logger.warn({ problem }, "snapshot not installed");
        this.#loop.input(() => this.#replica.get().installed(session, at, entries));
      },
      onDamaged: (finding) => {
        this.#logger.error({ finding }, "stored state is damaged: this node stops voting and rebuilds");
        this.#loop.input(() => this.#replica.get().input({ kind: "damaged" }));
      },
      onFatal: this.#fatal,
      failpoint: failpoints === undefined ? undefined : (name) => failpoints.reachInWrite(name),
      disk: failpoints === undefined ? undefined : this.#faultDisk(failpoints),
    });
  }

  #makeServices(): ServiceHost {
    const input = (action: (replica: Replica) => void): void => this.#loop.input(() => action(this.#replica.get()));
    return new ServiceHost({
      clusterId: this.identity.clusterId,
      callsMax: this.#settings.serviceCallsMax,
      answerBytesMax: this.#settings.serviceAnswerBytesMax,
      forgottenBelowMs: () => this.#replica.get().state.forgottenBelowMs(),
      log: this.#logger,
      onInstanceUp: (instance, participant, kind, abilities) =>
        input((replica) => replica.instanceUp(instance, participant, kind, abilities)),
      onInstanceDown: (instance) => input((replica) => replica.instanceDown(instance)),
      onReplies: (instance, replies) => input((replica) => replica.replies(instance, replies)),
    });
  }

  #faultDisk(failpoints: Failpoints): FaultDisk {
    const random32 = systemEntropy();
    return new FaultDisk({ disk: nodeDisk, failpoints, dataDir: this.identity.dataDir, coin: () => random32() % 2 === 0 });
  }

  #makeReplica(storage: Storage): Replica {
    const failpoints = this.#failpoints;
    const net = netPort(this.#net);
    const sessions = sessionPort(this.#server, this.#unary, this.#services);
    return new Replica(
      replicaOptions(this.identity.id, this.identity.clusterId, this.#settings),
      {
        clock: realClock,
        random32: systemEntropy(),
        log: storage.log,
        state: storage.state,
        net: this.#messages?.net(net) ?? net,
        sessions: this.#messages?.sessions(sessions) ?? sessions,
        observer: { event: this.#events.record, failpoint: failpoints === undefined ? () => "continue" : failpoints.reach },
      },
      adoptAddresses(storage.recovered, this.identity, this.#logger),
    );
  }

  #openNet(storage: Storage): Promise<PeerNet> {
    const { id, clusterId, members, peerListen } = this.identity;
    return createPeerNet({
      self: id,
      clusterId,
      listenAddress: peerListen,
      peers: members.filter((member) => member.id !== id).map((member) => ({ id: member.id, address: member.peerAddress })),
      onInput: (input) => this.#loop.input(() => this.#replica.get().input(input)),
      readSnapshot: (snapshotId) =>
        sealed(storage.state.readSnapshot(snapshotId), () => this.#loop.input(() => this.#replica.get().snapshotRead(snapshotId))),
      snapshotBytesPerSecond: this.#settings.snapshotBytesPerSecond,
      log: this.#logger,
    });
  }

  #openServer(): Promise<ClientServer> {
    return createClientServer({
      listenAddress: this.identity.clientListen,
      handlers: this.#messages?.handlers(this.#clientHandlers()) ?? this.#clientHandlers(),
      unaryDeadlineMs: this.#settings.unaryDeadlineMs,
      transactionTimeoutMs: this.#settings.transactionTimeoutMs,
      log: this.#logger,
    });
  }

  #clientHandlers(): ClientServerHandlers {
    const loop = this.#loop;
    const replica = (): Replica => this.#replica.get();
    return {
      onClientUp: (session, client) => loop.input(() => replica().clientUp(session, client)),
      onClientDown: (session) => loop.input(() => replica().clientDown(session)),
      onRequests: (session, requests) => loop.input(() => replica().requests(session, requests)),
      onInstanceUp: (instance, participant, kind, abilities) =>
        loop.input(() => replica().instanceUp(instance, participant, kind, abilities)),
      onInstanceDown: (instance) => loop.input(() => replica().instanceDown(instance)),
      onReplies: (instance, replies) => loop.input(() => replica().replies(instance, replies)),
      onInquiries: (instance, inquiries) => loop.input(() => replica().inquiries(instance, inquiries)),
      onUnary: (body, deadlineMs) => (leads(this.view()) ? this.#unary.ask(body, deadlineMs) : this.#proxy.ask(body, deadlineMs)),
      onStatus: () => Promise.resolve(this.status()),
      onMoveLeader: (to) => (leads(this.view()) ? this.#handOver(to) : this.#proxy.moveLeader(to, this.#settings.unaryDeadlineMs)),
    };
  }

  #handOver(to: NodeId | undefined): Promise<NodeId> {
    const parts = {
      self: this.identity.id,
      view: () => this.view(),
      transfer: (target: NodeId | undefined) => this.#loop.input(() => this.#replica.get().transfer(target)),
    };
    return handOver(parts, to, 2 * this.#settings.transferTimeoutMs);
  }

  #adminHandlers(): AdminHandlers {
    const failpoints = this.#failpoints;
    return {
      readiness: () => this.#readiness(),
      version: () => ({ version: PRODUCT_VERSION, node: this.identity.id, cluster: this.identity.clusterId, pid: process.pid }),
      metrics: () => this.#metrics(),
      failpoints:
        failpoints === undefined
          ? undefined
          : (text) => {
              if (text !== undefined) failpoints.set(parseFailpoints(text));
              return { failpoints: failpoints.list(), messages: this.#messages?.counts() ?? {} };
            },
    };
  }

  #readiness(): { readonly ready: boolean } & Readonly<Record<string, unknown>> {
    const status = this.status();
    const view = this.view();
    return {
      ready: view.established && status.voting && this.#stopping === undefined,
      node: status.id,
      role: status.role,
      phase: status.phase,
      epoch: status.epoch,
      leader: view.leader ?? null,
      established: view.established,
      voting: status.voting,
      findings: status.findings,
    };
  }

  #metrics(): string {
    const { zab, wallOffsetMs } = this.#replica.get().status();
    const { epoch, counter } = zab.lastLogged;
    return renderMetrics({
      status: this.status(),
      established: this.view().established,
      lags: zab.synced.map(({ peer, durable }) => ({ peer, entries: durable.epoch === epoch ? counter - durable.counter : counter })),
      uncommittedEntries: zab.uncommittedEntries,
      wallOffsetMs,
      events: this.#events.counts,
    });
  }
}
