/**
 * Snapshots between nodes: one server stream on a connection of its own, throttled by the sender.
 *
 * A snapshot is complete only with its end frame, whose count and checksum the receiver compares with what arrived.
 */
import type { ServerWritableStream } from "@grpc/grpc-js";
import { Client, credentials, Metadata, status } from "@grpc/grpc-js";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import type { Logger, NodeId } from "../base/index.js";
import { crc32c, formatNodeId, messageOf, QuorateError } from "../base/index.js";
import {
  CLIENT_CHANNEL_OPTIONS,
  FRAME_BYTES_MAX,
  snapshotFrameCodec,
  snapshotRequestCodec,
  stateEntryBytes,
  WireError,
} from "../wire/index.js";
import type { StateEntry } from "../wire/index.js";
import type { SnapshotChunk } from "./api.js";
import { asBytes, toBuffer } from "./bytes.js";

export type RawSnapshotCall = ServerWritableStream<Uint8Array, Uint8Array>;

/** A frame is at most this part of a second's budget, so that a slow throttle still sends evenly. */
const FRAMES_PER_SECOND_MIN = 4;
const FRAME_BYTES_MIN = 4 * 1024;

/** Cuts chunks into frames of at most `bytesMax`, or one entry. */
export function* framesOf(chunk: SnapshotChunk, bytesMax: number): Generator<readonly StateEntry[]> {
  let frame: StateEntry[] = [];
  let bytes = 0;
  for (const entry of chunk.entries) {
    const size = stateEntryBytes(entry);
    if (frame.length > 0 && bytes + size > bytesMax) {
      yield frame;
      frame = [];
      bytes = 0;
    }
    frame.push(entry);
    bytes += size;
  }
  if (frame.length > 0) yield frame;
}

/** Sends evenly: after n bytes at least n / rate seconds have passed since the start. */
export class Pacer {
  readonly #bytesPerMs: number;
  #dueMs: number;

  constructor(bytesPerSecond: number, nowMs: number) {
    this.#bytesPerMs = bytesPerSecond / 1000;
    this.#dueMs = nowMs;
  }

  /** How long to wait before these bytes are sent. Time in which nothing was ready to send is not made up for. */
  delayMs(bytes: number, nowMs: number): number {
    this.#dueMs = Math.max(this.#dueMs, nowMs) + bytes / this.#bytesPerMs;
    return Math.max(0, this.#dueMs - nowMs);
  }
}

export interface SnapshotServerOptions {
  readonly read: (snapshotId: string) => AsyncIterable<SnapshotChunk>;
  readonly bytesPerSecond: number;
  readonly log: Logger;
}

/** Serves one call of a node whose identity has been checked. Never rejects. */
export async function serveSnapshot(call: RawSnapshotCall, peer: NodeId, options: SnapshotServerOptions): Promise<void> {
  const abort = new AbortController();
  call.on("cancelled", () => abort.abort());
  call.on("error", () => undefined);
  let started = false;
  try {
    const { snapshotId } = snapshotRequestCodec.decode(call.request);
    options.log.info({ peer, snapshotId }, `sending a snapshot to ${formatNodeId(peer)}`);
    const sender = new SnapshotSender(call, options.bytesPerSecond, abort.signal);
    for await (const chunk of options.read(snapshotId)) {
      if (!started) call.sendMetadata(new Metadata());
      started = true;
      await sender.send(chunk);
    }
    await sender.end();
    call.end();
    options.log.info({ peer, snapshotId, entries: sender.entries }, `sent a snapshot to ${formatNodeId(peer)}`);
  } catch (error) {
    if (abort.signal.aborted) {
      options.log.info({ peer }, `${formatNodeId(peer)} gave up fetching a snapshot`);
      return;
    }
    const code = error instanceof WireError ? status.INVALID_ARGUMENT : started ? status.ABORTED : status.NOT_FOUND;
    options.log.warn({ peer }, `a snapshot for ${formatNodeId(peer)} failed: ${messageOf(error)}`);
    call.emit("error", { code, details: messageOf(error), metadata: new Metadata() });
  }
}

class SnapshotSender {
  entries = 0;
  readonly #call: RawSnapshotCall;
  readonly #signal: AbortSignal;
  readonly #pacer: Pacer;
  readonly #frameBytes: number;
  #crc = 0;

  constructor(call: RawSnapshotCall, bytesPerSecond: number, signal: AbortSignal) {
    this.#call = call;
    this.#signal = signal;
    this.#pacer = new Pacer(bytesPerSecond, performance.now());
    this.#frameBytes = Math.min(FRAME_BYTES_MAX, Math.max(FRAME_BYTES_MIN, Math.floor(bytesPerSecond / FRAMES_PER_SECOND_MIN)));
  }

  async send(chunk: SnapshotChunk): Promise<void> {
    for (const entries of framesOf(chunk, this.#frameBytes)) {
      this.entries += entries.length;
      const frame = snapshotFrameCodec.encode({ entries, end: undefined });
      this.#crc = crc32c(frame, 0, frame.length, this.#crc);
      await this.#write(frame);
    }
  }

  end(): Promise<void> {
    return this.#write(snapshotFrameCodec.encode({ entries: [], end: { entries: this.entries, crc32c: this.#crc } }));
  }

  async #write(frame: Uint8Array): Promise<void> {
    const delayMs = this.#pacer.delayMs(frame.length, performance.now());
    if (delayMs >= 1) await sleep(delayMs, undefined, { signal: this.#signal });
    this.#signal.throwIfAborted();
    if (!this.#call.write(frame)) await once(this.#call, "drain", { signal: this.#signal });
  }
}

/**
 * Fetches a snapshot. Throws a QuorateError when it is not there, breaks off, or does not add up. Ending the iteration early cancels; so
 * does `signal`, also while the iteration waits for a sender that hangs: its end would have to wait, too.
 */
export async function* fetchSnapshot(
  address: string,
  path: string,
  metadata: Metadata,
  peer: NodeId,
  snapshotId: string,
  signal: AbortSignal,
): AsyncGenerator<SnapshotChunk> {
  signal.throwIfAborted();
  const client = new Client(address, credentials.createInsecure(), CLIENT_CHANNEL_OPTIONS);
  const call = client.makeServerStreamRequest(path, toBuffer, asBytes, snapshotRequestCodec.encode({ snapshotId }), metadata);
  const failed = (why: string, cause?: unknown): QuorateError =>
    new QuorateError("QUORATE_UNREACHABLE", `snapshot ${snapshotId} from ${formatNodeId(peer)}: ${why}`, { retry: "safe", cause });
  let entries = 0;
  let crc = 0;
  let complete = false;
  const cancel = (): void => call.cancel();
  signal.addEventListener("abort", cancel, { once: true });
  try {
    for await (const bytes of call as AsyncIterable<Uint8Array>) {
      const frame = snapshotFrameCodec.decode(bytes);
      if (complete) throw failed("a frame came after the end");
      if (frame.end !== undefined) {
        if (frame.end.entries !== entries || frame.end.crc32c !== crc) {
          throw failed(`incomplete or damaged: ${entries} of ${frame.end.entries} entries arrived, checksum ${crc} of ${frame.end.crc32c}`);
        }
        complete = true;
      } else {
        entries += frame.entries.length;
        crc = crc32c(bytes, 0, bytes.length, crc);
        yield { entries: frame.entries };
      }
    }
    if (!complete) throw failed("broke off before its end");
  } catch (error) {
    throw error instanceof QuorateError ? error : failed(messageOf(error), error);
  } finally {
    signal.removeEventListener("abort", cancel);
    // After the loop a cancel is a no-op; before its end it stops the sender. The stream's own error event has been consumed by the loop.
    call.on("error", () => undefined);
    call.cancel();
    client.close();
  }
}
