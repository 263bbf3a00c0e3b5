/**
 * Control links: up and down, batching, who is admitted.
 */
import { Client, credentials, status } from "@grpc/grpc-js";
import type { Metadata } from "@grpc/grpc-js";
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, test } from "vitest";
import { QuorateError } from "../../src/base/index.js";
import { asBytes, toBuffer } from "../../src/transport/bytes.js";
import { createPeerNet } from "../../src/transport/index.js";
import { identityMetadata } from "../../src/transport/peer-identity.js";
import type { ControlMessage, ZabInput } from "../../src/zab/index.js";
import { freePort, isLink, n1, n2, n3, Proxy, startPair, startPeer } from "./support.js";
import type { TestPeer } from "./support.js";

const open: { readonly net: { shutdown(): Promise<void> } }[] = [];
const proxies: Proxy[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map(({ net }) => net.shutdown()));
  await Promise.all(proxies.splice(0).map((proxy) => proxy.close()));
});

function keep<T extends { readonly net: { shutdown(): Promise<void> } }>(...peers: T[]): void {
  open.push(...peers);
}

async function proxied(port: number): Promise<Proxy> {
  const proxy = await Proxy.to(port);
  proxies.push(proxy);
  return proxy;
}

const ping = (seq: number): ControlMessage => ({ kind: "PING", epoch: 1, seq, commit: { epoch: 1, counter: seq } });
const controls = (peer: TestPeer): Extract<ZabInput, { kind: "control" }>[] =>
  peer.inputs.all.filter((input) => input.kind === "control") as Extract<ZabInput, { kind: "control" }>[];
const isPing =
  (seq: number) =>
  (input: ZabInput): boolean =>
    input.kind === "control" && input.message.kind === "PING" && input.message.seq === seq;

describe("control messages", () => {
  test("messages of one turn travel in one frame, in order, and say who sent them", async () => {
    const [a, b] = await startPair();
    keep(a, b);
    for (let seq = 1; seq <= 20; seq++) a.net.control(n2, ping(seq));
    await b.inputs.find(isPing(20));
    expect(controls(b).map(({ from, message }) => [from, message])).toEqual(Array.from({ length: 20 }, (_, index) => [1, ping(index + 1)]));
    expect(a.net.stats()).toMatchObject({ framesSent: 1, itemsSent: 20 });
    expect(b.net.stats()).toMatchObject({ framesReceived: 1, itemsReceived: 20 });
  });

  test("flush sends at once what the turn collected so far", async () => {
    const [a, b] = await startPair();
    keep(a, b);
    a.net.control(n2, ping(1));
    a.net.flush();
    expect(a.net.stats().framesSent).toBe(1);
    await b.inputs.find(isPing(1));
  });

  test("messages to a node whose link is down are dropped and counted", async () => {
    const a = await startPeer(n1, await freePort(), { 2: await freePort() });
    keep(a);
    await a.inputs.find(isLink(n2, false));
    a.net.control(n2, ping(1));
    expect(a.net.stats().dropped).toBe(1);
  });

  test("when a link does not drain the oldest messages are dropped, the newest arrive", async () => {
    const [a, b] = await startPair();
    keep(a, b);
    for (let seq = 1; seq <= 1_000; seq++) a.net.control(n2, ping(seq));
    await b.inputs.find(isPing(1_000));
    expect(controls(b)).toHaveLength(256);
    expect(a.net.stats().dropped).toBe(1_000 - 256);
  });
});

describe("link state", () => {
  test("a node that is not there is told down, once, and up when it comes", async () => {
    const [port1, port2] = [await freePort(), await freePort()];
    const a = await startPeer(n1, port1, { 2: port2 });
    keep(a);
    await a.inputs.find(isLink(n2, false));
    const b = await startPeer(n2, port2, { 1: port1 });
    keep(b);
    await a.inputs.find(isLink(n2, true));
    expect(a.inputs.all.filter(({ kind }) => kind === "link")).toHaveLength(2);
  });

  test("a peer that goes away is told down within milliseconds, and its return is noticed", async () => {
    const [port1, port2] = [await freePort(), await freePort()];
    const a = await startPeer(n1, port1, { 2: port2 });
    const b = await startPeer(n2, port2, { 1: port1 });
    keep(a);
    await Promise.all([a.inputs.find(isLink(n2, true)), b.inputs.find(isLink(n1, true))]);
    const down = a.inputs.next(isLink(n2, false));
    const at = performance.now();
    await b.net.shutdown();
    await down;
    expect(performance.now() - at).toBeLessThan(100);
    const up = a.inputs.next(isLink(n2, true));
    keep(await startPeer(n2, port2, { 1: port1 }));
    await up;
  });

  test("a reset connection is told down within milliseconds and is dialed again", async () => {
    const [port1, port2] = [await freePort(), await freePort()];
    const proxy = await proxied(port2);
    const a = await startPeer(n1, port1, { 2: proxy.address });
    const b = await startPeer(n2, port2, { 1: port1 });
    keep(a, b);
    await a.inputs.find(isLink(n2, true));
    const down = a.inputs.next(isLink(n2, false));
    const at = performance.now();
    proxy.reset();
    await down;
    expect(performance.now() - at).toBeLessThan(100);
    await a.inputs.next(isLink(n2, true));
  });

  test("a process that dies of SIGKILL is told down within milliseconds, on its link and its sessions", async () => {
    const child = fork(fileURLToPath(new URL("./silent-peer.mjs", import.meta.url)), { stdio: "inherit" });
    const port = await new Promise<number>((resolve) => child.once("message", (message) => resolve(Number(message))));
    const a = await startPeer(n1, await freePort(), { 2: port });
    keep(a);
    await a.inputs.find(isLink(n2, true));
    a.net.dial(1, n2);
    await a.inputs.find(({ kind }) => kind === "session-up");
    const at = performance.now();
    child.kill("SIGKILL");
    await Promise.all([a.inputs.next(isLink(n2, false)), a.inputs.next(({ kind }) => kind === "session-down")]);
    expect(performance.now() - at).toBeLessThan(200);
  });

  test("a node that accepts connections but never answers is told down, not waited for", async () => {
    const [port1, port2] = [await freePort(), await freePort()];
    const proxy = await proxied(port2);
    proxy.goSilent();
    const a = await startPeer(n1, port1, { 2: proxy.address });
    keep(a);
    await a.inputs.find(isLink(n2, false));
    expect(a.log.all.some(({ message }) => message.includes("no answer from"))).toBe(true);
  });

  test("control, follow and snapshot have a TCP connection each", async () => {
    const [port1, port2] = [await freePort(), await freePort()];
    const proxy = await proxied(port2);
    const a = await startPeer(n1, port1, { 2: proxy.address });
    const b = await startPeer(
      n2,
      port2,
      { 1: port1 },
      {
        async *readSnapshot() {
          yield { entries: [{ key: "meta", value: new Uint8Array(1) }] };
          await new Promise(() => undefined);
        },
      },
    );
    keep(a, b);
    await a.inputs.find(isLink(n2, true));
    a.net.dial(1, n2);
    await a.inputs.find(({ kind }) => kind === "session-up");
    const snapshot = a.net.fetchSnapshot(n2, "s", new AbortController().signal)[Symbol.asyncIterator]();
    await snapshot.next();
    expect(proxy.connections).toBe(3);
    await snapshot.return?.();
  });
});

describe("admission", () => {
  test("a node of another cluster is refused with words, at both ends", async () => {
    const [port1, port2] = [await freePort(), await freePort()];
    const a = await startPeer(n1, port1, { 2: port2 });
    const b = await startPeer(n2, port2, { 1: port1 }, { clusterId: "other" });
    keep(a, b);
    await Promise.all([a.inputs.find(isLink(n2, false)), b.inputs.find(isLink(n1, false))]);
    const refused = await a.log.find(({ message }) => message.startsWith("a peer is refused"));
    expect(refused).toMatchObject({ level: "warn", message: "a peer is refused: this node is of cluster test, the caller of other" });
    await b.log.find(({ message }) => message.includes("this node is of cluster test, the caller of other"));
    expect(a.inputs.all.some(isLink(n2, true))).toBe(false);
  });

  test("a node that is no member is refused", async () => {
    const [port1, port3] = [await freePort(), await freePort()];
    const a = await startPeer(n1, port1, {});
    const c = await startPeer(n3, port3, { 1: port1 });
    keep(a, c);
    const line = await c.log.find(({ message }) => message.includes("not a member"));
    expect(line.message).toContain("n3 is not a member of this cluster, as far as n1 knows");
  });

  test("a node with this node's own id is refused", async () => {
    const port1 = await freePort();
    const a = await startPeer(n1, port1, { 2: await freePort() });
    keep(a);
    const end = await callWith(port1, identityMetadata("test", { node: n1, incarnation: "0".repeat(32) }));
    expect(end).toMatchObject({ code: status.ALREADY_EXISTS, details: expect.stringContaining("two nodes are configured with one id") });
  });

  test("a second live process with the id of a connected one is refused; the first keeps its links", async () => {
    const [a, b] = await startPair();
    keep(a, b);
    const port1 = a.net.port;
    const twin = await startPeer(n2, await freePort(), { 1: port1 });
    keep(twin);
    const line = await a.log.find(({ level }) => level === "error");
    expect(line.message).toContain("node id n2 is in use by another live process");
    await twin.log.find(({ message }) => message.includes("node id n2 is in use by another live process"));
    expect(twin.inputs.all.some(isLink(n1, true))).toBe(false);
    b.net.control(n1, ping(7));
    expect(await a.inputs.find(isPing(7))).toMatchObject({ from: 2 });
  });

  test("a restarted process takes over from a connection whose end got lost", async () => {
    const [port1, port2] = [await freePort(), await freePort()];
    const a = await startPeer(n1, port1, { 2: port2 });
    const proxy = await proxied(port1);
    const lost = await startPeer(n2, await freePort(), { 1: proxy.address });
    keep(a, lost);
    await lost.inputs.find(isLink(n1, true));
    // The host of n2 vanishes: no FIN, no RST, and nobody answers on its old connection.
    proxy.goSilent();
    const restarted = await startPeer(n2, port2, { 1: port1 });
    keep(restarted);
    await restarted.inputs.find(isLink(n1, true));
    restarted.net.control(n1, ping(8));
    expect(await a.inputs.find(isPing(8))).toMatchObject({ from: 2 });
  });

  test("metadata that is not a node's is refused as malformed", async () => {
    const a = await startPeer(n1, await freePort(), { 2: await freePort() });
    keep(a);
    const metadata = identityMetadata("test", { node: n2, incarnation: "not hex" });
    expect(await callWith(a.net.port, metadata)).toMatchObject({ code: status.INVALID_ARGUMENT });
  });

  test("a malformed control frame ends the stream with INVALID_ARGUMENT and a log line", async () => {
    const a = await startPeer(n1, await freePort(), { 2: await freePort() });
    keep(a);
    const metadata = identityMetadata("test", { node: n2, incarnation: "a".repeat(32) });
    const end = await callWith(a.net.port, metadata, new Uint8Array([0x0a, 0xff]));
    expect(end).toMatchObject({ code: status.INVALID_ARGUMENT, details: expect.stringContaining("ControlFrame") });
    await a.log.find(({ message }) => message.startsWith("malformed control frame"));
  });
});

test("a taken port is a QuorateError that names the address", async () => {
  const port = await freePort();
  keep(await startPeer(n1, port, {}));
  const second = createPeerNet({
    self: n2,
    clusterId: "test",
    listenAddress: `127.0.0.1:${port}`,
    peers: [],
    onInput: () => undefined,
    readSnapshot: () => {
      throw new Error("unused");
    },
    snapshotBytesPerSecond: 1,
    log: { debug: noop, info: noop, warn: noop, error: noop, child: () => expect.unreachable() },
  });
  await expect(second).rejects.toThrow(QuorateError);
  await expect(second).rejects.toThrow(`cannot listen on 127.0.0.1:${port} for other nodes: the address is in use (EADDRINUSE)`);
});

function noop(): void {
  // Not every line matters.
}

/** Opens a raw Control stream, sends `frame` if given, and resolves with the status it ends with. */
function callWith(port: number, metadata: Metadata, frame?: Uint8Array): Promise<{ readonly code: status; readonly details: string }> {
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  const call = client.makeBidiStreamRequest("/quorate.v1.Peer/Control", toBuffer, asBytes, metadata);
  call.on("error", noop);
  call.resume();
  if (frame !== undefined) call.write(frame);
  return new Promise((resolve) =>
    call.on("status", ({ code, details }) => {
      client.close();
      resolve({ code, details });
    }),
  );
}
