/**
 * One ZooKeeper session over one socket. Requests are pipelined; the server answers a session's requests in order.
 */
import { connect } from "node:net";
import { InBuffer, OutBuffer } from "./out-buffer.mjs";
import {
  FRAME_OVERHEAD,
  XID_EVENT,
  XID_PING,
  readConnected,
  readReply,
  writeCloseSession,
  writeConnect,
  writeCreate,
  writePing,
  writeSetData,
} from "./zookeeper-codec.mjs";

const SESSION_TIMEOUT_MS = 30_000;
const FRAME_BYTES_MAX = 4 << 20;

export class ZooKeeperConnection {
  #socket;
  #out;
  #in = new InBuffer();
  #connected = false;
  #xid = 0;
  #answered = 0;
  /** The `done` of requests without an answer, oldest first, from #head on. */
  #waiting = [];
  #head = 0;
  #pings;
  #handlers;

  /** `onUp()` once the session stands; `onDown(reason)` once, whenever it ends. Requests without an answer then get none. */
  constructor({ host, port }, handlers) {
    this.#handlers = handlers;
    this.#socket = connect({ host, port, noDelay: true });
    this.#out = new OutBuffer(this.#socket);
    this.#socket.once("connect", () => this.#write(0, (buffer, at) => writeConnect(buffer, at, SESSION_TIMEOUT_MS)));
    this.#socket.on("data", (chunk) => this.#in.push(chunk, (buffer, at, end) => this.#take(buffer, at, end)));
    let reason = "the connection was closed by the server";
    this.#socket.once("error", (error) => (reason = error.message));
    this.#socket.once("close", () => {
      clearInterval(this.#pings);
      this.#handlers.onDown(reason);
    });
  }

  get outstanding() {
    return this.#waiting.length - this.#head;
  }

  /** `done(error)`: undefined, or the server's error code as text. */
  create(path, value, done) {
    this.#request(path, value, done, writeCreate);
  }

  setData(path, value, done) {
    this.#request(path, value, done, writeSetData);
  }

  /** Ends the session, so that the server need not wait for its timeout. */
  close() {
    if (this.#connected) this.#write(0, (buffer, at) => writeCloseSession(buffer, at, ++this.#xid));
    this.#connected = false;
    clearInterval(this.#pings);
    this.#socket.end();
  }

  destroy() {
    this.#socket.destroy();
  }

  #request(path, value, done, writer) {
    this.#waiting.push(done);
    this.#xid = (this.#xid + 1) & 0x7fffffff;
    this.#write(path.length + value.length, (buffer, at) => writer(buffer, at, this.#xid, path, value));
  }

  #write(bytes, writer) {
    this.#out.reserve(FRAME_OVERHEAD + bytes);
    this.#out.wrote(writer(this.#out.buffer, this.#out.end));
  }

  #take(buffer, at, end) {
    if (end - at < 4) return -1;
    const length = buffer.readInt32BE(at);
    if (length < 0 || length > FRAME_BYTES_MAX) {
      this.#socket.destroy(new Error(`a frame of ${length} bytes: not ZooKeeper's protocol`));
      return -1;
    }
    if (end - at - 4 < length) return -1;
    if (this.#connected) this.#reply(buffer, at + 4);
    else this.#welcome(buffer, at + 4);
    return at + 4 + length;
  }

  #welcome(buffer, at) {
    const { timeoutMs } = readConnected(buffer, at);
    if (timeoutMs <= 0) {
      this.#socket.destroy(new Error("the session was refused"));
      return;
    }
    this.#connected = true;
    this.#pings = setInterval(() => this.#write(0, writePing), timeoutMs / 3);
    this.#handlers.onUp();
  }

  #reply(buffer, at) {
    const { xid, error } = readReply(buffer, at);
    if (xid === XID_PING || xid === XID_EVENT || this.#head === this.#waiting.length) return;
    this.#answered = (this.#answered + 1) & 0x7fffffff;
    if (xid !== this.#answered) {
      this.#socket.destroy(new Error(`request ${this.#answered} was passed over: the answer is for ${xid}`));
      return;
    }
    const done = this.#waiting[this.#head++];
    if (this.#head > 4096 && this.#head * 2 > this.#waiting.length) {
      this.#waiting.splice(0, this.#head);
      this.#head = 0;
    }
    done(error === 0 ? undefined : `error ${error}`);
  }
}
