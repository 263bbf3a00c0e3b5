/**
 * What a connection is about to send: requests of one turn are written next to each other and leave as one write.
 */
const CHUNK_BYTES = 64 * 1024;

export class OutBuffer {
  buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  /** Where the next request goes. */
  end = 0;
  #socket;
  #start = 0;
  #scheduled = false;
  #flush = () => {
    this.#scheduled = false;
    this.#send();
  };

  constructor(socket) {
    this.#socket = socket;
  }

  /** Makes `buffer` hold this many bytes from `end` on. */
  reserve(bytes) {
    if (this.end + bytes <= this.buffer.length) return;
    this.#send();
    // What was handed to the socket may still be read by it: a new chunk, not the old one again.
    this.buffer = Buffer.allocUnsafeSlow(Math.max(CHUNK_BYTES, bytes));
    this.#start = this.end = 0;
  }

  /** The request ends there; it is sent when the current callback is over. */
  wrote(end) {
    this.end = end;
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(this.#flush);
  }

  #send() {
    if (this.end === this.#start) return;
    if (!this.#socket.destroyed) this.#socket.write(this.buffer.subarray(this.#start, this.end));
    this.#start = this.end;
  }
}

/** Bytes as they come, cut into messages by `take(buffer, at, end)`: it returns where the next one begins, or -1 when more is needed. */
export class InBuffer {
  #rest;

  push(chunk, take) {
    const buffer = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (at < buffer.length) {
      const next = take(buffer, at, buffer.length);
      if (next < 0) break;
      at = next;
    }
    this.#rest = at === buffer.length ? undefined : buffer.subarray(at);
  }
}
