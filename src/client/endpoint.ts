/**
 * One address of the cluster and the single gRPC channel to it, shared by every stream and unary call.
 */
import { performance } from "node:perf_hooks";
import { Client, credentials, Metadata } from "@grpc/grpc-js";
import type { ClientDuplexStream, ServiceError } from "@grpc/grpc-js";
import { CLIENT_CHANNEL_OPTIONS } from "../wire/index.js";

export type RawStream = ClientDuplexStream<Uint8Array, Uint8Array>;

const toBuffer = (bytes: Uint8Array): Buffer =>
  Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const asBytes = (bytes: Buffer): Uint8Array => bytes;

/** A connection attempt younger than this may still succeed. */
const YOUNG_MS = 1_500;

export class Endpoint {
  /** `host:port`. */
  readonly address: string;
  /** Where `address` is reached from here; the same unless connect was given `translateAddress`. */
  readonly #dialed: string;
  /** Streams that have received something: while there is one, the channel is known to work. */
  openStreams = 0;
  #client: Client | undefined;
  #dialedMs = 0;
  #closed = false;

  constructor(address: string, dialed = address) {
    this.address = address;
    this.#dialed = dialed;
  }

  stream(path: string): RawStream {
    return this.#channel().makeBidiStreamRequest(path, toBuffer, asBytes, new Metadata());
  }

  /** Rejects with a grpc ServiceError. */
  unary(path: string, request: Uint8Array, deadlineMs: number): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const done = (error: ServiceError | null, response?: Uint8Array): void => {
        if (error !== null) reject(error);
        else resolve(response ?? new Uint8Array());
      };
      this.#channel().makeUnaryRequest(path, toBuffer, asBytes, request, new Metadata(), { deadline: Date.now() + deadlineMs }, done);
    });
  }

  /**
   * Starts over with a fresh connection unless a stream works. A connection attempt into a black hole waits for the operating
   * system's own retransmissions (1, 3, 7 s); after the network healed a new attempt gets through at once. A young connection is left
   * alone: another stream may have begun it.
   */
  renew(): void {
    if (this.openStreams > 0 || performance.now() - this.#dialedMs < YOUNG_MS) return;
    this.#client?.close();
    this.#client = undefined;
  }

  close(): void {
    this.#closed = true;
    this.#client?.close();
    this.#client = undefined;
  }

  #channel(): Client {
    if (this.#closed) throw new Error(`endpoint ${this.address} is closed`);
    if (this.#client === undefined) {
      this.#client = new Client(this.#dialed, credentials.createInsecure(), CLIENT_CHANNEL_OPTIONS);
      this.#dialedMs = performance.now();
    }
    return this.#client;
  }
}
