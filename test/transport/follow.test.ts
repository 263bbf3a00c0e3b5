/**
 * Follow sessions: order, frames, back-pressure, exactly one end.
 */
import { Client, credentials, status } from "@grpc/grpc-js";
import { afterEach, describe, expect, test } from "vitest";
import { asBytes, toBuffer } from "../../src/transport/bytes.js";
import { SESSION_BUFFER_BYTES_MAX } from "../../src/transport/index.js";
import { identityMetadata } from "../../src/transport/peer-identity.js";
import { codecs, FRAME_BYTES_MAX } from "../../src/wire/index.js";
import type { Entry, SessionMessage } from "../../src/zab/index.js";
import { freePort, isLink, isSessionDown, isSessionUp, n1, n2, Proxy, startPair, startPeer } from "./support.js";
import type { SessionUp, TestPeer } from "./support.js";

const open: TestPeer[] = [];
const proxies: Proxy[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map(({ net }) => net.shutdown()));
  await Promise.all(proxies.splice(0).map((proxy) => proxy.close()));
});

async function pair(): Promise<readonly [TestPeer, TestPeer]> {
  const both = await startPair();
  open.push(...both);
  return both;
}

/** `follower` dials `leader` as session 1; resolves with the leader's id for it. */
async function session(follower: TestPeer, leader: TestPeer, id = 1): Promise<number> {
  const from = leader.inputs.all.length;
  follower.net.dial(id, leader.id);
  const [, accepted] = await Promise.all([
    follower.inputs.find((input) => isSessionUp(input) && input.session === id),
    leader.inputs.find(isSessionUp, from),
  ]);
  return (accepted as SessionUp).session;
}

function entry(counter: number, bytes: number): Entry {
  const payload = new Uint8Array(bytes);
  new DataView(payload.buffer).setUint32(0, counter);
  return { zxid: { epoch: 1, counter }, payload };
}

function propose(counter: number, bytes = 256): SessionMessage {
  const at = (c: number): { epoch: number; counter: number } => ({ epoch: 1, counter: c });
  return { kind: "PROPOSE", epoch: 1, previous: at(counter - 1), entries: [entry(counter, bytes)], commit: at(0) };
}

const ack = (counter: number): SessionMessage => ({ kind: "ACK", epoch: 1, durable: { epoch: 1, counter } });
const received = (peer: TestPeer): SessionMessage[] =>
  peer.inputs.all.flatMap((input) => (input.kind === "session" ? [input.message] : []));

describe("a session", () => {
  test("is up at both ends: dialed with the id given, accepted with a negative one", async () => {
    const [a, b] = await pair();
    const accepted = await session(a, b);
    expect(accepted).toBeLessThan(0);
    expect(a.inputs.all.find(isSessionUp)).toEqual({ kind: "session-up", session: 1, peer: n2, direction: "dialed" });
    expect(b.inputs.all.find(isSessionUp)).toEqual({ kind: "session-up", session: accepted, peer: n1, direction: "accepted" });
  });

  test("delivers 50,000 proposals in order while acks flow back, many to a frame", async () => {
    const [follower, leader] = await pair();
    const accepted = await session(follower, leader);
    const total = 50_000;
    let sent = 0;
    const done = follower.inputs.find((input) => input.kind === "session" && last(input.message) === total);
    await new Promise<void>((resolve) => {
      const turn = (): void => {
        for (let i = 0; i < 1_000 && sent < total; i++) leader.net.session(accepted, propose(++sent));
        follower.net.session(1, ack(sent));
        if (sent < total) setImmediate(turn);
        else resolve();
      };
      turn();
    });
    await done;
    await leader.inputs.find((input) => input.kind === "session" && last(input.message) === total);
    expect(received(follower).map(last)).toEqual(Array.from({ length: total }, (_, index) => index + 1));
    expect(received(leader).map(last)).toEqual(Array.from({ length: total / 1_000 }, (_, index) => (index + 1) * 1_000));
    const { framesSent, itemsSent, bytesSent } = leader.net.stats();
    expect(itemsSent).toBe(total);
    // 1,000 proposals of 300 bytes per turn: two frames at the cap of 256 KiB.
    expect(framesSent).toBeLessThan(total / 100);
    expect(bytesSent / framesSent).toBeLessThan(FRAME_BYTES_MAX);
  });

  test("carries a message that is larger than a frame's cap", async () => {
    const [follower, leader] = await pair();
    const accepted = await session(follower, leader);
    leader.net.session(accepted, propose(1, 3 * FRAME_BYTES_MAX));
    await follower.inputs.find((input) => input.kind === "session");
    const [message] = received(follower);
    expect(message?.kind === "PROPOSE" && message.entries[0]?.payload.length).toBe(3 * FRAME_BYTES_MAX);
  });
});

describe("the end of a session", () => {
  test.each(["dialer", "accepter"] as const)(
    "closed by the %s: what was sent arrives, then session-down once, only at the other end",
    async (who) => {
      const [follower, leader] = await pair();
      const accepted = await session(follower, leader);
      const [closing, id, other] = who === "dialer" ? [follower, 1, leader] : [leader, accepted, follower];
      closing.net.session(id, { kind: "REFUSE", acceptedEpoch: 9, reason: "promised" });
      closing.net.close(id);
      closing.net.session(id, ack(1));
      await other.inputs.find(isSessionDown);
      expect(received(other)).toEqual([{ kind: "REFUSE", acceptedEpoch: 9, reason: "promised" }]);
      // A whole exchange on a new session later, nothing more has come of the old one.
      await session(follower, leader, 2);
      expect(other.inputs.count(isSessionDown)).toBe(1);
      expect(closing.inputs.count(isSessionDown)).toBe(0);
    },
  );

  test("a dial to a node that is not there is answered by session-down", async () => {
    const a = await startPeer(n1, await freePort(), { 2: await freePort() });
    open.push(a);
    a.net.dial(1, n2);
    expect(await a.inputs.find(isSessionDown)).toEqual({ kind: "session-down", session: 1, peer: n2, direction: "dialed" });
    expect(a.inputs.count(isSessionUp)).toBe(0);
  });

  test("of more than eight sessions accepted from one node the oldest ends", async () => {
    const [follower, leader] = await pair();
    const first = await session(follower, leader, 1);
    for (let id = 2; id <= 9; id++) await session(follower, leader, id);
    expect(await leader.inputs.find(isSessionDown)).toMatchObject({ session: first });
    expect(await follower.inputs.find(isSessionDown)).toMatchObject({ session: 1 });
    expect([follower.inputs.count(isSessionDown), leader.inputs.count(isSessionDown)]).toEqual([1, 1]);
  });

  test("a closed dial is never reported", async () => {
    const [a, b] = await pair();
    a.net.dial(1, n2);
    a.net.close(1);
    await session(a, b, 2);
    expect(a.inputs.all.filter((input) => "session" in input && input.session === 1)).toEqual([]);
  });

  test("when a process goes away both ends of its sessions know within milliseconds", async () => {
    const [follower, leader] = await pair();
    await session(follower, leader);
    const at = performance.now();
    await leader.net.shutdown();
    await follower.inputs.find(isSessionDown);
    expect(performance.now() - at).toBeLessThan(100);
    expect(leader.inputs.count(isSessionDown)).toBe(0);
  });

  test("a reset connection ends the session at both ends, once each", async () => {
    const [port1, port2] = [await freePort(), await freePort()];
    const proxy = await Proxy.to(port2);
    proxies.push(proxy);
    const a = await startPeer(n1, port1, { 2: proxy.address });
    const b = await startPeer(n2, port2, { 1: port1 });
    open.push(a, b);
    await a.inputs.find(isLink(n2, true));
    await session(a, b);
    proxy.reset();
    await Promise.all([a.inputs.find(isSessionDown), b.inputs.find(isSessionDown)]);
    await a.inputs.next(isLink(n2, true));
    await session(a, b, 2);
    expect([a.inputs.count(isSessionDown), b.inputs.count(isSessionDown)]).toEqual([1, 1]);
  });

  test("a malformed frame ends the session with a log line", async () => {
    const b = await startPeer(n2, await freePort(), { 1: await freePort() });
    open.push(b);
    const client = new Client(`127.0.0.1:${b.net.port}`, credentials.createInsecure());
    const metadata = identityMetadata("test", { node: n1, incarnation: "c".repeat(32) });
    const call = client.makeBidiStreamRequest("/quorate.v1.Peer/Follow", toBuffer, asBytes, metadata);
    call.on("error", () => undefined);
    call.resume();
    call.write(codecs.session.encode([ack(1)]));
    call.write(new Uint8Array([0x0a, 0x05, 1]));
    const end = await new Promise<{ code: status }>((resolve) => call.on("status", resolve));
    client.close();
    expect(end.code).not.toBe(status.OK);
    await b.inputs.find(isSessionDown);
    expect(received(b)).toEqual([ack(1)]);
    expect(b.log.all.some(({ message }) => message.startsWith("malformed frame from n1"))).toBe(true);
  });
});

describe("a peer that does not read", () => {
  test("is held back, then cut off with words when more waits than may", async () => {
    const [port1, port2] = [await freePort(), await freePort()];
    const proxy = await Proxy.to(port2);
    proxies.push(proxy);
    const follower = await startPeer(n1, port1, { 2: proxy.address });
    const leader = await startPeer(n2, port2, { 1: port1 });
    open.push(follower, leader);
    await follower.inputs.find(isLink(n2, true));
    const accepted = await session(follower, leader);
    proxy.goSilent();
    const chunk = 512 * 1024;
    const framesMax = SESSION_BUFFER_BYTES_MAX / chunk + 64;
    let sent = 0;
    await new Promise<void>((resolve) => {
      const turn = (): void => {
        if (leader.inputs.count(isSessionDown) > 0 || sent >= framesMax) {
          resolve();
          return;
        }
        leader.net.session(accepted, propose(++sent, chunk));
        setImmediate(turn);
      };
      turn();
    });
    // What gRPC holds (16 frames) and the kernel's buffers come on top of the session's own bound.
    expect(sent * chunk).toBeGreaterThan(SESSION_BUFFER_BYTES_MAX);
    expect(sent).toBeLessThan(framesMax);
    expect(leader.inputs.count(isSessionDown)).toBe(1);
    expect(leader.log.all.some(({ level, message }) => level === "warn" && message.includes("n1 does not read"))).toBe(true);
  });
});

/** The last counter a message names. */
function last(message: SessionMessage): number {
  if (message.kind === "PROPOSE") return message.entries.at(-1)?.zxid.counter ?? 0;
  return message.kind === "ACK" ? message.durable.counter : 0;
}
