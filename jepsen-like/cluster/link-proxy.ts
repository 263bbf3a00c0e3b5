/**
 * One directed TCP link between two processes, with faults: everything `from` dials at `to` goes through here.
 *
 * It decides nothing about protocols: it forwards bytes, holds them back in either direction (silence, as a router that drops),
 * delays them, or cuts the connections (reset). Held bytes are forwarded when the fault is lifted, as TCP would retransmit them.
 */
import { createServer, connect, type Server, type Socket } from "node:net";

/** `forward` is from the dialing end to the dialed one. */
export type Direction = "forward" | "backward";

interface Pipe {
  readonly source: Socket;
  readonly target: Socket;
  readonly direction: Direction;
  /** Chunks waiting for a delay or for the end of a block, in order. */
  readonly waiting: { readonly bytes: Buffer; readonly dueMs: number }[];
  waitingBytes: number;
  timer: NodeJS.Timeout | undefined;
  ended: boolean;
}

/** Above this a held direction stops reading, so the sender's own window fills as it would in a real network. */
const HELD_BYTES_MAX = 4 * 1024 * 1024;

export class LinkProxy {
  readonly #server: Server;
  readonly #targetPort: number;
  readonly #pipes = new Set<Pipe>();
  readonly #sockets = new Set<Socket>();
  readonly #blocked: Record<Direction, boolean> = { forward: false, backward: false };
  #delayMs = 0;
  #refusing = false;
  /** Chunks really held back or delayed and connections really cut since the last `takeBitten`: a fault counts only when it bit. */
  #bitten = 0;

  private constructor(server: Server, targetPort: number) {
    this.#server = server;
    this.#targetPort = targetPort;
  }

  static async listen(targetPort: number): Promise<LinkProxy> {
    const server = createServer();
    const proxy = new LinkProxy(server, targetPort);
    server.on("connection", (socket) => proxy.#accept(socket));
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(0, "127.0.0.1", resolve);
    });
    return proxy;
  }

  get port(): number {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("the proxy is not listening");
    return address.port;
  }

  /** Holds back every byte of one direction until `heal`. */
  block(direction: Direction): void {
    this.#blocked[direction] = true;
  }

  /** Lets one direction through again; what was held back arrives now, in order. */
  unblock(direction: Direction): void {
    this.#blocked[direction] = false;
    for (const pipe of this.#pipes) if (pipe.direction === direction) this.#drain(pipe);
  }

  isBlocked(direction: Direction): boolean {
    return this.#blocked[direction];
  }

  /** Every byte waits this long, both ways. */
  delay(ms: number): void {
    this.#delayMs = ms;
  }

  /** Resets every connection now; `refuse` also resets new ones until `heal`. */
  cut(refuse: boolean): void {
    this.#refusing = refuse;
    for (const socket of this.#sockets) {
      this.#bitten += 1;
      socket.resetAndDestroy();
    }
  }

  heal(): void {
    this.#blocked.forward = false;
    this.#blocked.backward = false;
    this.#delayMs = 0;
    this.#refusing = false;
    for (const pipe of this.#pipes) this.#drain(pipe);
  }

  /** How often the fault was really felt since the last call. */
  takeBitten(): number {
    const bitten = this.#bitten;
    this.#bitten = 0;
    return bitten;
  }

  async close(): Promise<void> {
    for (const pipe of this.#pipes) clearTimeout(pipe.timer);
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #accept(near: Socket): void {
    if (this.#refusing) {
      this.#bitten += 1;
      near.resetAndDestroy();
      return;
    }
    const far = connect({ host: "127.0.0.1", port: this.#targetPort });
    for (const socket of [near, far]) {
      socket.setNoDelay(true);
      this.#sockets.add(socket);
    }
    this.#pipe(near, far, "forward");
    this.#pipe(far, near, "backward");
    // Either end's death is the link's death: reset both, as the kernel of a killed process does.
    const end = (): void => {
      near.destroy();
      far.destroy();
      this.#sockets.delete(near);
      this.#sockets.delete(far);
    };
    for (const socket of [near, far]) {
      socket.on("error", end);
      socket.on("close", end);
    }
  }

  #pipe(source: Socket, target: Socket, direction: Direction): void {
    const pipe: Pipe = { source, target, direction, waiting: [], waitingBytes: 0, timer: undefined, ended: false };
    this.#pipes.add(pipe);
    source.on("data", (bytes: Buffer) => {
      if (this.#blocked[direction] || this.#delayMs > 0) this.#bitten += 1;
      if (!this.#blocked[direction] && this.#delayMs === 0 && pipe.waiting.length === 0) {
        if (!target.write(bytes)) {
          source.pause();
          target.once("drain", () => source.resume());
        }
        return;
      }
      pipe.waiting.push({ bytes, dueMs: performance.now() + this.#delayMs });
      pipe.waitingBytes += bytes.length;
      if (pipe.waitingBytes > HELD_BYTES_MAX) source.pause();
      this.#drain(pipe);
    });
    source.on("end", () => {
      pipe.ended = true;
      this.#drain(pipe);
    });
    source.on("close", () => {
      clearTimeout(pipe.timer);
      this.#pipes.delete(pipe);
    });
  }

  #drain(pipe: Pipe): void {
    clearTimeout(pipe.timer);
    pipe.timer = undefined;
    if (this.#blocked[pipe.direction]) return;
    const now = performance.now();
    let next = pipe.waiting[0];
    while (next !== undefined && next.dueMs <= now) {
      pipe.waiting.shift();
      pipe.waitingBytes -= next.bytes.length;
      pipe.target.write(next.bytes);
      next = pipe.waiting[0];
    }
    if (pipe.waitingBytes <= HELD_BYTES_MAX) pipe.source.resume();
    if (next !== undefined) pipe.timer = setTimeout(() => this.#drain(pipe), Math.max(1, next.dueMs - now));
    else if (pipe.ended) pipe.target.end();
  }
}
