/**
 * One end of a bidirectional gRPC stream, dialed or accepted, with the same face for both.
 *
 * Decides when a stream counts as open, as blocked and as gone; nothing about what it carries. A stream is gone exactly once, and after
 * that, or after this end closed it, nothing more is delivered.
 */
import { Client, credentials, Metadata, status } from "@grpc/grpc-js";
import type { ClientDuplexStream, ServerDuplexStream } from "@grpc/grpc-js";
import { CLIENT_CHANNEL_OPTIONS } from "../wire/index.js";
import { asBytes, toBuffer } from "./bytes.js";

export type RawServerStream = ServerDuplexStream<Uint8Array, Uint8Array>;

/** How a stream went away, for logs and refusals. */
export interface StreamEnd {
  readonly code: status;
  readonly details: string;
}

export interface StreamHandlers {
  onFrame(bytes: Uint8Array): void;
  /** The stream takes frames again. */
  onDrain(): void;
  /** The other end closed it, or the connection is lost. */
  onGone(end: StreamEnd): void;
}

/** What frames are sent to. */
export interface FrameSink {
  /** grpc-js holds its bound of unsent frames: keep back until `onDrain`. */
  readonly blocked: boolean;
  send(frame: Uint8Array): void;
}

/** How long a stream that this end closed may take to deliver its last frames. */
const LINGER_MS = 1_000;

/** A stream that this process opened, on a TCP connection of its own: bulk on one never delays another, and closing it closes the socket. */
export class DialedStream implements FrameSink {
  readonly #client: Client;
  readonly #call: ClientDuplexStream<Uint8Array, Uint8Array>;
  #timer: NodeJS.Timeout | undefined;
  #done = false;
  blocked = false;

  /** `onAccepted` once the other end's initial metadata is there; if it is not within `timeoutMs` the stream is gone. */
  constructor(address: string, path: string, metadata: Metadata, timeoutMs: number, handlers: StreamHandlers & { onAccepted(): void }) {
    this.#client = new Client(address, credentials.createInsecure(), CLIENT_CHANNEL_OPTIONS);
    this.#call = this.#client.makeBidiStreamRequest(path, toBuffer, asBytes, metadata);
    const gone = (end: StreamEnd): void => {
      clearTimeout(this.#timer);
      this.#client.close();
      if (this.#done) return;
      this.#done = true;
      handlers.onGone(end);
    };
    this.#timer = setTimeout(() => {
      this.#call.cancel();
      gone({ code: status.DEADLINE_EXCEEDED, details: `no answer from ${address} within ${timeoutMs} ms` });
    }, timeoutMs);
    this.#call.on("metadata", () => {
      if (this.#done) return;
      clearTimeout(this.#timer);
      handlers.onAccepted();
    });
    this.#call.on("data", (frame: Uint8Array) => {
      if (!this.#done) handlers.onFrame(frame);
    });
    this.#call.on("drain", () => {
      this.blocked = false;
      if (!this.#done) handlers.onDrain();
    });
    // Every error is followed by a status; without a listener it would end the process.
    this.#call.on("error", () => undefined);
    this.#call.on("status", ({ code, details }) => gone({ code, details }));
  }

  send(frame: Uint8Array): void {
    if (!this.#done) this.blocked = !this.#call.write(frame);
  }

  /** What was sent still arrives, then the other end sees the end. */
  end(): void {
    if (this.#done) return;
    this.#done = true;
    clearTimeout(this.#timer);
    this.#call.end();
    this.#timer = setTimeout(() => this.#abandon(), LINGER_MS);
  }

  /** At once; what was sent may be lost. */
  cancel(): void {
    this.#done = true;
    this.#abandon();
  }

  #abandon(): void {
    clearTimeout(this.#timer);
    this.#call.cancel();
    this.#client.close();
  }
}

/** A stream that the other end opened. */
export class AcceptedStream implements FrameSink {
  readonly #call: RawServerStream;
  readonly #handlers: StreamHandlers;
  #done = false;
  blocked = false;

  /** Nothing is read before {@link accept}. */
  constructor(call: RawServerStream, handlers: StreamHandlers) {
    this.#call = call;
    this.#handlers = handlers;
    call.on("cancelled", () => this.#gone({ code: status.CANCELLED, details: "the connection is lost, or the other end cancelled" }));
    call.on("error", () => undefined);
  }

  /** `host:port` of the other end. */
  get remote(): string {
    return this.#call.getPeer();
  }

  get done(): boolean {
    return this.#done;
  }

  /** Sends the initial metadata and starts reading. */
  accept(): void {
    if (this.#done) return;
    this.#call.sendMetadata(new Metadata());
    this.#call.on("data", (frame: Uint8Array) => {
      if (!this.#done) this.#handlers.onFrame(frame);
    });
    this.#call.on("drain", () => {
      this.blocked = false;
      if (!this.#done) this.#handlers.onDrain();
    });
    this.#call.on("end", () => {
      const open = !this.#done;
      this.#gone({ code: status.OK, details: "the other end closed the stream" });
      if (open) this.#call.end();
    });
  }

  send(frame: Uint8Array): void {
    if (!this.#done) this.blocked = !this.#call.write(frame);
  }

  /** What was sent still arrives, then the other end sees the end. */
  end(): void {
    if (this.#done) return;
    this.#done = true;
    this.#call.end();
  }

  /** Ends the stream with a status that says why. */
  fail(code: status, details: string, metadata = new Metadata()): void {
    if (this.#done) return;
    this.#done = true;
    // grpc-js takes the status of a server stream from its error event.
    this.#call.emit("error", { code, details, metadata });
  }

  #gone(end: StreamEnd): void {
    if (this.#done) return;
    this.#done = true;
    this.#handlers.onGone(end);
  }
}
