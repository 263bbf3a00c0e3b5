/**
 * What the streams carry, on loopback: requests of 256 bytes over one Session stream at a fixed number outstanding, and proposals over one
 * Follow session. Client and server are two processes, as in life. `npm run build` first.
 *
 * Prints one JSON line per case: items per second, latency, and CPU of both processes per item. QUORATE_DIST names another build folder.
 */
import { Client, credentials, Metadata } from "@grpc/grpc-js";
import { fork } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const SECONDS = Number(process.env.BENCH_SECONDS ?? 3);
const WARM_UP_SECONDS = 1;
const dist = process.env.QUORATE_DIST ?? "dist";
const load = (room) => import(pathToFileURL(resolve(dist, `src/${room}/index.js`)).href);
const { codecs, CLIENT_CHANNEL_OPTIONS } = await load("wire");
const { createClientServer, createPeerNet } = await load("transport");

const silent = { debug() {}, info() {}, warn() {}, error: console.error, child: () => silent };
const client = "0192f0c1a2b37c4d8e9f0a1b2c3d4e5f";
const value = new Uint8Array(256).fill(7);
const cpuUs = () => {
  const { user, system } = process.cpuUsage();
  return user + system;
};

// ---- the other process

async function serve() {
  let server;
  const version = { epoch: 1, counter: 1 };

  server = await createClientServer({
    listenAddress: "127.0.0.1:0",
    unaryDeadlineMs: 10_000,
    transactionTimeoutMs: 10_000,
    log: silent,
    handlers: {
      onClientUp() {},
      onClientDown() {},
      onRequests(session, requests) {
        for (const { request } of requests) server.answer(session, request, { kind: "put", version });
      },
      onInstanceUp() {},
      onInstanceDown() {},
      onReplies() {},
      onInquiries() {},
      onUnary: () => Promise.resolve({ kind: "put", version }),
      onStatus: () => Promise.reject(new Error("none")),
      onMoveLeader: () => Promise.reject(new Error("none")),
    },
  });
  const follower = { net: undefined };
  process.on("message", async ({ peerPort, stats }) => {
    if (stats) process.send({ cpuUs: cpuUs(), ...server.stats() });
    if (peerPort !== undefined) {
      follower.net = await createPeerNet({
        self: 2,
        clusterId: "bench",
        listenAddress: "127.0.0.1:0",
        peers: [{ id: 1, address: `127.0.0.1:${peerPort}` }],
        onInput(input) {
          if (input.kind === "link" && input.up) follower.net.dial(1, 1);
          if (input.kind === "session" && input.message.kind === "PROPOSE") {
            const last = input.message.entries[input.message.entries.length - 1];
            follower.net.session(1, { kind: "ACK", epoch: 1, durable: last.zxid });
          }
        },
        readSnapshot: () => [],
        snapshotBytesPerSecond: 1e9,
        log: silent,
      });
    }
  });
  process.send({ port: server.port });
}

// ---- the measuring process

const child = process.argv[2] === "serve" ? undefined : fork(fileURLToPath(import.meta.url), ["serve"]);

async function ask() {
  child.send({ stats: true });
  const [message] = await once(child, "message");
  return message;
}

function quantile(sorted, q) {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))];
}

/** Runs `load` for a while and prints what came of it. `load.count` and `load.latencies` are its own. */
async function measure(name, load) {
  await new Promise((done) => setTimeout(done, WARM_UP_SECONDS * 1000));
  const before = { count: load.count, cpu: cpuUs(), server: await ask(), at: performance.now() };
  load.latencies.length = 0;
  await new Promise((done) => setTimeout(done, SECONDS * 1000));
  const seconds = (performance.now() - before.at) / 1000;
  const server = await ask();
  const items = load.count - before.count;
  const sorted = load.latencies.slice().sort((a, b) => a - b);
  console.log(
    JSON.stringify({
      case: name,
      perSecond: Math.round(items / seconds),
      p50Ms: Number(quantile(sorted, 0.5)?.toFixed(2)),
      p99Ms: Number(quantile(sorted, 0.99)?.toFixed(2)),
      itemsPerFrame: load.frames === undefined ? 1 : Number((items / load.frames()).toFixed(1)),
      cpuUsHere: Number(((cpuUs() - before.cpu) / items).toFixed(2)),
      cpuUsThere: Number(((server.cpuUs - before.server.cpuUs) / items).toFixed(2)),
    }),
  );
}

async function sessionCase(port, outstanding) {
  const grpc = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), CLIENT_CHANNEL_OPTIONS);
  const call = grpc.makeBidiStreamRequest("/quorate.v1.Session/Open", toBuffer, (bytes) => bytes, new Metadata());
  call.on("error", () => undefined);
  call.write(codecs.clientFrame.encode({ hello: { client, version: "bench" }, requests: [] }));
  const sentAt = new Float64Array(1 << 20);
  const body = { kind: "put", request: { client, seq: 1, ackBelow: 0 }, name: "accounts/4711", value, expect: undefined };
  const load = { count: 0, latencies: [], frames: () => frames - framesBefore };
  let next = 1;
  let frames = 0;
  let framesBefore = 0;
  let stopped = false;
  let requests = [];
  const flush = () => {
    if (requests.length === 0 || stopped) return;
    call.write(codecs.clientFrame.encode({ hello: undefined, requests }));
    requests = [];
    frames++;
  };
  const send = () => {
    if (requests.length === 0) setImmediate(flush);
    sentAt[next % sentAt.length] = performance.now();
    requests.push({ request: next++, body });
  };
  call.on("data", (bytes) => {
    const now = performance.now();
    for (const { request } of codecs.serverFrame.decode(bytes).answers) {
      load.latencies.push(now - sentAt[request % sentAt.length]);
      load.count++;
      send();
    }
  });
  for (let i = 0; i < outstanding; i++) send();
  setTimeout(() => (framesBefore = frames), WARM_UP_SECONDS * 1000);
  await measure(`session, ${outstanding} outstanding`, load);
  stopped = true;
  call.cancel();
  grpc.close();
}

async function unaryCase(port, outstanding) {
  const grpc = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), CLIENT_CHANNEL_OPTIONS);
  const { UNARY_METHODS } = await load("wire");
  const request = UNARY_METHODS.Put.request.encode({
    kind: "put",
    request: { client, seq: 1, ackBelow: 0 },
    name: "accounts/4711",
    value,
    expect: undefined,
  });
  const state = { count: 0, latencies: [], frames: undefined };
  let stopped = false;
  const one = () => {
    const at = performance.now();
    grpc.makeUnaryRequest(
      "/quorate.v1.Coordinator/Put",
      toBuffer,
      (bytes) => bytes,
      request,
      new Metadata(),
      (error) => {
        if (error !== null && !stopped) throw error;
        state.latencies.push(performance.now() - at);
        state.count++;
        if (!stopped) one();
      },
    );
  };
  for (let i = 0; i < outstanding; i++) one();
  await measure(`unary, ${outstanding} outstanding`, state);
  stopped = true;
  grpc.close();
}

async function followCase(outstanding) {
  const load = { count: 0, latencies: [], frames: () => net.stats().framesSent - framesBefore };
  const record = new Uint8Array(330).fill(7);
  const sentAt = new Float64Array(1 << 20);
  let session;
  let sent = 0;
  let scheduled = false;
  let stopped = false;
  let framesBefore = 0;
  const propose = () => {
    scheduled = false;
    if (stopped) return;
    const entries = [];
    const previous = { epoch: 1, counter: sent };
    while (sent - load.count < outstanding && entries.length < 700) {
      sent++;
      sentAt[sent % sentAt.length] = performance.now();
      entries.push({ zxid: { epoch: 1, counter: sent }, payload: record });
    }
    if (entries.length > 0)
      net.session(session, { kind: "PROPOSE", epoch: 1, previous, entries, commit: { epoch: 1, counter: load.count } });
    if (sent - load.count < outstanding) wake();
  };
  const wake = () => {
    if (scheduled) return;
    scheduled = true;
    setImmediate(propose);
  };
  const net = await createPeerNet({
    self: 1,
    clusterId: "bench",
    listenAddress: "127.0.0.1:0",
    peers: [{ id: 2, address: "127.0.0.1:1" }],
    onInput(input) {
      if (input.kind === "session-up") {
        session = input.session;
        wake();
      }
      if (input.kind === "session" && input.message.kind === "ACK") {
        const now = performance.now();
        for (let counter = load.count + 1; counter <= input.message.durable.counter; counter++) {
          load.latencies.push(now - sentAt[counter % sentAt.length]);
        }
        load.count = input.message.durable.counter;
        wake();
      }
    },
    readSnapshot: () => [],
    snapshotBytesPerSecond: 1e9,
    log: silent,
  });
  child.send({ peerPort: net.port });
  setTimeout(() => (framesBefore = net.stats().framesSent), WARM_UP_SECONDS * 1000);
  await measure(`follow session, ${outstanding} proposals outstanding`, load);
  stopped = true;
  await net.shutdown();
}

function toBuffer(bytes) {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

if (child === undefined) await serve();
else {
  const [{ port }] = await once(child, "message");
  for (const outstanding of [1, 128, 1024]) await sessionCase(port, outstanding);
  for (const outstanding of [1, 128]) await unaryCase(port, outstanding);
  await followCase(8192);
  child.kill();
  process.exit(0);
}
