/**
 * A cluster whose every step the test decides: messages are delivered in order unless the test holds or cuts them, disks sync at
 * once unless the test freezes them, time passes when the test says so.
 */
import { assert, formatZxid, must, nodeId, Prng, type NodeId, type Zxid } from "../../src/base/index.js";
import {
  createZabPeer,
  type ControlMessage,
  type Damage,
  type Ready,
  type Role,
  type SessionId,
  type SessionMessage,
  type ZabEvent,
  type ZabInput,
  type ZabOptions,
  type ZabPeer,
} from "../../src/zab/index.js";
import { SimDisk } from "./world/disk.js";
import { Oracle } from "./world/oracle.js";
import { configurationOf, OPTIONS } from "./world/world.js";

export type AnyMessage = ControlMessage | SessionMessage;
export type Match = (message: AnyMessage, from: number, to: number) => boolean;

interface Item {
  readonly from: number;
  readonly to: number;
  readonly life: number;
  readonly input: ZabInput;
  readonly message: AnyMessage | undefined;
  /** Items of one lane keep their order. */
  readonly lane: string;
}

interface Connection {
  readonly dialer: { readonly id: number; readonly life: number; readonly session: SessionId };
  readonly acceptor: { readonly id: number; readonly life: number; readonly session: SessionId };
}

export interface Actor {
  readonly id: number;
  readonly disk: SimDisk;
  peer: ZabPeer | undefined;
  life: number;
  role: Role;
  frozen: boolean;
  installsHeld: boolean;
  delivered: Zxid;
  names: string[];
  readonly events: ZabEvent[];
  readonly reads: Map<number, { readonly ok: boolean; readonly index: Zxid }>;
  /** Every operation submitted and every message sent, in order: `persist append`, `send ACK`, `durable 3`. */
  readonly ledger: string[];
  accepted: number;
}

/** Reads along: every input as it is delivered, and everything a peer asks for in return. */
export interface Watcher {
  input(id: number, from: number, input: ZabInput): void;
  ready(id: number, ready: Ready): void;
  durable(id: number, seq: number): void;
}

const MOVES_MAX = 100_000;

export class Stage {
  nowMs = 1000;
  readonly oracle = new Oracle();
  watcher: Watcher | undefined;
  /** Every message ever sent, in order. */
  readonly sent: { readonly from: number; readonly to: number; readonly message: AnyMessage }[] = [];
  readonly #options: ZabOptions;
  readonly #actors = new Map<number, Actor>();
  readonly #queue: Item[] = [];
  readonly #holds = new Set<Match>();
  readonly #cuts = new Set<string>();
  readonly #connections: Connection[] = [];
  readonly #states = new Map<string, string[]>();
  readonly #installs: { readonly to: number; readonly life: number; readonly session: SessionId; readonly at: Zxid }[] = [];
  #read = 0;

  constructor(peers: number, options: Partial<ZabOptions> = {}) {
    // Nothing here depends on how long things take unless a test lets time pass: generous limits keep the actors in their roles.
    this.#options = {
      ...OPTIONS,
      initLimitMs: 10_000,
      quorumLossMs: 5000,
      followerSilenceMsMin: 5000,
      followerSilenceMsMax: 5000,
      ...options,
    };
    const configuration = configurationOf(peers);
    for (let id = 1; id <= peers; id++) {
      this.#actors.set(id, {
        id,
        disk: new SimDisk(configuration),
        peer: undefined,
        life: 0,
        role: { kind: "looking" },
        frozen: false,
        installsHeld: false,
        delivered: { epoch: 0, counter: 0 },
        names: [],
        events: [],
        reads: new Map(),
        ledger: [],
        accepted: 0,
      });
    }
  }

  actor(id: number): Actor {
    return must(this.#actors.get(id), `n${id}`);
  }

  peer(id: number): ZabPeer {
    return must(this.actor(id).peer, `process of n${id}`);
  }

  // ---- what a test does

  start(...ids: number[]): this {
    for (const id of ids) {
      const actor = this.actor(id);
      actor.life++;
      actor.delivered = actor.disk.checkpoint;
      actor.names = [...(this.#states.get(formatZxid(actor.disk.checkpoint)) ?? [])];
      actor.role = { kind: "looking" };
      actor.frozen = false;
      actor.peer = createZabPeer(nodeId(id), actor.disk.recover(), this.#options, new Prng(id).uint32, this.nowMs);
      for (const other of this.#actors.values()) if (other.id !== id && other.peer !== undefined) this.link(other.id, id, true);
      this.#carryOut(actor, actor.peer.drain());
    }
    return this;
  }

  /** The process dies. `survive`: how many of the operations under way reached the disk. */
  crash(id: number, survive = 0): this {
    const actor = this.actor(id);
    actor.disk.crash(new Prng("unused"), survive);
    actor.peer = undefined;
    actor.frozen = false;
    for (const other of this.#actors.values()) {
      if (other.id === id || other.peer === undefined || this.#isCut(id, other.id)) continue;
      this.#breakBetween(id, other.id);
      this.link(other.id, id, false);
    }
    return this;
  }

  lose(id: number, damage: Damage, keep = 0): this {
    const { disk } = this.actor(id);
    if (damage === "identity") disk.lose("identity", new Prng(0));
    else {
      disk.log.entries.length = keep;
      disk.epochs = { ...disk.epochs, damage: "log" };
    }
    return this;
  }

  /** Delivers everything that may be delivered, until nothing moves. No time passes. */
  settle(): this {
    for (let moves = 0; ; moves++) {
      assert(moves < MOVES_MAX, "the stage comes to rest");
      const blocked = new Set<string>();
      const index = this.#queue.findIndex((item) => {
        if (blocked.has(item.lane)) return false;
        if (!this.#isBlocked(item)) return true;
        if (item.input.kind !== "control") blocked.add(item.lane);
        return false;
      });
      if (index < 0) return this;
      const [item] = this.#queue.splice(index, 1);
      this.#deliver(must(item, "item"));
    }
  }

  /** Time passes in steps; everybody gets its ticks. */
  pass(ms: number): this {
    const until = this.nowMs + ms;
    this.settle();
    while (this.nowMs < until) {
      this.nowMs = Math.min(until, this.nowMs + 5);
      for (const actor of this.#actors.values()) this.input(actor.id, { kind: "tick" });
      this.settle();
    }
    return this;
  }

  /** Holds back what matches until the returned function is called. */
  hold(match: Match): () => void {
    this.#holds.add(match);
    return () => {
      this.#holds.delete(match);
    };
  }

  /** Loses what matches and is under way. */
  drop(match: Match): this {
    for (let i = this.#queue.length - 1; i >= 0; i--) {
      const item = must(this.#queue[i], "item");
      if (item.message !== undefined && match(item.message, item.from, item.to)) this.#queue.splice(i, 1);
    }
    return this;
  }

  /** Nothing passes between the two, and neither is told. */
  cut(a: number, ...others: number[]): this {
    for (const b of others) this.#cuts.add(`${a}-${b}`).add(`${b}-${a}`);
    return this;
  }

  /** What was said meanwhile on the control lane is lost; connections break. */
  heal(a: number, ...others: number[]): this {
    for (const b of others) {
      for (let i = this.#queue.length - 1; i >= 0; i--) {
        const item = must(this.#queue[i], "item");
        if (item.input.kind === "control" && this.#isBlocked(item)) this.#queue.splice(i, 1);
      }
      this.#cuts.delete(`${a}-${b}`);
      this.#cuts.delete(`${b}-${a}`);
      this.#breakBetween(a, b);
      this.link(a, b, true);
      this.link(b, a, true);
    }
    return this;
  }

  link(at: number, peer: number, up: boolean): this {
    this.#push(at, peer, { kind: "link", peer: nodeId(peer), up }, undefined, `link ${peer}>${at}`);
    return this;
  }

  /** Breaks the connection between the two; both are told. */
  disconnect(a: number, b: number): this {
    this.#breakBetween(a, b);
    return this;
  }

  freezeDisk(id: number): this {
    this.actor(id).frozen = true;
    return this;
  }

  /** Lets the disk finish `count` operations, or all and any later ones. */
  sync(id: number, count?: number): this {
    const actor = this.actor(id);
    const seqs = actor.disk.pendingSeqs;
    const seq = seqs[(count ?? seqs.length) - 1];
    if (count === undefined) actor.frozen = false;
    if (seq === undefined) return this;
    actor.disk.sync(seq);
    actor.ledger.push(`durable ${seq}`);
    this.watcher?.durable(id, seq);
    this.#push(id, id, { kind: "persisted", seq }, undefined, `disk ${id}`);
    return this;
  }

  input(id: number, input: ZabInput, from = id): this {
    const actor = this.actor(id);
    if (actor.peer === undefined) return this;
    this.watcher?.input(id, from, input);
    actor.peer.step(input, this.nowMs);
    this.#carryOut(actor, actor.peer.drain());
    return this;
  }

  control(from: number, to: number, message: ControlMessage): this {
    return this.input(to, { kind: "control", from: nodeId(from), message }, from);
  }

  propose(id: number, ...names: string[]): this {
    const result = this.peer(id).propose(
      names.map((name) => new TextEncoder().encode(name)),
      this.nowMs,
    );
    assert(result.ok, () => `n${id} refuses: ${result.ok ? "" : result.refusal}`);
    return this.drain(id);
  }

  drain(id: number): this {
    const actor = this.actor(id);
    this.#carryOut(actor, this.peer(id).drain());
    return this;
  }

  read(id: number): number {
    this.input(id, { kind: "read", id: ++this.#read });
    return this.#read;
  }

  checkpoint(id: number): this {
    const actor = this.actor(id);
    actor.disk.checkpoint = actor.delivered;
    this.#states.set(formatZxid(actor.delivered), [...actor.names]);
    return this.input(id, { kind: "checkpointed", zxid: actor.delivered });
  }

  finishInstalls(ok = true): this {
    for (const { to, life, session, at } of this.#installs.splice(0)) {
      const actor = this.actor(to);
      if (actor.life !== life || actor.peer === undefined) continue;
      if (ok) {
        actor.disk.checkpoint = at;
        actor.delivered = at;
        actor.names = [...must(this.#states.get(formatZxid(at)), "snapshot")];
      }
      this.input(to, { kind: "snapshot-installed", session, at, ok });
    }
    return this;
  }

  // ---- what a test asks

  /** The one node that leads in office. */
  get leader(): number {
    const leaders = [...this.#actors.values()].filter(
      (a) => a.peer !== undefined && a.role.kind === "leading" && a.role.phase === "broadcast",
    );
    assert(leaders.length === 1, () => `one leader in office, not ${leaders.map((a) => a.id).join(",")}`);
    return must(leaders[0], "leader").id;
  }

  /** The log as it is on disk. */
  onDisk(id: number): string[] {
    return this.actor(id).disk.log.entries.map((entry) => new TextDecoder().decode(entry.payload));
  }

  /** The log in memory: the disk once everything submitted is done. */
  inMemory(id: number): string[] {
    return this.actor(id).disk.submitted.entries.map((entry) => new TextDecoder().decode(entry.payload));
  }

  delivered(id: number): readonly string[] {
    return this.actor(id).names;
  }

  /** Messages of one kind sent from one node, to one node if it is named. */
  messages<K extends AnyMessage["kind"]>(kind: K, from: number, to?: number): Extract<AnyMessage, { readonly kind: K }>[] {
    return this.sent
      .filter((entry) => entry.message.kind === kind && entry.from === from && (to === undefined || entry.to === to))
      .map((entry) => entry.message as Extract<AnyMessage, { readonly kind: K }>);
  }

  saw(id: number, event: string): boolean {
    return this.actor(id).events.some((e) => e.name === event);
  }

  // ---- inside

  #carryOut(actor: Actor, ready: Ready): void {
    const { id } = actor;
    this.watcher?.ready(id, ready);
    actor.disk.submit(ready.persist);
    for (const { seq, op } of ready.persist) actor.ledger.push(`persist ${op.kind} ${seq}`);
    if (ready.persist.length > 0 && !actor.frozen) this.sync(id);
    for (const { to, message } of ready.control) {
      actor.ledger.push(`send ${message.kind} to ${to}`);
      this.#push(to, id, { kind: "control", from: nodeId(id), message }, message, `control ${id}>${to}`);
    }
    for (const { session, message } of ready.session) {
      actor.ledger.push(`send ${message.kind}`);
      this.#sendSession(actor, session, message);
    }
    for (const { session, peer } of ready.dial) this.#dial(actor, session, peer);
    for (const session of ready.close) this.#close(actor, session);
    actor.events.push(...ready.events);
    if (ready.role !== undefined) this.#roleChanged(actor, ready.role);
    for (const entry of ready.committed) {
      this.oracle.delivered(nodeId(id), actor.delivered, entry);
      actor.delivered = entry.zxid;
      actor.names.push(new TextDecoder().decode(entry.payload));
    }
    for (const { id: read, ok, index } of ready.reads) actor.reads.set(read, { ok, index });
    if (ready.committed.length > 0) this.input(id, { kind: "applied", zxid: actor.delivered });
    for (const { session } of ready.snapshotWanted) {
      const at = actor.disk.checkpoint;
      this.#push(id, id, { kind: "snapshot-ready", session, at, snapshotId: formatZxid(at) }, undefined, `snapshot ${id}`);
    }
    for (const { session, at } of ready.installWanted) this.#installs.push({ to: id, life: actor.life, session, at });
    if (!actor.installsHeld && ready.installWanted.length > 0) this.finishInstalls();
  }

  #roleChanged(actor: Actor, role: Role): void {
    const was = actor.role;
    actor.role = role;
    if (role.kind !== "leading" || role.phase !== "broadcast" || (was.kind === "leading" && was.phase === "broadcast")) return;
    this.oracle.establishedLeader(nodeId(actor.id), actor.life, role.epoch, actor.disk.submitted);
  }

  #dial(actor: Actor, session: SessionId, peer: NodeId): void {
    const other = this.actor(peer);
    const down: ZabInput = { kind: "session-down", session, peer, direction: "dialed" };
    if (other.peer === undefined || this.#isCut(actor.id, peer)) {
      this.#push(actor.id, peer, down, undefined, `local ${actor.id}`);
      return;
    }
    other.accepted += 2;
    const connection: Connection = {
      dialer: { id: actor.id, life: actor.life, session },
      acceptor: { id: peer, life: other.life, session: other.accepted },
    };
    this.#connections.push(connection);
    const from = nodeId(actor.id);
    this.#push(
      peer,
      actor.id,
      { kind: "session-up", session: other.accepted, peer: from, direction: "accepted" },
      undefined,
      lane(connection, "accepted"),
    );
    this.#push(actor.id, peer, { kind: "session-up", session, peer, direction: "dialed" }, undefined, lane(connection, "dialed"));
  }

  #sendSession(actor: Actor, session: SessionId, message: SessionMessage): void {
    for (const connection of this.#connections) {
      const { dialer, acceptor } = connection;
      if (dialer.id === actor.id && dialer.session === session && dialer.life === actor.life) {
        this.#push(acceptor.id, dialer.id, { kind: "session", session: acceptor.session, message }, message, lane(connection, "accepted"));
      } else if (acceptor.id === actor.id && acceptor.session === session && acceptor.life === actor.life) {
        this.#push(dialer.id, acceptor.id, { kind: "session", session: dialer.session, message }, message, lane(connection, "dialed"));
      }
    }
  }

  #close(actor: Actor, session: SessionId): void {
    const index = this.#connections.findIndex(
      ({ dialer, acceptor }) =>
        (dialer.id === actor.id && dialer.session === session) || (acceptor.id === actor.id && acceptor.session === session),
    );
    const connection = this.#connections[index];
    if (connection === undefined) return;
    this.#connections.splice(index, 1);
    this.#tellDown(connection, connection.dialer.id === actor.id ? "accepted" : "dialed");
  }

  #breakBetween(a: number, b: number): void {
    for (const connection of [...this.#connections]) {
      const ids = [connection.dialer.id, connection.acceptor.id];
      if (!ids.includes(a) || !ids.includes(b)) continue;
      this.#connections.splice(this.#connections.indexOf(connection), 1);
      // What was under way is lost.
      for (const end of ["dialed", "accepted"] as const) {
        for (let i = this.#queue.length - 1; i >= 0; i--) if (this.#queue[i]?.lane === lane(connection, end)) this.#queue.splice(i, 1);
        this.#tellDown(connection, end);
      }
    }
  }

  #tellDown(connection: Connection, end: "dialed" | "accepted"): void {
    const [self, other] = end === "dialed" ? [connection.dialer, connection.acceptor] : [connection.acceptor, connection.dialer];
    const input: ZabInput = { kind: "session-down", session: self.session, peer: nodeId(other.id), direction: end };
    this.#push(self.id, other.id, input, undefined, lane(connection, end), self.life);
  }

  #push(to: number, from: number, input: ZabInput, message: AnyMessage | undefined, laneName: string, life = this.actor(to).life): void {
    if (message !== undefined) this.sent.push({ from, to, message });
    this.#queue.push({ from, to, life, input, message, lane: laneName });
  }

  #deliver(item: Item): void {
    const actor = this.actor(item.to);
    if (actor.life === item.life) this.input(item.to, item.input, item.from);
  }

  #isBlocked(item: Item): boolean {
    if (item.from !== item.to && this.#isCut(item.from, item.to) && item.lane !== `local ${item.to}`) return true;
    if (item.message === undefined) return false;
    for (const match of this.#holds) if (match(item.message, item.from, item.to)) return true;
    return false;
  }

  #isCut(a: number, b: number): boolean {
    return this.#cuts.has(`${a}-${b}`);
  }
}

function lane({ dialer, acceptor }: Connection, end: "dialed" | "accepted"): string {
  return `session ${dialer.id}/${dialer.life}/${dialer.session}-${acceptor.id} ${end}`;
}

/** Matches messages of these kinds. */
export function kinds(...names: readonly AnyMessage["kind"][]): Match {
  return (message) => names.includes(message.kind);
}

/** True when `ledger` holds these lines in this order, others between them. */
export function inOrder(ledger: readonly string[], ...lines: readonly RegExp[]): boolean {
  let at = 0;
  for (const line of lines) {
    while (at < ledger.length && !line.test(must(ledger[at], "line"))) at++;
    if (at === ledger.length) return false;
    at++;
  }
  return true;
}
