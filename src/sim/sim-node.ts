/**
 * One simulated process around the production replica: its lives, its pauses, its turn of the event loop.
 */
import { equalZxid, formatZxid, must, type BuggifyPoint, type NodeId, type Prng, type Zxid } from "../base/index.js";
import { Replica, type FailpointName, type ReplicaOptions, type StatePort } from "../replica/index.js";
import type { ControlMessage, PersistRequest, SessionId, SessionMessage } from "../zab/index.js";
import type { Disk } from "./disk.js";
import type { Host, Network } from "./network.js";
import { PeerPort, show, type PeerHost } from "./peer-port.js";
import { StreamPort } from "./session-port.js";
import type { World } from "./world.js";

/** What the run's oracles want to know of a node. Called from inside its turn. */
export interface NodeWatcher {
  /** This node's applied state moved; `installed` when a snapshot jumped it there. */
  applied(node: SimNode, from: Zxid, to: Zxid, installed: boolean): void;
  event(node: SimNode, name: string, fields: Readonly<Record<string, string | number | boolean>>): void;
  submitted(node: SimNode, requests: readonly PersistRequest[]): void;
  sent(node: SimNode, message: ControlMessage | SessionMessage): void;
  /** A linearizable read arrives. The mark comes back with its answer. */
  readAsked(): Zxid;
  readAnswered(node: SimNode, mark: Zxid): void;
  /** True: the process dies at this very point. */
  failpoint(node: SimNode, name: FailpointName): boolean;
  /** True: this node takes a rare branch of its code here. */
  buggify(point: BuggifyPoint): boolean;
  /** The process is gone, by plan or because it reached a failpoint. */
  died(node: SimNode): void;
}

export interface NodeOptions {
  readonly replica: ReplicaOptions;
  /** One turn of the event loop takes at least this long: what arrives meanwhile is in the same turn. */
  readonly turnMs: number;
  readonly encodeStreams: boolean;
  readonly tinyFrames: boolean;
  readonly snapshotMsMean: number;
  readonly snapshotFailChance: number;
}

/** 2026-01-01T00:00:00Z: where the simulated wall clocks start. */
export const WALL_EPOCH_MS = 1_767_225_600_000;
/** Node.js does not run a timer earlier than this. */
const TIMER_MS_MIN = 1;

export class SimNode implements PeerHost {
  readonly id: NodeId;
  readonly name: string;
  readonly host: Host;
  readonly disk: Disk;
  /** Added to the wall clock: jumps at the nemesis' will. */
  wallOffsetMs = 0;
  /** What this turn writes was proposed in it, or in the turn before when that one ended with work left: since when, then. */
  proposingSince = 0;
  readonly #world: World;
  readonly #network: Network;
  readonly #nodes: ReadonlyMap<NodeId, SimNode>;
  readonly #options: NodeOptions;
  readonly #watcher: NodeWatcher;
  readonly #prng: Prng;
  #life = 0;
  #paused = false;
  #replica: Replica | undefined;
  #peers: PeerPort | undefined;
  #streams: StreamPort | undefined;
  #clockOrigin = 0;
  #inbox: ((replica: Replica) => void)[] = [];
  #turnQueued = false;
  #turnEndedEarly = false;
  #turnedAt = 0;
  #tickAt = Infinity;
  #seenApplied: Zxid | undefined;
  #installedTo: Zxid | undefined;
  /** By session: gives up the fetch of its snapshot. */
  readonly #giveUp = new Map<SessionId, () => void>();

  constructor(
    world: World,
    network: Network,
    id: NodeId,
    disk: Disk,
    nodes: ReadonlyMap<NodeId, SimNode>,
    options: NodeOptions,
    watcher: NodeWatcher,
  ) {
    this.id = id;
    this.name = `n${id}`;
    this.#world = world;
    this.#network = network;
    this.#nodes = nodes;
    this.#options = options;
    this.#watcher = watcher;
    this.#prng = world.fork(`node/${id}`);
    this.disk = disk;
    // LogPort: any write or sync error ends the process.
    disk.onFailed = () => this.crash();
    this.host = network.addHost();
  }

  get up(): boolean {
    return this.#replica !== undefined;
  }

  get paused(): boolean {
    return this.#paused;
  }

  get replica(): Replica | undefined {
    return this.#replica;
  }

  get peers(): PeerPort | undefined {
    return this.#peers;
  }

  get streams(): StreamPort | undefined {
    return this.#streams;
  }

  /** Counts this node's processes. */
  get life(): number {
    return this.#life;
  }

  // ---- lives

  start(): void {
    if (this.up) return;
    this.#life += 1;
    const life = this.#life;
    this.#paused = false;
    this.#inbox = [];
    this.#giveUp.clear();
    this.#turnQueued = false;
    this.#turnEndedEarly = false;
    this.#tickAt = Infinity;
    this.#clockOrigin = this.#prng.int(0, 1_000_000);
    const recovered = this.disk.recover();
    this.#seenApplied = recovered.log.applied;
    this.#world.mark(this.name, "start", () => `applied ${formatZxid(recovered.log.applied)}, log ends with ${formatZxid(this.disk.last)}`);
    const alive = (): boolean => life === this.#life && this.up;
    const deliver = (input: (replica: Replica) => void): void => {
      if (alive()) this.deliver(input);
    };
    const random = this.#world.fork(`replica/${this.id}/${life}`);
    this.#peers = new PeerPort(
      this.#world,
      this.#network,
      this,
      this.#nodes,
      (input) => {
        this.#world.mark(this.name, input.kind, () => showInput(input));
        deliver((replica) => replica.input(input));
      },
      (message) => this.#watcher.sent(this, message),
      this.#options.tinyFrames,
    );
    this.#streams = new StreamPort(deliver, this.#options.encodeStreams, {
      asked: () => this.#watcher.readAsked(),
      answered: (mark) => this.#watcher.readAnswered(this, mark),
    });
    const peers = this.#peers;
    this.#replica = new Replica(
      this.#options.replica,
      {
        clock: { monotonicMs: () => this.monotonicMs(), wallMs: () => WALL_EPOCH_MS + this.#world.now + this.wallOffsetMs },
        random32: random.uint32,
        log: {
          submit: (requests) => {
            this.disk.submit(requests, (seq) => deliver((replica) => replica.persisted(seq)));
            this.#watcher.submitted(this, requests);
          },
        },
        state: this.#statePort(deliver, alive),
        net: peers,
        sessions: must(this.#streams, "streams of a starting node"),
        observer: {
          event: (name, fields) => this.#watcher.event(this, name, fields),
          failpoint: (name) => (this.#watcher.failpoint(this, name) ? "halt" : "continue"),
        },
        buggify: (point) => this.#watcher.buggify(point),
      },
      recovered,
    );
    this.#network.start(this.host);
    this.#queueTurn();
  }

  /** Ends the process at once. */
  crash(): void {
    if (!this.up) return;
    this.#world.mark(this.name, "crash");
    this.#replica = undefined;
    this.#peers = undefined;
    this.#streams = undefined;
    this.#inbox = [];
    this.#paused = false;
    this.disk.crash();
    this.#network.stop(this.host);
    this.#watcher.died(this);
  }

  /** Receives nothing and runs no timer until `resume`; then everything at once. The kernel keeps its connections. */
  pause(): void {
    if (!this.up || this.#paused) return;
    this.#world.mark(this.name, "pause");
    this.#paused = true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#world.mark(this.name, "resume");
    this.#paused = false;
    const waiting = this.#inbox;
    this.#inbox = [];
    for (const input of waiting) this.deliver(input);
    this.#queueTurn();
  }

  // ---- the loop

  /** Monotonic milliseconds of this process, from an origin of its own. */
  monotonicMs(): number {
    return this.#clockOrigin + this.#world.now;
  }

  deliver(input: (replica: Replica) => void): void {
    const replica = this.#replica;
    if (replica === undefined) return;
    if (this.#paused) {
      this.#inbox.push(input);
      return;
    }
    input(replica);
    this.#queueTurn();
  }

  #queueTurn(): void {
    if (this.#turnQueued || !this.up) return;
    this.#turnQueued = true;
    const life = this.#life;
    this.#world.after(this.#options.turnMs * (0.5 + this.#prng.float()), () => {
      if (life !== this.#life || !this.up) return;
      this.#turnQueued = false;
      if (this.#paused) return;
      this.#turn();
    });
  }

  #turn(): void {
    const replica = this.#replica;
    const peers = this.#peers;
    const streams = this.#streams;
    if (replica === undefined || peers === undefined || streams === undefined) return;
    const { now } = this.#world;
    this.proposingSince = this.#turnEndedEarly ? this.#turnedAt : now;
    const wakeAt = replica.flush();
    this.#turnEndedEarly = wakeAt <= this.monotonicMs();
    this.#turnedAt = now;
    this.#observeApplied(replica);
    if (replica.halted) {
      // The process dies in mid-turn: what it had handed to the kernel may or may not be on its way.
      if (this.#prng.chance(0.5)) {
        peers.discard();
        streams.discard();
      }
      peers.flush();
      streams.flush();
      this.crash();
      return;
    }
    peers.flush();
    streams.flush();
    if (wakeAt < Infinity) this.#wakeAt(Math.max(wakeAt - this.#clockOrigin, this.#world.now + TIMER_MS_MIN));
  }

  #observeApplied(replica: Replica): void {
    const from = this.#seenApplied;
    const to = replica.applied;
    if (from === undefined || (from.epoch === to.epoch && from.counter === to.counter)) return;
    this.#seenApplied = to;
    const jumpedTo = this.#installedTo;
    this.#installedTo = undefined;
    this.#world.mark(this.name, "applied", () => formatZxid(to));
    this.#world.mix(replica.state.meta().digest);
    if (jumpedTo !== undefined) this.#watcher.applied(this, from, jumpedTo, true);
    // Right after an install the log still waits for its reset: there is nothing in it to compare.
    if (jumpedTo === undefined || !equalZxid(jumpedTo, to)) this.#watcher.applied(this, jumpedTo ?? from, to, false);
  }

  /** One pending timer at most; a later wish is looked at when the earlier one fires. */
  #wakeAt(at: number): void {
    if (this.#tickAt <= at) return;
    this.#tickAt = at;
    const life = this.#life;
    this.#world.at(at, () => {
      if (life !== this.#life || this.#tickAt !== at) return;
      this.#tickAt = Infinity;
      if (this.#paused) this.#inbox.push((replica) => replica.tick());
      else this.deliver((replica) => replica.tick());
    });
  }

  // ---- the state port

  #statePort(deliver: (input: (replica: Replica) => void) => void, alive: () => boolean): StatePort {
    return {
      checkpoint: (at, writes) => {
        this.#world.mark(this.name, "checkpoint", () => formatZxid(at));
        this.disk.checkpoint(at, writes, () => deliver((replica) => replica.checkpointed(at)));
      },
      pinSnapshot: () => this.disk.pin(),
      releaseSnapshot: (snapshotId) => this.disk.release(snapshotId),
      install: (session, peer, at, snapshotId) => this.#install(deliver, alive, session, peer, at, snapshotId),
      cancelInstall: (session) => this.#giveUp.get(session)?.(),
    };
  }

  /** Fetches the snapshot over the network, then writes it. */
  #install(
    deliver: (input: (replica: Replica) => void) => void,
    alive: () => boolean,
    session: SessionId,
    peer: NodeId,
    at: Zxid,
    snapshotId: string,
  ): void {
    const source = must(this.#nodes.get(peer), `peer n${peer}`);
    const failed = (): void => deliver((replica) => replica.installed(session, at, undefined));
    this.#giveUp.set(session, () => {
      this.#giveUp.delete(session);
      this.#world.mark(this.name, "snapshot-given-up", () => snapshotId);
      // Completions come later, never from inside a call.
      this.#world.after(0, () => {
        source.deliver((replica) => replica.snapshotRead(snapshotId));
        failed();
      });
    });
    this.#world.after(this.#prng.exponential(this.#options.snapshotMsMean), () => {
      if (!alive() || !this.#giveUp.delete(session)) return;
      const snapshot = source.disk.snapshot(snapshotId);
      const reachable = this.#network.reaches(this.host, source.host) && !source.paused;
      source.deliver((replica) => replica.snapshotRead(snapshotId));
      if (snapshot === undefined || !reachable || this.#prng.chance(this.#options.snapshotFailChance)) {
        this.#world.cover("snapshot-fetch-failed");
        this.#world.mark(this.name, "snapshot-failed", () => snapshotId);
        failed();
        return;
      }
      this.disk.install(at, snapshot.data, () => {
        this.#world.mark(this.name, "snapshot-installed", () => formatZxid(at));
        deliver((replica) => {
          replica.installed(session, at, this.disk.stateEntries());
          this.#installedTo = at;
        });
      });
    });
  }
}

function showInput(input: Parameters<Replica["input"]>[0]): string {
  switch (input.kind) {
    case "control":
      return `from n${input.from} ${show(input.message)}`;
    case "session":
      return `${input.session} ${show(input.message)}`;
    default:
      return JSON.stringify(input);
  }
}
