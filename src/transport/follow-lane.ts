/**
 * All follow sessions of one node: dialed to a leader, and accepted from followers.
 *
 * Decides session ids of accepted sessions and when session-up and session-down are delivered: each at most once, down never after this
 * end closed the session, nothing after down.
 */
import type { Metadata } from "@grpc/grpc-js";
import { status } from "@grpc/grpc-js";
import type { Logger, NodeId } from "../base/index.js";
import { assert, formatNodeId } from "../base/index.js";
import { codecs, WireError } from "../wire/index.js";
import type { SessionId, SessionMessage, ZabInput } from "../zab/index.js";
import { DIAL_TIMEOUT_MS } from "./control-link.js";
import type { Counters } from "./counters.js";
import { FollowSession, SESSION_BUFFER_BYTES_MAX } from "./follow-session.js";
import { AcceptedStream, DialedStream } from "./stream.js";
import type { RawServerStream } from "./stream.js";
import type { TurnFlusher } from "./turn-flusher.js";

/** Sessions accepted from one peer. A follower keeps one; older ones are leftovers of connections whose end got lost. */
const ACCEPTED_PER_PEER_MAX = 8;

export interface FollowLaneOptions {
  readonly path: string;
  readonly metadata: Metadata;
  readonly addressOf: (peer: NodeId) => string;
  readonly flusher: TurnFlusher;
  readonly counters: Counters;
  readonly log: Logger;
  readonly onInput: (input: ZabInput) => void;
}

export class FollowLane {
  readonly #options: FollowLaneOptions;
  readonly #sessions = new Map<SessionId, FollowSession>();
  /** Negative: the core numbers the sessions it dials with positive integers. */
  #nextAccepted = -1;
  #closed = false;

  constructor(options: FollowLaneOptions) {
    this.#options = options;
  }

  dial(id: SessionId, peer: NodeId): void {
    assert(id > 0 && !this.#sessions.has(id), "a dialed session has a new, positive id");
    const { path, metadata, addressOf } = this.#options;
    const session = this.#add(id, peer, "dialed");
    const stream: DialedStream = new DialedStream(addressOf(peer), path, metadata, DIAL_TIMEOUT_MS, {
      onAccepted: () => this.#up(session),
      onFrame: (bytes) => this.#frame(session, bytes),
      onDrain: () => session.flush(),
      onGone: ({ details }) => this.#down(session, details),
    });
    session.stream = {
      get blocked() {
        return stream.blocked;
      },
      send: (frame) => stream.send(frame),
      end: () => (session.open ? stream.end() : stream.cancel()),
      cut: () => stream.cancel(),
    };
  }

  take(call: RawServerStream, peer: NodeId): void {
    const session = this.#add(this.#nextAccepted--, peer, "accepted");
    const stream: AcceptedStream = new AcceptedStream(call, {
      onFrame: (bytes) => this.#frame(session, bytes),
      onDrain: () => session.flush(),
      onGone: ({ details }) => this.#down(session, details),
    });
    session.stream = {
      get blocked() {
        return stream.blocked;
      },
      send: (frame) => stream.send(frame),
      end: () => stream.end(),
      cut: (why) => stream.fail(status.RESOURCE_EXHAUSTED, why),
    };
    stream.accept();
    this.#up(session);
    const accepted = [...this.#sessions.values()].filter((one) => one.peer === peer && one.direction === "accepted");
    const [oldest] = accepted;
    if (oldest !== undefined && accepted.length > ACCEPTED_PER_PEER_MAX)
      this.#cut(oldest, "too many sessions of one node; the oldest ends");
  }

  send(id: SessionId, message: SessionMessage): void {
    const session = this.#sessions.get(id);
    if (session === undefined) return;
    // Reported from the event loop: this is inside a call of the core.
    if (!session.push(message)) setImmediate(() => this.#overflow(session));
  }

  close(id: SessionId): void {
    const session = this.#sessions.get(id);
    if (session === undefined) return;
    session.flush();
    this.#sessions.delete(id);
    session.stream?.end();
  }

  closeAll(): void {
    this.#closed = true;
    for (const session of this.#sessions.values()) session.stream?.cut("the node is stopping");
    this.#sessions.clear();
  }

  #add(id: SessionId, peer: NodeId, direction: FollowSession["direction"]): FollowSession {
    const session = new FollowSession(id, peer, direction, this.#options.flusher, this.#options.counters);
    this.#sessions.set(id, session);
    return session;
  }

  #up(session: FollowSession): void {
    if (this.#sessions.get(session.id) !== session) return;
    session.open = true;
    const { id, peer, direction } = session;
    this.#options.log.info({ peer, session: id, direction }, `session with ${formatNodeId(peer)} is up`);
    this.#options.onInput({ kind: "session-up", session: id, peer, direction });
    session.flush();
  }

  #down(session: FollowSession, why: string): void {
    if (this.#closed || this.#sessions.get(session.id) !== session) return;
    this.#sessions.delete(session.id);
    const { id, peer, direction } = session;
    this.#options.log.info({ peer, session: id, direction }, `session with ${formatNodeId(peer)} is down: ${why}`);
    this.#options.onInput({ kind: "session-down", session: id, peer, direction });
  }

  #cut(session: FollowSession, why: string): void {
    if (this.#sessions.get(session.id) !== session) return;
    session.stream?.cut(why);
    this.#down(session, why);
  }

  #overflow(session: FollowSession): void {
    const why = `${formatNodeId(session.peer)} does not read: more than ${SESSION_BUFFER_BYTES_MAX} bytes wait for it`;
    if (this.#sessions.get(session.id) === session) {
      this.#options.counters.refused++;
      this.#options.log.warn({ peer: session.peer, session: session.id }, why);
    }
    this.#cut(session, why);
  }

  #frame(session: FollowSession, bytes: Uint8Array): void {
    if (this.#sessions.get(session.id) !== session) return;
    let messages: readonly SessionMessage[];
    try {
      messages = codecs.session.decode(bytes);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.#options.counters.refused++;
      this.#options.log.warn(
        { peer: session.peer, session: session.id },
        `malformed frame from ${formatNodeId(session.peer)}: ${error.message}`,
      );
      this.#cut(session, error.message);
      return;
    }
    this.#options.counters.received(bytes.length, messages.length);
    for (const message of messages) {
      // The core may have closed the session on an earlier message of the frame.
      if (this.#sessions.get(session.id) !== session) return;
      this.#options.onInput({ kind: "session", session: session.id, message });
    }
  }
}
