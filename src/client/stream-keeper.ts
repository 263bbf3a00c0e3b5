/**
 * Keeps one bidirectional stream to one endpoint open for as long as it is wanted.
 *
 * Decides when to dial again and when a peer is not one of ours; what travels on the stream is its owner's matter. A stream
 * counts as open when the first message has arrived: a peer that only accepts connections is not a node.
 */
import { status } from "@grpc/grpc-js";
import { messageOf } from "../base/index.js";
import { backoffMs } from "./backoff.js";
import type { Endpoint, RawStream } from "./endpoint.js";
import { randomFloat } from "./entropy.js";

/** A peer that has not said anything for this long after being dialed is given up and dialed again on a new connection. */
const OPEN_TIMEOUT_MS = 2_000;
const REDIAL = { delayMsMin: 20, delayMsMax: 500 } as const;

export interface StreamHandlers<In> {
  readonly path: string;
  /** Throws on malformed bytes: the stream is dropped and dialed again. */
  decode(bytes: Uint8Array): In;
  /** Writes what must come first. */
  onDial(write: (bytes: Uint8Array) => void): void;
  onMessage(message: In): void;
  /** The peer takes more again after `writable` was false. */
  onDrain(): void;
  /** Also for a dial that never opened. `wasOpen` tells. */
  onLost(why: string, wasOpen: boolean): void;
}

export class StreamKeeper<In> {
  readonly endpoint: Endpoint;
  readonly #handlers: StreamHandlers<In>;
  #call: RawStream | undefined;
  #open = false;
  #full = false;
  #stopped = true;
  #attempt = 0;
  #timer: NodeJS.Timeout | undefined;
  #lastFailure: string | undefined;

  constructor(endpoint: Endpoint, handlers: StreamHandlers<In>) {
    this.endpoint = endpoint;
    this.#handlers = handlers;
  }

  get open(): boolean {
    return this.#open;
  }

  get writable(): boolean {
    return this.#open && !this.#full;
  }

  /** Why the last dial or stream ended; undefined while open or before the first dial ended. */
  get lastFailure(): string | undefined {
    return this.#lastFailure;
  }

  start(): void {
    this.#stopped = false;
    this.#dial();
  }

  write(bytes: Uint8Array): void {
    if (this.#call !== undefined && !this.#call.write(bytes)) this.#full = true;
  }

  /** Ends our half and lets the peer finish; `onLost` is not called any more. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    const call = this.#call;
    this.#forget();
    if (call === undefined) return;
    call.end();
    // A peer that keeps its half open must not keep the process alive.
    setTimeout(() => call.cancel(), 200).unref();
  }

  #dial(): void {
    const call = this.endpoint.stream(this.#handlers.path);
    this.#call = call;
    this.#timer = setTimeout(() => {
      this.#lost(call, `accepted the connection or dropped the packets, and said nothing for ${OPEN_TIMEOUT_MS} ms`, true);
    }, OPEN_TIMEOUT_MS);
    call.on("data", (bytes: Uint8Array) => this.#received(call, bytes));
    call.on("drain", () => {
      if (call !== this.#call) return;
      this.#full = false;
      this.#handlers.onDrain();
    });
    // Always listened to: a cancelled call still emits an error, and an error without a listener ends the process.
    call.on("error", (error: Error & { code?: number; details?: string }) => this.#lost(call, describe(error), false));
    call.on("end", () => this.#lost(call, "closed the stream", false));
    this.#handlers.onDial((bytes) => call.write(bytes));
  }

  #received(call: RawStream, bytes: Uint8Array): void {
    if (call !== this.#call) return;
    let message: In;
    try {
      message = this.#handlers.decode(bytes);
    } catch (error) {
      this.#lost(call, `sent bytes that are not of this protocol: ${messageOf(error)}`, true);
      return;
    }
    if (!this.#open) {
      this.#open = true;
      this.#attempt = 0;
      this.#lastFailure = undefined;
      this.endpoint.openStreams++;
      clearTimeout(this.#timer);
    }
    this.#handlers.onMessage(message);
  }

  #lost(call: RawStream, why: string, renew: boolean): void {
    if (call !== this.#call || this.#stopped) return;
    const wasOpen = this.#open;
    this.#forget();
    this.#lastFailure = why;
    clearTimeout(this.#timer);
    call.cancel();
    if (renew) this.endpoint.renew();
    this.#timer = setTimeout(() => this.#dial(), backoffMs(this.#attempt++, REDIAL, randomFloat));
    this.#handlers.onLost(why, wasOpen);
  }

  #forget(): void {
    if (this.#open) this.endpoint.openStreams--;
    this.#call = undefined;
    this.#open = false;
    this.#full = false;
  }
}

function describe(error: Error & { code?: number; details?: string }): string {
  const details = error.details ?? error.message;
  if (error.code === status.UNIMPLEMENTED) return `is a gRPC server, but not a Quorate node (${details})`;
  const refused = /connect ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ETIMEDOUT|ECONNRESET/.exec(details);
  if (refused !== null) return `${plain(refused[0])} (${details})`;
  const name = error.code === undefined ? "error" : (status[error.code] ?? String(error.code));
  return `${name}: ${details}`;
}

function plain(code: string): string {
  switch (code) {
    case "connect ECONNREFUSED":
      return "refused the connection";
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return "is a name that does not resolve";
    case "ECONNRESET":
      return "reset the connection; it may not be a Quorate node";
    default:
      return "cannot be reached";
  }
}
