/**
 * One directed TCP link between two processes, with faults: everything `from` dials at `to` goes through here.
 *
 * It decides nothing about protocols: it forwards bytes, holds them back in either direction (silence, as a router that drops),
 * delays them, or cuts the connections (reset). Held bytes are forwarded when the fault is lifted, as TCP would retransmit them; pieces
 * that a lossy link loses wait for as long as TCP takes to send them again, and everything after them waits too.
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
/** Linux waits this long before it sends again, and twice as long each further time. */
const RETRANSMIT_MS_MIN = 200;
const RETRANSMITS_MAX = 5;

export interface ProxyCounts {
  /** Pieces held back, delayed or lost once, and connections cut. */
  readonly held: number;
  /** Pieces that got through a lossy direction at once. */
  readonly passed: number;
}

export class LinkProxy {
  readonly #server: Server;
  readonly #targetPort: number;
  readonly #pipes = new Set<Pipe>();
  readonly #sockets = new Set<Socket>();
  readonly #lossPercent: Record<Direction, number> = { forward: 0, backward: 0 };
  #delayMs = 0;
  /** Since the last `takeCounts`: a fault counts only when it was felt. */
  #held = 0;
  #passed = 0;

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

  /** How many of 100 pieces one direction loses from now on; 100 holds back every byte. What was held back goes on, in order, below 100. */
  lose(direction: Direction, percent: number): void {
    this.#lossPercent[direction] = percent;
    for (const pipe of this.#pipes) if (pipe.direction === direction) this.#drain(pipe);
  }

  /** Every byte waits this long, both ways. */
  delay(ms: number): void {
    this.#delayMs = ms;
  }

  /** Resets every connection now. Returns how many ends there were. */
  cut(): number {
    const ends = this.#sockets.size;
    this.#held += ends;
    for (const socket of this.#sockets) socket.resetAndDestroy();
    return ends;
  }

  heal(): void {
    this.#lossPercent.forward = 0;
    this.#lossPercent.backward = 0;
    this.#delayMs = 0;
    for (const pipe of this.#pipes) this.#drain(pipe);
  }

  takeCounts(): ProxyCounts {
    const counts = { held: this.#held, passed: this.#passed };
    this.#held = 0;
    this.#passed = 0;
    return counts;
  }

  async close(): Promise<void> {
    for (const pipe of this.#pipes) clearTimeout(pipe.timer);
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #accept(near: Socket): void {
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
      const lossPercent = this.#lossPercent[direction];
      const waitMs = this.#delayMs + retransmissionMs(lossPercent);
      if (lossPercent >= 100 || waitMs > 0) this.#held += 1;
      else if (lossPercent > 0) this.#passed += 1;
      if (lossPercent < 100 && waitMs === 0 && pipe.waiting.length === 0) {
        if (!target.write(bytes)) {
          source.pause();
          target.once("drain", () => source.resume());
        }
        return;
      }
      pipe.waiting.push({ bytes, dueMs: performance.now() + waitMs });
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
    if (this.#lossPercent[pipe.direction] >= 100) return;
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

/** How long a piece waits that is lost by chance, once or again and again; most often it is not. */
function retransmissionMs(lossPercent: number): number {
  let waitMs = 0;
  if (lossPercent >= 100) return waitMs;
  for (let times = 0; times < RETRANSMITS_MAX && Math.random() * 100 < lossPercent; times++) waitMs += RETRANSMIT_MS_MIN * 2 ** times;
  return waitMs;
}
