/**
 * Two lanes between nodes. Control messages are lost, repeated and reordered. Sessions are FIFO per direction; they stall while their
 * path is cut, and break: what was under way is lost and both ends learn of it, each in its own time.
 */
import type { NodeId, Prng } from "../../../src/base/index.js";
import type { ControlMessage, SessionId, SessionMessage, ZabInput } from "../../../src/zab/index.js";
import type { Schedule } from "./schedule.js";

export interface Weather {
  readonly loss: number;
  readonly duplicate: number;
  readonly delayMsMax: number;
  /** Chance that a cut path or a dead peer is noticed as a closed connection. */
  readonly noticed: number;
}

export const CALM: Weather = { loss: 0, duplicate: 0, delayMsMax: 1, noticed: 1 };

export interface Host {
  readonly id: NodeId;
  /** Counts restarts: what was meant for an earlier life is lost. */
  readonly life: number;
  readonly up: boolean;
  input(input: ZabInput): void;
  nextAcceptedSession(): SessionId;
}

interface End {
  readonly host: Host;
  readonly life: number;
  readonly session: SessionId;
  readonly direction: "dialed" | "accepted";
  open: boolean;
  /** On their way to this end, in order. */
  readonly inbox: { readonly atMs: number; readonly make: (to: End) => ZabInput }[];
  arrivesMs: number;
  stalledSinceMs: number | undefined;
}

function newEnd(host: Host, session: SessionId, direction: End["direction"]): End {
  return { host, life: host.life, session, direction, open: true, inbox: [], arrivesMs: 0, stalledSinceMs: undefined };
}

interface Connection {
  readonly dialer: End;
  readonly acceptor: End;
  broken: boolean;
}

const STALL_RETRY_MS = 3;
const STALL_LIMIT_MS = 400;

export class Network {
  weather: Weather = CALM;
  /** Directed: `from>to` is cut. */
  readonly cuts = new Set<string>();
  readonly #schedule: Schedule;
  readonly #prng: Prng;
  readonly #hosts: ReadonlyMap<NodeId, Host>;
  readonly #connections = new Set<Connection>();
  readonly #linkNews = new Map<string, number>();

  constructor(schedule: Schedule, prng: Prng, hosts: ReadonlyMap<NodeId, Host>) {
    this.#schedule = schedule;
    this.#prng = prng;
    this.#hosts = hosts;
  }

  isCut(from: NodeId, to: NodeId): boolean {
    return this.cuts.has(`${from}>${to}`);
  }

  control(from: Host, to: NodeId, message: ControlMessage): void {
    const host = this.#hosts.get(to);
    if (host === undefined || this.#prng.chance(this.weather.loss)) return;
    const copies = this.#prng.chance(this.weather.duplicate) ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      const late = i > 0 && this.#prng.chance(0.3) ? 10 : 1;
      this.#schedule.after(this.#delay() * late, () => {
        if (host.up && !this.isCut(from.id, to)) host.input({ kind: "control", from: from.id, message });
      });
    }
  }

  dial(from: Host, session: SessionId, peer: NodeId): void {
    const to = this.#hosts.get(peer);
    const fail = (): void => {
      const { life } = from;
      this.#schedule.after(this.#delay() + (this.#prng.chance(this.weather.noticed) ? 0 : 100), () => {
        if (from.life === life && from.up) from.input({ kind: "session-down", session, peer, direction: "dialed" });
      });
    };
    if (to === undefined || !to.up || this.isCut(from.id, peer) || this.isCut(peer, from.id)) return fail();
    const connection: Connection = {
      dialer: newEnd(from, session, "dialed"),
      acceptor: newEnd(to, to.nextAcceptedSession(), "accepted"),
      broken: false,
    };
    this.#connections.add(connection);
    this.#deliver(connection, connection.acceptor, connection.dialer, (end) => ({
      kind: "session-up",
      session: end.session,
      peer: from.id,
      direction: "accepted",
    }));
    this.#deliver(connection, connection.dialer, connection.acceptor, (end) => ({
      kind: "session-up",
      session: end.session,
      peer,
      direction: "dialed",
    }));
  }

  session(from: Host, session: SessionId, message: SessionMessage): void {
    for (const connection of this.#connections) {
      for (const [end, other] of pairs(connection)) {
        if (end.host !== from || end.life !== from.life || end.session !== session || !end.open) continue;
        this.#deliver(connection, other, end, (target) => ({ kind: "session", session: target.session, message }));
        return;
      }
    }
  }

  close(from: Host, session: SessionId): void {
    for (const connection of this.#connections) {
      for (const [end, other] of pairs(connection)) {
        if (end.host !== from || end.life !== from.life || end.session !== session) continue;
        end.open = false;
        // What was sent before the close still arrives.
        this.#deliver(connection, other, end, (target) => this.#down(target, end));
        return;
      }
    }
  }

  /** Breaks one connection, or all that touch a node. */
  break(touching: NodeId | undefined): void {
    for (const connection of [...this.#connections]) {
      const touches = touching === undefined ? this.#prng.chance(0.5) : pairs(connection).some(([end]) => end.host.id === touching);
      if (touches) this.#break(connection);
    }
  }

  /** A node's process is gone. */
  crashed(host: Host): void {
    for (const connection of [...this.#connections]) {
      if (pairs(connection).some(([end]) => end.host === host)) this.#break(connection);
    }
    const noticed = this.#prng.chance(this.weather.noticed);
    for (const peer of this.#hosts.values()) if (noticed && peer !== host) this.link(peer, host.id, false);
  }

  /** What a host learns about one link arrives in order. */
  link(host: Host, peer: NodeId, up: boolean): void {
    const path = `${host.id}-${peer}`;
    const atMs = Math.max(this.#schedule.nowMs + this.#delay(), this.#linkNews.get(path) ?? 0);
    this.#linkNews.set(path, atMs);
    this.#schedule.at(atMs, () => {
      if (host.up) host.input({ kind: "link", peer, up });
    });
  }

  #break(connection: Connection): void {
    connection.broken = true;
    this.#connections.delete(connection);
    for (const [end, other] of pairs(connection)) {
      const delayMs = this.#delay() + (this.#prng.chance(this.weather.noticed) ? 0 : this.#prng.int(20, 300));
      this.#schedule.after(delayMs, () => this.#arrive(end, this.#down(end, other)));
    }
  }

  #down(end: End, other: End): ZabInput {
    end.open = false;
    return { kind: "session-down", session: end.session, peer: other.host.id, direction: end.direction };
  }

  #deliver(connection: Connection, to: End, from: End, make: (to: End) => ZabInput): void {
    to.arrivesMs = Math.max(this.#schedule.nowMs + this.#delay(), to.arrivesMs);
    to.inbox.push({ atMs: to.arrivesMs, make });
    this.#schedule.at(to.arrivesMs, () => this.#pump(connection, to, from));
  }

  #pump(connection: Connection, to: End, from: End): void {
    const { nowMs } = this.#schedule;
    while (!connection.broken && to.open) {
      const head = to.inbox[0];
      if (head === undefined || head.atMs > nowMs) return;
      if (this.isCut(from.host.id, to.host.id)) {
        to.stalledSinceMs ??= nowMs;
        if (nowMs - to.stalledSinceMs >= STALL_LIMIT_MS) return this.#break(connection);
        this.#schedule.after(STALL_RETRY_MS, () => this.#pump(connection, to, from));
        return;
      }
      to.stalledSinceMs = undefined;
      to.inbox.shift();
      this.#arrive(to, head.make(to));
    }
  }

  #arrive(end: End, input: ZabInput): void {
    if (end.host.up && end.host.life === end.life) end.host.input(input);
  }

  #delay(): number {
    return this.#prng.float() * this.weather.delayMsMax;
  }
}

function pairs(connection: Connection): [End, End][] {
  return [
    [connection.dialer, connection.acceptor],
    [connection.acceptor, connection.dialer],
  ];
}
