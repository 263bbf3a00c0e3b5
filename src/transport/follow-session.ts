/**
 * One FIFO session between a follower and its leader, at either end.
 *
 * Decides how messages are put into frames and how much may wait for a peer that does not read; not what they mean. What this end
 * queued is sent in order or the session ends: there is no gap.
 */
import type { NodeId } from "../base/index.js";
import { must } from "../base/index.js";
import { codecs, FRAME_BYTES_MAX, sessionMessageBytes } from "../wire/index.js";
import type { SessionId, SessionMessage } from "../zab/index.js";
import type { Counters } from "./counters.js";
import type { FrameSink } from "./stream.js";
import { Flushable } from "./turn-flusher.js";
import type { TurnFlusher } from "./turn-flusher.js";

/** What may wait for a peer that does not read. A follower that is this far behind is better off with a new session, or a snapshot. */
export const SESSION_BUFFER_BYTES_MAX = 64 * 1024 * 1024;

export type Direction = "dialed" | "accepted";

/** The stream under a session. */
export interface SessionStream extends FrameSink {
  end(): void;
  /** At once, for a reason. */
  cut(why: string): void;
}

export class FollowSession extends Flushable {
  readonly id: SessionId;
  readonly peer: NodeId;
  readonly direction: Direction;
  /** session-up has been delivered; before that nothing is sent. */
  open = false;
  stream: SessionStream | undefined;
  readonly #flusher: TurnFlusher;
  readonly #counters: Counters;
  #queue: SessionMessage[] = [];
  #sizes: number[] = [];
  #waitingBytes = 0;
  #overflowed = false;

  constructor(id: SessionId, peer: NodeId, direction: Direction, flusher: TurnFlusher, counters: Counters) {
    super();
    this.id = id;
    this.peer = peer;
    this.direction = direction;
    this.#flusher = flusher;
    this.#counters = counters;
  }

  /** False when this message is the one too many: nothing more is sent, and the session is to be cut. */
  push(message: SessionMessage): boolean {
    if (this.#overflowed) return true;
    const bytes = sessionMessageBytes(message);
    this.#queue.push(message);
    this.#sizes.push(bytes);
    this.#waitingBytes += bytes;
    if (this.#waitingBytes > SESSION_BUFFER_BYTES_MAX) {
      this.#overflowed = true;
      this.#queue = [];
      this.#sizes = [];
      return false;
    }
    this.#flusher.mark(this);
    return true;
  }

  flush(): void {
    const stream = this.stream;
    const queue = this.#queue;
    if (stream === undefined || !this.open || queue.length === 0) return;
    let from = 0;
    while (from < queue.length && !stream.blocked) from = this.#sendFrame(stream, from);
    if (from === queue.length) {
      this.#queue = [];
      this.#sizes = [];
    } else if (from > 0) {
      this.#queue = queue.slice(from);
      this.#sizes = this.#sizes.slice(from);
    }
  }

  /** Sends one frame that starts with message `from`; returns the first message after it. */
  #sendFrame(stream: FrameSink, from: number): number {
    const queue = this.#queue;
    let to = from;
    let bytes = 0;
    while (to < queue.length) {
      const size = must(this.#sizes[to], "size of a queued message");
      if (to > from && bytes + size > FRAME_BYTES_MAX) break;
      bytes += size;
      to++;
    }
    const frame = codecs.session.encode(from === 0 && to === queue.length ? queue : queue.slice(from, to));
    this.#waitingBytes -= bytes;
    this.#counters.sent(frame.length, to - from);
    stream.send(frame);
    return to;
  }
}
