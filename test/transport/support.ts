/**
 * Real sockets on loopback, with everything observable: recorded inputs, recorded log lines, a TCP proxy that can go silent.
 */
import { createServer, connect } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import type { Logger, NodeId } from "../../src/base/index.js";
import { nodeId } from "../../src/base/index.js";
import { createPeerNet } from "../../src/transport/index.js";
import type { PeerNet, PeerNetOptions, SnapshotChunk } from "../../src/transport/index.js";
import type { ZabInput } from "../../src/zab/index.js";

/** Things that happen, and a way to wait for one that satisfies a condition, past or future. */
export class Recorder<T> {
  readonly all: T[] = [];
  #waiters: { readonly wanted: (item: T) => boolean; readonly resolve: (item: T) => void }[] = [];

  readonly add = (item: T): void => {
    this.all.push(item);
    for (const waiter of this.#waiters.filter(({ wanted }) => wanted(item))) waiter.resolve(item);
    this.#waiters = this.#waiters.filter(({ wanted }) => !wanted(item));
  };

  /** The first item that is wanted, from index `from` on. */
  find(wanted: (item: T) => boolean, from = 0): Promise<T> {
    const index = this.all.findIndex((item, at) => at >= from && wanted(item));
    if (index >= 0) return Promise.resolve(this.all[index] as T);
    return new Promise((resolve) => this.#waiters.push({ wanted, resolve }));
  }

  /** The next item that is wanted, not counting what has already happened. */
  next(wanted: (item: T) => boolean): Promise<T> {
    return this.find(wanted, this.all.length);
  }

  count(wanted: (item: T) => boolean): number {
    return this.all.filter(wanted).length;
  }
}

export interface LogLine {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly message: string;
  readonly fields: object;
}

export function recordingLogger(lines: Recorder<LogLine>): Logger {
  const at =
    (level: LogLine["level"]) =>
    (fields: object, message: string): void =>
      lines.add({ level, message, fields });
  const log: Logger = { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error"), child: () => log };
  return log;
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Sits between a dialer and a port. */
export class Proxy {
  readonly #server: Server;
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  #silent = false;

  private constructor(target: number) {
    this.#server = createServer((near) => {
      const far = connect(target, "127.0.0.1");
      const pair = [near, far] as const;
      this.#pairs.add(pair);
      for (const [from, to] of [pair, [far, near] as const]) {
        from.setNoDelay();
        from.on("error", () => undefined);
        from.on("data", (bytes) => {
          if (!this.#silent && !to.write(bytes)) from.pause();
        });
        to.on("drain", () => {
          if (!this.#silent) from.resume();
        });
        from.on("close", () => {
          if (near.closed && far.closed) this.#pairs.delete(pair);
          if (!this.#silent) to.destroy();
        });
      }
      if (this.#silent) for (const socket of pair) socket.pause();
    });
  }

  static async to(target: number): Promise<Proxy> {
    const proxy = new Proxy(target);
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get connections(): number {
    return this.#pairs.size;
  }

  /** From now on nothing passes and nothing is read, as if a cable were cut. */
  goSilent(): void {
    this.#silent = true;
    for (const [near, far] of this.#pairs) {
      near.pause();
      far.pause();
    }
  }

  /** Every connection ends with RST, as when a process dies with data unread. */
  reset(): void {
    for (const [near, far] of this.#pairs) {
      near.resetAndDestroy();
      far.resetAndDestroy();
    }
  }

  async close(): Promise<void> {
    this.#silent = false;
    this.reset();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

export interface TestPeer {
  readonly id: NodeId;
  readonly net: PeerNet;
  readonly inputs: Recorder<ZabInput>;
  readonly log: Recorder<LogLine>;
}

export const n1 = nodeId(1);
export const n2 = nodeId(2);
export const n3 = nodeId(3);

async function* noSnapshot(snapshotId: string): AsyncGenerator<SnapshotChunk> {
  throw new Error(`no snapshot ${snapshotId}`);
}

export async function startPeer(
  id: NodeId,
  port: number,
  peers: Readonly<Record<number, number | string>>,
  overrides: Partial<PeerNetOptions> = {},
): Promise<TestPeer> {
  const inputs = new Recorder<ZabInput>();
  const log = new Recorder<LogLine>();
  const net = await createPeerNet({
    self: id,
    clusterId: "test",
    listenAddress: `127.0.0.1:${port}`,
    peers: Object.entries(peers).map(([peer, at]) => ({
      id: nodeId(Number(peer)),
      address: typeof at === "number" ? `127.0.0.1:${at}` : at,
    })),
    onInput: inputs.add,
    readSnapshot: noSnapshot,
    snapshotBytesPerSecond: 1e9,
    log: recordingLogger(log),
    ...overrides,
  });
  return { id, net, inputs, log };
}

export const isLink =
  (peer: NodeId, up: boolean) =>
  (input: ZabInput): boolean =>
    input.kind === "link" && input.peer === peer && input.up === up;

export type SessionUp = Extract<ZabInput, { kind: "session-up" }>;
export const isSessionUp = (input: ZabInput): input is SessionUp => input.kind === "session-up";
export const isSessionDown = (input: ZabInput): boolean => input.kind === "session-down";

/** Two nodes that see each other. */
export async function startPair(
  options: { readonly overrides1?: Partial<PeerNetOptions>; readonly overrides2?: Partial<PeerNetOptions> } = {},
): Promise<readonly [TestPeer, TestPeer]> {
  const [port1, port2] = [await freePort(), await freePort()];
  const a = await startPeer(n1, port1, { 2: port2 }, options.overrides1);
  const b = await startPeer(n2, port2, { 1: port1 }, options.overrides2);
  await Promise.all([a.inputs.find(isLink(n2, true)), b.inputs.find(isLink(n1, true))]);
  return [a, b];
}
