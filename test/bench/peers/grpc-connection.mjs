/**
 * Unary gRPC calls of one method over one HTTP/2 connection: two frames a call, all calls of a turn in one write.
 *
 * A general client spends more CPU on a call than etcd does; beside servers on the same cores that would be measured with them.
 */
import { connect } from "node:net";
import {
  FIRST_WINDOW,
  FLAG,
  FRAME,
  HEADER_BYTES,
  PREFACE,
  SETTING,
  frame,
  grpcHeaders,
  readFrameHeader,
  settings,
  windowUpdate,
  writeFrameHeader,
} from "./http2-codec.mjs";
import { InBuffer, OutBuffer } from "./out-buffer.mjs";

const GRPC_PREFIX = 5;
/** What every server takes; a longer message would have to be cut, which a benchmark of small values needs not. */
const FRAME_BYTES_MAX = 16_384;
/** What we may be sent: more than any run needs in one turn. */
const RECEIVE_WINDOW = 1 << 28;
const GIVE_BACK = 1 << 20;

export class GrpcConnection {
  #socket;
  #out;
  #in = new InBuffer();
  #headers;
  #handlers;
  #nextStream = 1;
  /** Calls without an answer, by stream. */
  #calls = new Map();
  /** Calls that wait for the server's window. */
  #held = [];
  #window = FIRST_WINDOW;
  #streamWindow = FIRST_WINDOW;
  #streamsMax = Infinity;
  #received = 0;
  #up = false;

  /** `onUp()` once the server has greeted; `onDown(reason)` once, whenever it ends. Calls without an answer then get none. */
  constructor({ host, port }, path, handlers) {
    this.#headers = grpcHeaders(`${host}:${port}`, path);
    this.#handlers = handlers;
    this.#socket = connect({ host, port, noDelay: true });
    this.#out = new OutBuffer(this.#socket);
    this.#socket.once("connect", () => {
      this.#socket.write(
        Buffer.concat([
          PREFACE,
          settings([
            [SETTING.enablePush, 0],
            [SETTING.initialWindowSize, RECEIVE_WINDOW],
          ]),
          windowUpdate(RECEIVE_WINDOW - FIRST_WINDOW),
        ]),
      );
    });
    this.#socket.on("data", (chunk) => this.#in.push(chunk, (buffer, at, end) => this.#take(buffer, at, end)));
    let reason = "the connection was closed by the server";
    this.#socket.once("error", (error) => (reason = error.message));
    this.#socket.once("close", () => this.#handlers.onDown(reason));
  }

  get outstanding() {
    return this.#calls.size + this.#held.length;
  }

  /** `message` may be used again at once. `done(error, buffer, at, end)`: where the answer's message stands. */
  call(message, done) {
    const length = GRPC_PREFIX + message.length;
    if (length > FRAME_BYTES_MAX) throw new Error(`a message of ${message.length} bytes does not fit into one frame`);
    if (this.#held.length > 0 || length > this.#window || this.#calls.size >= this.#streamsMax)
      this.#held.push({ message: Buffer.from(message), done });
    else this.#send(message, done, length);
  }

  close() {
    this.#socket.end();
  }

  destroy() {
    this.#socket.destroy();
  }

  #send(message, done, length) {
    if (length > this.#streamWindow)
      throw new Error(`a message of ${length} bytes does not fit into the server's window of ${this.#streamWindow}`);
    const stream = this.#nextStream;
    this.#nextStream += 2;
    this.#window -= length;
    this.#calls.set(stream, { done, message: undefined });
    this.#out.reserve(2 * HEADER_BYTES + this.#headers.length + length);
    const buffer = this.#out.buffer;
    let at = writeFrameHeader(buffer, this.#out.end, this.#headers.length, FRAME.headers, FLAG.endHeaders, stream);
    buffer.set(this.#headers, at);
    at = writeFrameHeader(buffer, at + this.#headers.length, length, FRAME.data, FLAG.endStream, stream);
    buffer[at] = 0; // not compressed
    at = buffer.writeUInt32BE(message.length, at + 1);
    buffer.set(message, at);
    this.#out.wrote(at + message.length);
  }

  #release() {
    while (this.#held.length > 0) {
      const { message, done } = this.#held[0];
      const length = GRPC_PREFIX + message.length;
      if (length > this.#window || this.#calls.size >= this.#streamsMax) return;
      this.#held.shift();
      this.#send(message, done, length);
    }
  }

  #take(buffer, at, end) {
    if (end - at < HEADER_BYTES) return -1;
    const header = readFrameHeader(buffer, at);
    const payload = at + HEADER_BYTES;
    if (end - payload < header.length) return -1;
    this.#frame(header, buffer, payload, payload + header.length);
    return payload + header.length;
  }

  #frame({ type, flags, stream, length }, buffer, at, end) {
    if (type === FRAME.data) this.#data(stream, flags, length, buffer, at, end);
    else if (type === FRAME.headers) {
      if ((flags & FLAG.endStream) !== 0) this.#ended(stream, "refused");
    } else if (type === FRAME.rstStream) this.#failed(stream, `stream reset, code ${buffer.readUInt32BE(at)}`);
    else if (type === FRAME.settings && (flags & FLAG.ack) === 0) this.#settings(buffer, at, end);
    else if (type === FRAME.ping && (flags & FLAG.ack) === 0) this.#put(frame(FRAME.ping, FLAG.ack, 0, buffer.subarray(at, end)));
    else if (type === FRAME.goaway) {
      const why = buffer.toString("latin1", at + 8, end);
      this.#socket.destroy(new Error(`the server said goodbye, code ${buffer.readUInt32BE(at + 4)} ${why}`));
    } else if (type === FRAME.windowUpdate && stream === 0) {
      this.#window += buffer.readUInt32BE(at) & 0x7fffffff;
      this.#release();
    }
  }

  #data(stream, flags, length, buffer, at, end) {
    this.#received += length;
    if (this.#received >= GIVE_BACK) {
      this.#put(windowUpdate(this.#received));
      this.#received = 0;
    }
    const padded = (flags & FLAG.padded) !== 0;
    const call = this.#calls.get(stream);
    if (call === undefined) return;
    const part = buffer.subarray(padded ? at + 1 : at, padded ? end - buffer[at] : end);
    call.message = call.message === undefined ? part : Buffer.concat([call.message, part]);
    if ((flags & FLAG.endStream) !== 0) this.#ended(stream, "no trailers");
  }

  #ended(stream, without) {
    const call = this.#calls.get(stream);
    if (call === undefined) return;
    this.#calls.delete(stream);
    const { message } = call;
    if (message === undefined) call.done(without);
    else if (message[0] !== 0 || message.readUInt32BE(1) !== message.length - GRPC_PREFIX) call.done("not one plain message");
    else call.done(undefined, message, GRPC_PREFIX, message.length);
    if (this.#held.length > 0) this.#release();
  }

  #failed(stream, why) {
    const call = this.#calls.get(stream);
    this.#calls.delete(stream);
    call?.done(why);
  }

  #settings(buffer, at, end) {
    for (let p = at; p + 6 <= end; p += 6) {
      const value = buffer.readUInt32BE(p + 2);
      const name = buffer.readUInt16BE(p);
      if (name === SETTING.initialWindowSize) this.#streamWindow = value;
      if (name === SETTING.maxConcurrentStreams) this.#streamsMax = value;
    }
    this.#put(frame(FRAME.settings, FLAG.ack, 0, Buffer.alloc(0)));
    if (this.#up) return;
    this.#up = true;
    this.#handlers.onUp();
  }

  #put(bytes) {
    this.#out.reserve(bytes.length);
    this.#out.buffer.set(bytes, this.#out.end);
    this.#out.wrote(this.#out.end + bytes.length);
  }
}
