/**
 * One node's connections to the other nodes, for one life of its process. Every message crosses the wire codecs.
 */
import { must, type NodeId } from "../base/index.js";
import type { NetPort } from "../replica/index.js";
import { codecs } from "../wire/index.js";
import type { ControlMessage, SessionId, SessionMessage, ZabInput } from "../zab/index.js";
import type { Host, Network } from "./network.js";
import type { Side, Stream, StreamEnd } from "./stream.js";
import type { World } from "./world.js";

export interface PeerHost {
  readonly id: NodeId;
  readonly host: Host;
  /** The port of this node's present life; undefined while its process is down. */
  readonly peers: PeerPort | undefined;
}

interface Session {
  readonly peer: NodeId;
  readonly direction: "dialed" | "accepted";
  readonly side: Side;
  stream: Stream | undefined;
  outbox: SessionMessage[];
}

export class PeerPort implements NetPort {
  readonly #world: World;
  readonly #network: Network;
  readonly #self: PeerHost;
  readonly #others: ReadonlyMap<NodeId, PeerHost>;
  readonly #deliver: (input: ZabInput) => void;
  readonly #sent: (message: ControlMessage | SessionMessage) => void;
  readonly #tinyFrames: boolean;
  readonly #sessions = new Map<SessionId, Session>();
  readonly #controls = new Map<NodeId, ControlMessage[]>();
  readonly #dirty = new Set<SessionId>();
  /** Even: the core numbers its own sessions with odd numbers. */
  #nextAccepted = 2;

  constructor(
    world: World,
    network: Network,
    self: PeerHost,
    others: ReadonlyMap<NodeId, PeerHost>,
    deliver: (input: ZabInput) => void,
    /** Sees every message as it leaves. */ sent: (message: ControlMessage | SessionMessage) => void,
    /** Each message goes in a frame of its own. */ tinyFrames: boolean,
  ) {
    this.#sent = sent;
    this.#tinyFrames = tinyFrames;
    this.#world = world;
    this.#network = network;
    this.#self = self;
    this.#others = others;
    this.#deliver = deliver;
  }

  control(to: NodeId, message: ControlMessage): void {
    const waiting = this.#controls.get(to);
    if (waiting === undefined) this.#controls.set(to, [message]);
    else waiting.push(message);
  }

  dial(session: SessionId, peer: NodeId): void {
    const other = must(this.#others.get(peer), `peer n${peer}`);
    const record: Session = { peer, direction: "dialed", side: 0, stream: undefined, outbox: [] };
    this.#sessions.set(session, record);
    this.#network.connect(
      this.#self.host,
      other.host,
      this.#end(session, record),
      (stream) => other.peers?.accept(stream, this.#self.id),
      (stream) => {
        if (this.#sessions.get(session) !== record) {
          stream?.close(0);
          return;
        }
        record.stream = stream;
        if (stream === undefined) this.#ended(session, record);
        else this.#deliver({ kind: "session-up", session, peer, direction: "dialed" });
      },
    );
  }

  accept(stream: Stream, peer: NodeId): StreamEnd {
    const session = this.#nextAccepted;
    this.#nextAccepted += 2;
    const record: Session = { peer, direction: "accepted", side: 1, stream, outbox: [] };
    this.#sessions.set(session, record);
    this.#deliver({ kind: "session-up", session, peer, direction: "accepted" });
    return this.#end(session, record);
  }

  session(session: SessionId, message: SessionMessage): void {
    const record = this.#sessions.get(session);
    if (record === undefined) return;
    record.outbox.push(message);
    this.#dirty.add(session);
  }

  close(session: SessionId): void {
    const record = this.#sessions.get(session);
    if (record === undefined) return;
    this.#sendOutbox(record);
    this.#sessions.delete(session);
    record.stream?.close(record.side);
  }

  /** Puts everything of one turn on the wire. */
  flush(): void {
    for (const [to, messages] of this.#controls) {
      for (const message of messages) this.#sent(message);
      const bytes = codecs.control.encode(messages);
      const other = must(this.#others.get(to), `peer n${to}`);
      if (this.#world.tracing) for (const message of messages) this.#world.note(`n${this.#self.id}`, `~> n${to}`, () => show(message));
      this.#network.datagram(this.#self.host, other.host, () => other.peers?.controlArrived(this.#self.id, bytes));
    }
    if (this.#controls.size > 0) this.#controls.clear();
    if (this.#dirty.size === 0) return;
    for (const session of this.#dirty) {
      const record = this.#sessions.get(session);
      if (record !== undefined) this.#sendOutbox(record);
    }
    this.#dirty.clear();
  }

  /** Throws away what this turn wanted to send: the process died before the end of its turn. */
  discard(): void {
    this.#controls.clear();
    for (const session of this.#dirty) {
      const record = this.#sessions.get(session);
      if (record !== undefined) record.outbox = [];
    }
    this.#dirty.clear();
  }

  controlArrived(from: NodeId, bytes: Uint8Array): void {
    for (const message of codecs.control.decode(bytes)) this.#deliver({ kind: "control", from, message });
  }

  #sendOutbox(record: Session): void {
    if (record.outbox.length === 0 || record.stream === undefined) return;
    if (this.#world.tracing)
      for (const message of record.outbox) this.#world.note(`n${this.#self.id}`, `=> n${record.peer}`, () => show(message));
    for (const message of record.outbox) this.#sent(message);
    if (this.#tinyFrames) for (const message of record.outbox) record.stream.send(record.side, codecs.session.encode([message]));
    else record.stream.send(record.side, codecs.session.encode(record.outbox));
    record.outbox = [];
  }

  #end(session: SessionId, record: Session): StreamEnd {
    return {
      onFrame: (frame) => {
        if (this.#sessions.get(session) !== record) return;
        for (const message of codecs.session.decode(frame as Uint8Array)) this.#deliver({ kind: "session", session, message });
      },
      onDown: () => {
        if (this.#sessions.get(session) === record) this.#ended(session, record);
      },
    };
  }

  #ended(session: SessionId, record: Session): void {
    this.#sessions.delete(session);
    this.#deliver({ kind: "session-down", session, peer: record.peer, direction: record.direction });
  }
}

/** One message for the trace: entries by their zxids only. */
export function show(message: ControlMessage | SessionMessage): string {
  return JSON.stringify(message, (key, value: unknown) => {
    if (value instanceof Uint8Array) return `${value.length}B`;
    if (key === "configuration") return undefined;
    if (typeof value === "object" && value !== null && "epoch" in value && "counter" in value && Object.keys(value).length === 2)
      return `${String(value.epoch)}:${String(value.counter)}`;
    return value;
  });
}
