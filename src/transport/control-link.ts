/**
 * The control stream this node keeps open to one other node.
 *
 * Decides when the link counts as up (the other end has accepted it) and down (refused, broken, closed: told at once), and when it is
 * dialed again. Messages are best effort: they are dropped while the link is down, and the oldest when it does not drain.
 */
import type { Metadata } from "@grpc/grpc-js";
import { status } from "@grpc/grpc-js";
import type { Logger, NodeId } from "../base/index.js";
import { formatNodeId } from "../base/index.js";
import { controlEventCodec, controlFrameCodec, WireError } from "../wire/index.js";
import type { ControlMessage } from "../zab/index.js";
import type { Counters } from "./counters.js";
import { RefusalLog } from "./refusal-log.js";
import { DialedStream } from "./stream.js";
import type { StreamEnd } from "./stream.js";
import { Flushable } from "./turn-flusher.js";
import type { TurnFlusher } from "./turn-flusher.js";

const REDIAL_MS_MIN = 50;
const REDIAL_MS_MAX = 500;
/** How long a dialed stream may stay unanswered: a lost packet costs one redial, not the kernel's retransmissions. */
export const DIAL_TIMEOUT_MS = 1_000;
/** Unsent control messages of one link. Each is a few dozen bytes; older ones are worth less than newer ones. */
const CONTROL_QUEUE_MAX = 256;

export interface ControlLinkOptions {
  readonly peer: NodeId;
  readonly address: string;
  readonly path: string;
  readonly metadata: Metadata;
  readonly flusher: TurnFlusher;
  readonly counters: Counters;
  readonly log: Logger;
  readonly onLink: (up: boolean) => void;
}

export class ControlLink extends Flushable {
  readonly #options: ControlLinkOptions;
  readonly #troubles: RefusalLog;
  #stream: DialedStream | undefined;
  #accepted = false;
  /** What the core was told last; it assumes nothing before. */
  #told: boolean | undefined;
  #queue: ControlMessage[] = [];
  #redialMs = REDIAL_MS_MIN;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: ControlLinkOptions) {
    super();
    this.#options = options;
    this.#troubles = new RefusalLog(options.log);
  }

  send(message: ControlMessage): void {
    const { counters, flusher } = this.#options;
    if (!this.#accepted) {
      counters.dropped++;
      return;
    }
    if (this.#queue.length >= CONTROL_QUEUE_MAX) {
      this.#queue.shift();
      counters.dropped++;
    }
    this.#queue.push(message);
    flusher.mark(this);
  }

  flush(): void {
    const stream = this.#stream;
    if (stream === undefined || !this.#accepted || stream.blocked || this.#queue.length === 0) return;
    const messages = this.#queue;
    this.#queue = [];
    this.#write(stream, messages, 0);
  }

  /** The peer is there after all (it has just dialed this node): do not wait out the back-off. */
  hurry(): void {
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.dial();
  }

  dial(): void {
    if (this.#closed || this.#stream !== undefined) return;
    const { address, path, metadata } = this.#options;
    const stream: DialedStream = new DialedStream(address, path, metadata, DIAL_TIMEOUT_MS, {
      onAccepted: () => {
        this.#accepted = true;
        this.#redialMs = REDIAL_MS_MIN;
        this.#options.log.info(this.#fields(), `control link to ${this.#name()} is up`);
        this.#tell(true);
      },
      onFrame: (bytes) => this.#event(stream, bytes),
      onDrain: () => this.flush(),
      onGone: (end) => this.#gone(end),
    });
    this.#stream = stream;
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#stream?.cancel();
    this.#stream = undefined;
    this.#accepted = false;
  }

  #event(stream: DialedStream, bytes: Uint8Array): void {
    let challenge: number;
    try {
      challenge = controlEventCodec.decode(bytes).challenge;
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.#troubles.warn(this.#fields(), `malformed frame from ${this.#name()}: ${error.message}`);
      stream.cancel();
      this.#gone({ code: status.INVALID_ARGUMENT, details: error.message });
      return;
    }
    // At once and past the queue: the other end decides between two processes by who answers.
    if (challenge !== 0) this.#write(stream, [], challenge);
  }

  #write(stream: DialedStream, messages: readonly ControlMessage[], proof: number): void {
    const frame = controlFrameCodec.encode({ messages, proof });
    stream.send(frame);
    this.#options.counters.sent(frame.length, messages.length);
  }

  #gone(end: StreamEnd): void {
    if (this.#closed) return;
    this.#stream = undefined;
    this.#accepted = false;
    this.#options.counters.dropped += this.#queue.length;
    this.#queue = [];
    this.#troubles.warn(this.#fields(), `control link to ${this.#name()} is down: ${end.details}`);
    // Jitter keeps nodes that lost each other from dialing in step.
    const delayMs = this.#redialMs * (0.75 + Math.random() / 2);
    this.#redialMs = Math.min(REDIAL_MS_MAX, this.#redialMs * 2);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.dial();
    }, delayMs);
    this.#tell(false);
  }

  #tell(up: boolean): void {
    if (this.#told === up) return;
    this.#told = up;
    this.#options.onLink(up);
  }

  #name(): string {
    return formatNodeId(this.#options.peer);
  }

  #fields(): object {
    return { peer: this.#options.peer, address: this.#options.address };
  }
}
