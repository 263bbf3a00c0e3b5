/**
 * A whole cluster of consensus peers in one process, from one seed: faults for a while, then calm, in which it must recover.
 */
import {
  assert,
  compareZxid,
  equalZxid,
  formatZxid,
  must,
  nodeId,
  Prng,
  ZXID_ZERO,
  type NodeId,
  type Zxid,
} from "../../../src/base/index.js";
import {
  createZabPeer,
  type Configuration,
  type Damage,
  type Ready,
  type Role,
  type SessionId,
  type ZabInput,
  type ZabOptions,
  type ZabPeer,
} from "../../../src/zab/index.js";
import { SimDisk } from "./disk.js";
import { CALM, Network, type Host, type Weather } from "./network.js";
import { Oracle } from "./oracle.js";
import { Schedule } from "./schedule.js";

export const OPTIONS: ZabOptions = {
  finalizeWaitMs: 20,
  notifyResendMsMin: 10,
  notifyResendMsMax: 60,
  initLimitMs: 200,
  pingIntervalMs: 10,
  followerSilenceMsMin: 50,
  followerSilenceMsMax: 150,
  quorumLossMs: 100,
  redialGraceMs: 30,
  batchBytesMax: 64,
  uncommittedBytesMax: 2000,
  uncommittedEntriesMax: 40,
  historyEntriesKeep: 8,
  historyBytesKeep: 400,
  transferTimeoutMs: 60,
  deliverEntriesMax: 1000,
};

export interface Plan {
  readonly peers: number;
  readonly faultMs: number;
  readonly damage: boolean;
  readonly trace?: ((line: string) => void) | undefined;
}

export function configurationOf(peers: number): Configuration {
  const members = Array.from({ length: peers }, (_, i) => ({
    id: nodeId(i + 1),
    peerAddress: `n${i + 1}:1`,
    clientAddress: `n${i + 1}:2`,
    role: "voter" as const,
  }));
  return { current: { version: ZXID_ZERO, members }, next: undefined };
}

const LIVENESS_MS = 5000;

/** One node: its storage outlives its process. */
class Node implements Host {
  readonly id: NodeId;
  readonly disk: SimDisk;
  life = 0;
  up = false;
  pausedUntilMs = 0;
  peer: ZabPeer | undefined;
  role: Role = { kind: "looking" };
  delivered: Zxid = ZXID_ZERO;
  readonly reads = new Map<number, number>();
  readonly #world: World;
  #accepted = 0;
  #drainAtMs = -1;
  #wakeAtMs = Infinity;
  #syncing = false;
  #checkpointing = false;
  #queue: ZabInput[] = [];

  constructor(id: NodeId, world: World, configuration: Configuration) {
    this.id = id;
    this.#world = world;
    this.disk = new SimDisk(configuration);
  }

  nextAcceptedSession(): SessionId {
    this.#accepted += 2;
    return this.#accepted;
  }

  start(): void {
    const { schedule, prng } = this.#world;
    this.up = true;
    this.life++;
    this.role = { kind: "looking" };
    this.delivered = this.disk.checkpoint;
    this.#syncing = false;
    this.#checkpointing = false;
    this.#queue = [];
    this.#drainAtMs = -1;
    this.pausedUntilMs = 0;
    this.peer = createZabPeer(
      this.id,
      this.disk.recover(),
      this.#world.options,
      prng.fork(`n${this.id}/${this.life}`).uint32,
      schedule.nowMs,
    );
    this.#world.trace(`n${this.id} starts, damage ${this.disk.epochs.damage ?? "none"}`);
    this.#scheduleDrain();
  }

  crash(): void {
    this.#world.trace(`n${this.id} crashes`);
    this.up = false;
    this.peer = undefined;
    this.reads.clear();
    this.disk.crash(this.#world.prng);
    this.#world.network.crashed(this);
  }

  input(input: ZabInput): void {
    const { schedule } = this.#world;
    if (!this.up || this.peer === undefined) return;
    if (schedule.nowMs < this.pausedUntilMs) {
      this.#queue.push(input);
      return;
    }
    this.peer.step(input, schedule.nowMs);
    this.#scheduleDrain();
  }

  pause(forMs: number): void {
    const { schedule } = this.#world;
    const { life } = this;
    this.pausedUntilMs = schedule.nowMs + forMs;
    schedule.at(this.pausedUntilMs, () => {
      if (this.life !== life || !this.up) return;
      for (const input of this.#queue.splice(0)) this.input(input);
      this.#scheduleDrain();
    });
  }

  read(id: number): void {
    this.reads.set(id, this.#world.oracle.length);
    this.input({ kind: "read", id });
  }

  propose(payloads: readonly Uint8Array[]): boolean {
    const { schedule } = this.#world;
    if (this.peer === undefined || schedule.nowMs < this.pausedUntilMs) return false;
    const result = this.peer.propose(payloads, schedule.nowMs);
    this.#scheduleDrain();
    return result.ok;
  }

  #scheduleDrain(): void {
    const { schedule, prng } = this.#world;
    if (this.#drainAtMs >= schedule.nowMs) return;
    this.#drainAtMs = schedule.nowMs + (prng.chance(0.5) ? 0 : prng.float());
    const { life } = this;
    schedule.at(this.#drainAtMs, () => {
      if (this.life !== life || !this.up || schedule.nowMs < this.pausedUntilMs) return;
      this.#drainAtMs = -1;
      this.#carryOut(must(this.peer, "peer").drain());
    });
  }

  #carryOut(ready: Ready): void {
    const { network, schedule, oracle } = this.#world;
    this.disk.submit(ready.persist);
    if (ready.persist.length > 0) this.#sync();
    for (const { to, message } of ready.control) network.control(this, to, message);
    for (const { session, message } of ready.session) network.session(this, session, message);
    for (const { session, peer } of ready.dial) network.dial(this, session, peer);
    for (const session of ready.close) network.close(this, session);
    for (const event of ready.events) {
      this.#world.count(event.name);
      this.#world.trace(`n${this.id} ${event.name} ${JSON.stringify(event.fields)}`);
    }
    if (ready.role !== undefined) this.#roleChanged(ready.role);
    for (const entry of ready.committed) {
      oracle.delivered(this.id, this.delivered, entry);
      this.delivered = entry.zxid;
    }
    if (ready.committed.length > 0) this.#later(2, () => this.input({ kind: "applied", zxid: this.delivered }));
    for (const read of ready.reads) this.#answered(read.id, read.ok, read.index);
    for (const { session } of ready.snapshotWanted) this.#offerSnapshot(session);
    for (const want of ready.installWanted) this.#install(want.session, want.peer, want.at);
    this.#wake(ready.wakeAtMs);
    assert(ready.wakeAtMs >= schedule.nowMs - 1e-9 || ready.wakeAtMs > 0, "a wake time is given");
  }

  #wake(atMs: number): void {
    if (atMs === Infinity) return;
    this.#wakeAtMs = atMs;
    const { life } = this;
    const { schedule } = this.#world;
    schedule.at(Math.max(atMs, schedule.nowMs + 0.01), () => {
      if (this.life === life && this.#wakeAtMs === atMs) this.input({ kind: "tick" });
    });
  }

  /** One sync at a time, each covering a prefix of what is queued; slow now and then. */
  #sync(): void {
    if (this.#syncing) return;
    this.#syncing = true;
    const { prng } = this.#world;
    const slow = this.#world.stormy && prng.chance(0.02) ? prng.int(20, 200) : 1;
    this.#later(prng.float() * 2 * slow, () => {
      this.#syncing = false;
      const seqs = this.disk.pendingSeqs;
      if (seqs.length === 0) return;
      const upTo = must(seqs[prng.chance(0.7) ? seqs.length - 1 : prng.int(0, seqs.length - 1)], "seq");
      this.disk.sync(upTo);
      if (this.disk.pendingSeqs.length > 0) this.#sync();
      this.input({ kind: "persisted", seq: upTo });
    });
  }

  checkpoint(): void {
    if (this.#checkpointing || !this.up || compareZxid(this.delivered, this.disk.checkpoint) <= 0) return;
    this.#checkpointing = true;
    const at = this.delivered;
    this.input({ kind: "applied", zxid: at });
    this.#later(this.#world.prng.int(1, 20), () => {
      this.#checkpointing = false;
      // An install may have overtaken it.
      if (compareZxid(at, this.disk.checkpoint) <= 0) return;
      this.disk.checkpoint = at;
      this.input({ kind: "checkpointed", zxid: at });
    });
  }

  rot(): void {
    if (!this.up || this.disk.log.entries.length === 0 || schedulePaused(this, this.#world.schedule)) return;
    this.disk.rottenFrom = this.#world.prng.int(0, this.disk.log.entries.length - 1);
    this.input({ kind: "damaged" });
  }

  #offerSnapshot(session: SessionId): void {
    this.#later(this.#world.prng.int(0, 10), () => {
      this.input({ kind: "snapshot-ready", session, at: this.disk.checkpoint, snapshotId: formatZxid(this.disk.checkpoint) });
    });
  }

  #install(session: SessionId, from: NodeId, at: Zxid): void {
    const { prng, network } = this.#world;
    this.#later(prng.int(1, 40), () => {
      const source = this.#world.node(from);
      const ok = source.up && !network.isCut(from, this.id) && !this.#checkpointing && !(this.#world.stormy && prng.chance(0.15));
      if (ok) {
        this.#world.oracle.installed(this.id, at);
        this.disk.checkpoint = at;
        this.delivered = at;
        // Power may fail between the state and the log.
        if (this.#world.stormy && prng.chance(0.1)) return this.#world.crash(this);
      }
      this.input({ kind: "snapshot-installed", session, at, ok });
    });
  }

  #answered(id: number, ok: boolean, index: Zxid): void {
    const known = must(this.reads.get(id), `read ${id}`);
    this.reads.delete(id);
    this.#world.count(ok ? "read-ok" : "read-failed");
    if (ok) assert(this.#world.oracle.covers(index, known), () => `n${this.id} serves read ${id} at ${formatZxid(index)}, stale`);
  }

  #roleChanged(role: Role): void {
    const was = this.role;
    this.role = role;
    this.#world.trace(`n${this.id} role ${JSON.stringify(role)}`);
    if (
      role.kind === "leading" &&
      role.phase === "broadcast" &&
      !(was.kind === "leading" && was.phase === "broadcast" && was.epoch === role.epoch)
    ) {
      this.#world.oracle.establishedLeader(this.id, this.life, role.epoch, this.disk.submitted);
    }
  }

  /** Something the host does for this life of the process. */
  #later(delayMs: number, run: () => void): void {
    const { life } = this;
    this.#world.schedule.after(delayMs, () => {
      if (this.life === life && this.up) run();
    });
  }
}

function schedulePaused(node: Node, schedule: Schedule): boolean {
  return schedule.nowMs < node.pausedUntilMs;
}

/** Options differ from seed to seed, to their extremes: none of them may matter for safety. */
function swarm(prng: Prng): ZabOptions {
  return {
    ...OPTIONS,
    finalizeWaitMs: prng.pick([0, 20, 20, 80]),
    initLimitMs: prng.pick([60, 200, 200, 500]),
    quorumLossMs: prng.pick([60, 100, 300]),
    redialGraceMs: prng.pick([0, 30, 30, 200]),
    followerSilenceMsMin: prng.pick([30, 50, 100]),
    batchBytesMax: prng.pick([1, 64, 100_000]),
    uncommittedEntriesMax: prng.pick([2, 40, 1000]),
    historyEntriesKeep: prng.pick([1, 8, 8, 1000]),
    transferTimeoutMs: prng.pick([5, 60]),
    deliverEntriesMax: prng.pick([1, 3, 1000]),
  };
}

export class World {
  readonly prng: Prng;
  readonly schedule = new Schedule();
  readonly oracle = new Oracle();
  readonly network: Network;
  readonly coverage = new Map<string, number>();
  readonly options: ZabOptions;
  stormy = true;
  readonly #plan: Plan;
  readonly #nodes = new Map<NodeId, Node>();
  #payload = 0;
  #read = 0;

  constructor(seed: number | string, plan: Plan) {
    this.prng = new Prng(seed);
    this.#plan = plan;
    this.options = swarm(this.prng);
    this.network = new Network(this.schedule, this.prng.fork("network"), this.#nodes);
    const configuration = configurationOf(plan.peers);
    for (const { id } of configuration.current.members) this.#nodes.set(id, new Node(id, this, configuration));
  }

  node(id: NodeId): Node {
    return must(this.#nodes.get(id), `node ${id}`);
  }

  count(name: string): void {
    this.coverage.set(name, (this.coverage.get(name) ?? 0) + 1);
  }

  trace(line: string): void {
    this.#plan.trace?.(`${this.schedule.nowMs.toFixed(2).padStart(9)} ${line}`);
  }

  crash(node: Node): void {
    if (node.up) node.crash();
  }

  run(): void {
    for (const node of this.#nodes.values()) this.schedule.after(this.prng.int(0, 20), () => node.start());
    const { prng } = this;
    this.network.weather = {
      loss: prng.pick([0, 0, 0.05, 0.3]),
      duplicate: prng.pick([0, 0.05, 0.3]),
      delayMsMax: prng.pick([0.5, 2, 10]),
      noticed: prng.pick([0, 0.5, 0.9, 1]),
    } satisfies Weather;
    const faults = this.#faults();
    const until = this.#plan.faultMs;
    while (this.schedule.nowMs < until) {
      this.schedule.runUntil(this.schedule.nowMs + prng.exponential(4));
      this.#work();
      if (prng.chance(0.12)) prng.pick(faults)();
    }
    this.#heal();
    this.#converge();
  }

  // ---- workload

  #work(): void {
    const { prng } = this;
    const node = prng.pick([...this.#nodes.values()]);
    if (!node.up) return;
    const count = prng.chance(0.1) ? prng.int(5, 20) : prng.int(0, 3);
    if (count > 0 && node.propose(Array.from({ length: count }, () => this.#nextPayload()))) this.count("proposed");
    if (prng.chance(0.2)) node.read(++this.#read);
    if (prng.chance(0.1)) node.checkpoint();
  }

  #nextPayload(): Uint8Array {
    const bytes = new Uint8Array(this.prng.int(4, 24));
    new DataView(bytes.buffer).setUint32(0, ++this.#payload);
    return bytes;
  }

  // ---- faults

  #faults(): (() => void)[] {
    const { prng, network } = this;
    const some = (): Node => prng.pick([...this.#nodes.values()]);
    const leader = (): Node => [...this.#nodes.values()].find((n) => n.up && n.role.kind === "leading") ?? some();
    const all: (() => void)[] = [
      () => this.#bounce(some()),
      () => this.#bounce(leader()),
      () => network.break(undefined),
      () => network.break(some().id),
      () => some().pause(prng.int(5, 250)),
      () => this.#cut(prng.chance(0.5) ? leader() : some(), prng.chance(0.5)),
      () => this.#cut(some(), true),
      () => this.#flap(some(), some()),
      () => some().input({ kind: "transfer", to: prng.chance(0.5) ? undefined : some().id }),
      () => some().checkpoint(),
    ];
    if (this.#plan.damage)
      all.push(
        () => this.#damage(some()),
        () => this.#damage(leader()),
      );
    // Swarm: each seed knows some kinds of trouble and not others.
    const chosen = all.filter(() => prng.chance(0.6));
    return chosen.length === 0 ? all : chosen;
  }

  #bounce(node: Node, whileDown: () => void = () => undefined): void {
    if (!node.up) return;
    node.crash();
    whileDown();
    this.schedule.after(this.prng.int(1, 150), () => {
      if (node.up) return;
      node.start();
      for (const peer of this.#nodes.values()) if (peer !== node) this.network.link(peer, node.id, true);
    });
  }

  /** Cuts a node off, both ways or one way, from some or all others. */
  #cut(node: Node, oneWay: boolean): void {
    const { prng, network } = this;
    const cut: string[] = [];
    for (const peer of this.#nodes.values()) {
      if (peer === node || prng.chance(0.2)) continue;
      const inward = prng.chance(0.5);
      if (!oneWay || inward) cut.push(`${peer.id}>${node.id}`);
      if (!oneWay || !inward) cut.push(`${node.id}>${peer.id}`);
    }
    for (const path of cut) network.cuts.add(path);
    if (prng.chance(network.weather.noticed)) {
      for (const peer of this.#nodes.values()) if (peer !== node) network.link(peer, node.id, false);
    }
    this.trace(`cut ${cut.join(" ")}`);
    this.schedule.after(prng.int(10, 400), () => {
      for (const path of cut) network.cuts.delete(path);
      for (const peer of this.#nodes.values()) {
        if (peer === node) continue;
        network.link(peer, node.id, true);
        network.link(node, peer.id, true);
      }
    });
  }

  #flap(a: Node, b: Node): void {
    if (a === b) return;
    this.network.link(a, b.id, false);
    this.schedule.after(this.prng.int(1, 30), () => this.network.link(a, b.id, true));
  }

  /** Never more damaged nodes at once than the cluster is built to survive. */
  #damage(node: Node): void {
    const { prng } = this;
    const damaged = [...this.#nodes.values()].filter(
      (n) => n !== node && (n.disk.epochs.damage !== undefined || n.disk.rottenFrom !== undefined),
    );
    if (damaged.length >= (this.#nodes.size - 1) >> 1) return;
    if (node.up && prng.chance(0.3)) {
      this.count("fault-rot");
      node.rot();
      return;
    }
    const damage: Damage = prng.chance(0.5) ? "log" : "identity";
    this.count(`fault-${damage}`);
    this.#bounce(node, () => node.disk.lose(damage, prng));
  }

  // ---- calm

  #heal(): void {
    this.trace("---- calm");
    this.stormy = false;
    this.network.cuts.clear();
    this.network.weather = CALM;
    for (const node of this.#nodes.values()) {
      if (!node.up) node.start();
      for (const peer of this.#nodes.values()) if (peer !== node) this.network.link(peer, node.id, true);
    }
  }

  /** Within bounded time there is one leader that everybody follows, and what it commits everybody has. */
  #converge(): void {
    const nodes = [...this.#nodes.values()];
    const deadline = this.schedule.nowMs + LIVENESS_MS;
    const waitFor = (forMs: number, what: () => string, holds: () => boolean): boolean => {
      const until = Math.min(this.schedule.nowMs + forMs, deadline);
      while (!holds()) {
        assert(this.schedule.nowMs < deadline, what);
        if (this.schedule.nowMs >= until) return false;
        this.schedule.runUntil(this.schedule.nowMs + 5);
      }
      return true;
    };
    const inOffice = (n: Node): boolean => n.role.kind === "leading" && n.role.phase === "broadcast";
    const serving = (n: Node): boolean => inOffice(n) || (n.role.kind === "following" && n.role.phase === "broadcast");
    let leader: Node | undefined;
    for (let caughtUp = false; !caughtUp;) {
      const roles = (): string => `not settled: ${nodes.map((n) => JSON.stringify(n.role)).join(" ")}`;
      waitFor(LIVENESS_MS, roles, () => nodes.every(serving) && nodes.some(inOffice));
      leader = must(nodes.find(inOffice), "leader");
      waitFor(
        200,
        () => "the leader takes a proposal",
        () => must(leader, "leader").propose([this.#nextPayload()]),
      );
      this.schedule.runUntil(this.schedule.nowMs + 1);
      const { last } = leader.disk.submitted;
      const lag = (): string => `not caught up to ${formatZxid(last)}: ${nodes.map((n) => formatZxid(n.delivered)).join(" ")}`;
      caughtUp = waitFor(500, lag, () => nodes.every((n) => equalZxid(n.delivered, last) && n.disk.epochs.damage === undefined));
    }
    if (leader === undefined) return;
    const asked = leader;
    asked.read(++this.#read);
    while (asked.reads.size > 0) {
      assert(this.schedule.nowMs < deadline, "the leader answers a read");
      this.schedule.runUntil(this.schedule.nowMs + 5);
    }
  }
}
