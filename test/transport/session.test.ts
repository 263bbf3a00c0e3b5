/**
 * Streams of clients and of participant instances.
 */
import { status } from "@grpc/grpc-js";
import { afterEach, describe, expect, test } from "vitest";
import type { Gid } from "../../src/base/index.js";
import { QuorateError } from "../../src/base/index.js";
import type { Answer, Request } from "../../src/coordinator/index.js";
import { CLIENT_REQUESTS_MAX } from "../../src/transport/index.js";
import type { ServerFrame } from "../../src/wire/index.js";
import { FRAME_BYTES_MAX, RECEIVE_BYTES_MAX } from "../../src/wire/index.js";
import { attachStream, CLIENT, connected, GID, HELLO, requests, sessionStream, startServer, VIEW } from "./client-support.js";
import type { Event, TestServer } from "./client-support.js";

const servers: TestServer[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map(({ server }) => server.close(0)));
});

async function start(...options: Parameters<typeof startServer>): Promise<TestServer> {
  const server = await startServer(...options);
  servers.push(server);
  return server;
}

const gid = GID as Gid;
const abort: Request = { kind: "abort", gid };
const opened: Answer = { kind: "opened", gid };
const answersOf = (frames: readonly ServerFrame[]): ServerFrame["answers"][number][] => frames.flatMap(({ answers }) => answers);
const isRequest = (event: Event): boolean => event.kind === "request";
const hasAnswers = (frame: ServerFrame): boolean => frame.answers.length > 0;

describe("a client's stream", () => {
  test("says hello, gets the view first, sends requests and gets answers by number", async () => {
    const one = await start();
    one.server.setView(VIEW);
    const { stream, session } = await connected(one);
    expect(await stream.frames.find(() => true)).toEqual({ view: VIEW, answers: [] });
    stream.send(requests([7, abort], [8, { kind: "read", name: "x" }]));
    await one.events.find((event) => event.kind === "request" && event.request === 8);
    expect(one.events.all).toEqual([
      { kind: "client-up", session, client: CLIENT },
      { kind: "request", session, request: 7, body: abort },
      { kind: "request", session, request: 8, body: { kind: "read", name: "x" } },
    ]);
    one.server.answer(session, 8, { kind: "read", value: new Uint8Array([1]), version: { epoch: 1, counter: 2 } });
    one.server.answer(session, 7, opened);
    await stream.frames.find(hasAnswers);
    expect(answersOf(stream.frames.all)).toEqual([
      { request: 8, answer: { kind: "read", value: new Uint8Array([1]), version: { epoch: 1, counter: 2 } } },
      { request: 7, answer: opened },
    ]);
    stream.cancel();
  });

  test("answers of one turn travel in one frame", async () => {
    const one = await start();
    const { stream, session } = await connected(one);
    const count = 1_000;
    stream.send(requests(...Array.from({ length: count }, (_, index): [number, Request] => [index + 1, abort])));
    await one.events.find((event) => event.kind === "request" && event.request === count);
    for (let request = 1; request <= count; request++) one.server.answer(session, request, opened);
    await stream.frames.find(hasAnswers);
    expect(stream.frames.all).toHaveLength(1);
    expect(answersOf(stream.frames.all)).toHaveLength(count);
    expect(one.server.stats()).toMatchObject({ framesSent: 1, itemsSent: count, framesReceived: 2, itemsReceived: count });
    stream.cancel();
  });

  test("more answers than a frame's cap are cut into several, none lost", async () => {
    const one = await start();
    const { stream, session } = await connected(one);
    const value = new Uint8Array(60_000);
    stream.send(requests(...Array.from({ length: 20 }, (_, index): [number, Request] => [index, { kind: "read", name: "x" }])));
    await one.events.find((event) => event.kind === "request" && event.request === 19);
    for (let request = 0; request < 20; request++) one.server.answer(session, request, { kind: "read", value, version: undefined });
    await stream.frames.find(({ answers }) => answers.some(({ request }) => request === 19));
    expect(answersOf(stream.frames.all).map(({ request }) => request)).toEqual(Array.from({ length: 20 }, (_, index) => index));
    for (const { answers } of stream.frames.all) expect(answers.length * 60_000).toBeLessThan(FRAME_BYTES_MAX);
    stream.cancel();
  });

  test("flush sends at once what was collected", async () => {
    const one = await start();
    const { stream, session } = await connected(one);
    one.server.answer(session, 1, opened);
    one.server.flush();
    expect(one.server.stats().framesSent).toBe(1);
    stream.cancel();
  });

  test("a changed view is pushed to every open stream, the newest only", async () => {
    const one = await start();
    const { stream } = await connected(one);
    one.server.setView({ ...VIEW, epoch: 4 });
    one.server.setView({ ...VIEW, epoch: 5 });
    await stream.frames.find(({ view }) => view?.epoch === 5);
    expect(stream.frames.all).toHaveLength(1);
    stream.cancel();
  });

  test("its end is told once, however it ends", async () => {
    const one = await start();
    const first = await connected(one);
    first.stream.cancel();
    await one.events.find((event) => event.kind === "client-down" && event.session === first.session);
    const second = await connected(one);
    second.stream.call.end();
    await one.events.find((event) => event.kind === "client-down" && event.session === second.session);
    expect((await second.stream.ended).code).toBe(status.OK);
    one.server.answer(first.session, 1, opened);
    const third = await connected(one);
    expect(one.events.count(({ kind }) => kind === "client-down")).toBe(2);
    third.stream.cancel();
  });

  test("an absent timeout is the cluster's default, and an absent client stays absent", async () => {
    const one = await start();
    const { stream } = await connected(one);
    stream.send(requests([1, { kind: "open", gid: undefined, client: "", timeoutMs: 0, branches: [] }]));
    expect(await one.events.find(isRequest)).toMatchObject({ body: { kind: "open", client: "", timeoutMs: 10_000 } });
    stream.cancel();
  });
});

describe("what a client may not do", () => {
  test("a malformed identifier is answered by itself; the other requests of the frame go on", async () => {
    const one = await start();
    const { stream } = await connected(one);
    stream.send(requests([1, { kind: "abort", gid: "q-1'; drop" as Gid }], [2, abort], [3, { kind: "list", state: "all", limit: 5_000 }]));
    await one.events.find((event) => event.kind === "request" && event.request === 2);
    await stream.frames.find(hasAnswers);
    expect(one.events.all.filter(isRequest)).toHaveLength(1);
    expect(answersOf(stream.frames.all)).toMatchObject([
      {
        request: 1,
        answer: { kind: "error", code: "QUORATE_INVALID_ARGUMENT", message: expect.stringContaining('gid has the character "\'"') },
      },
      { request: 3, answer: { code: "QUORATE_INVALID_ARGUMENT", message: "limit is 5000; it must be from 1 to 1000" } },
    ]);
    stream.cancel();
  });

  test.each([
    ["requests before hello", [requests([1, abort])], "the first frame must hold hello"],
    ["hello twice", [HELLO, HELLO], "hello was sent twice"],
    ["hello with requests", [{ ...HELLO, requests: [{ request: 1, body: abort }] }], "the frame with hello must hold nothing else"],
    ["a hello without a client id", [{ hello: { client: "me", version: "1" }, requests: [] }], 'hello.client "me" must be a UUID v7'],
  ])("%s ends the stream with INVALID_ARGUMENT", async (_, frames, details) => {
    const one = await start();
    const stream = sessionStream(one.address);
    for (const frame of frames) stream.send(frame);
    expect(await stream.ended).toMatchObject({ code: status.INVALID_ARGUMENT, details: expect.stringContaining(details) });
    expect(one.log.all.some(({ level, message }) => level === "warn" && message.includes(details))).toBe(true);
    expect(one.events.count(({ kind }) => kind === "client-up")).toBe(one.events.count(({ kind }) => kind === "client-down"));
    expect(one.events.count(isRequest)).toBe(0);
  });

  test("malformed bytes end the stream with INVALID_ARGUMENT naming the message; the client counts as gone", async () => {
    const one = await start();
    const { stream, session } = await connected(one);
    stream.raw(new Uint8Array([0x12, 0x09, 1]));
    expect(await stream.ended).toMatchObject({ code: status.INVALID_ARGUMENT, details: "ClientFrame: truncated at byte 2" });
    expect(one.events.all.at(-1)).toEqual({ kind: "client-down", session });
  });

  test("a frame above the receive limit ends the stream", async () => {
    const one = await start();
    const { stream, session } = await connected(one);
    stream.raw(new Uint8Array(RECEIVE_BYTES_MAX + 1));
    expect(await stream.ended).toMatchObject({ code: status.RESOURCE_EXHAUSTED, details: expect.stringContaining("larger than max") });
    await one.events.find((event) => event.kind === "client-down" && event.session === session);
  });

  test("beyond its bound of unanswered requests it is told QUORATE_OVERLOADED, and goes on when answers have come", async () => {
    let taken = 0;
    const one = await start(undefined, { onRequests: (_, list) => void (taken += list.length) });
    const { stream, session } = await connected(one);
    const perFrame = 4_096;
    for (let first = 0; first < CLIENT_REQUESTS_MAX; first += perFrame) {
      stream.send(requests(...Array.from({ length: perFrame }, (_, index): [number, Request] => [first + index, abort])));
    }
    stream.send(requests([CLIENT_REQUESTS_MAX, abort]));
    const refused = answersOf([await stream.frames.find(hasAnswers)]);
    expect(refused).toMatchObject([{ request: CLIENT_REQUESTS_MAX, answer: { code: "QUORATE_OVERLOADED", retry: "safe" } }]);
    expect(taken).toBe(CLIENT_REQUESTS_MAX);
    one.server.answer(session, 0, opened);
    stream.send(requests([CLIENT_REQUESTS_MAX + 1, abort]));
    stream.send(requests([CLIENT_REQUESTS_MAX + 2, abort]));
    await stream.frames.find(({ answers }) => answers.some(({ request }) => request === CLIENT_REQUESTS_MAX + 2));
    expect(taken).toBe(CLIENT_REQUESTS_MAX + 1);
    stream.cancel();
  });

  test("a client that does not read is cut off with a log line, and its memory let go", async () => {
    const one = await start();
    const { stream, session } = await connected(one);
    stream.call.pause();
    const value = new Uint8Array(64 * 1024);
    const down = one.events.find(({ kind }) => kind === "client-down");
    let answers = 0;
    await new Promise<void>((resolve) => {
      void down.then(() => resolve());
      const turn = (): void => {
        if (one.events.all.some(({ kind }) => kind === "client-down") || answers > 3_000) return;
        for (let i = 0; i < 20; i++) one.server.answer(session, answers++, { kind: "read", value, version: undefined });
        setImmediate(turn);
      };
      turn();
    });
    expect(answers * value.length).toBeGreaterThan(64 * 1024 * 1024);
    expect(answers).toBeLessThan(3_000);
    expect(one.log.all.some(({ level, message }) => level === "warn" && message.includes("the client does not read"))).toBe(true);
    stream.cancel();
  });
});

describe("a participant instance's stream", () => {
  const abilities = { onePhase: true, afterBegin: true, kinds: ["tcc"] } as const;
  const hello = { participant: "orders", participantKind: "kv", instance: "pid 1", version: "1", ...abilities };

  test("attaches with its doubts, takes calls, sends replies, gets answers", async () => {
    const one = await start();
    one.server.setView(VIEW);
    const stream = attachStream(one.address);
    stream.send({ hello, replies: [], inquiries: [{ gid, branch: "b" }] });
    const inquiry = await one.events.find(({ kind }) => kind === "inquiry");
    const instance = inquiry.kind === "inquiry" ? inquiry.instance : 0;
    expect(one.events.all).toEqual([
      { kind: "instance-up", instance, participant: "orders", participantKind: "kv", abilities },
      { kind: "inquiry", instance, inquiry: { gid, branch: "b" } },
    ]);
    expect((await stream.frames.find(() => true)).view).toEqual(VIEW);

    const call = { phase: "prepare" as const, kind: "tcc" as const, gid, branch: "c", epoch: 3, attempt: 1, payload: new Uint8Array([5]) };
    for (let i = 0; i < 10; i++) one.server.call({ instance, ...call });
    one.server.inquiryAnswers(instance, [{ gid, branch: "b", answer: "commit" }]);
    const frame = await stream.frames.find(({ calls }) => calls.length > 0);
    expect(frame).toEqual({
      view: undefined,
      calls: Array.from({ length: 10 }, () => call),
      answers: [{ gid, branch: "b", answer: "commit" }],
    });

    const reply = { phase: "prepare" as const, gid, branch: "c", result: { kind: "vote" as const, vote: "yes" as const, detail: "" } };
    stream.send({ hello: undefined, replies: [reply], inquiries: [] });
    expect(await one.events.find(({ kind }) => kind === "reply")).toEqual({ kind: "reply", instance, reply });

    stream.cancel();
    await one.events.find(({ kind }) => kind === "instance-down");
    one.server.call({ instance, ...call });
    expect(one.events.count(({ kind }) => kind === "instance-down")).toBe(1);
  });

  test.each([
    ["no hello", { hello: undefined, replies: [], inquiries: [] }, "the first frame must hold hello"],
    ["a name that is none", { hello: { ...hello, participant: "Orders!" }, replies: [], inquiries: [] }, "hello.participant"],
    ["a gid that is none", { hello, replies: [], inquiries: [{ gid: "x" as Gid, branch: "b" }] }, 'inquiries[0]: gid "x" must be'],
  ])("%s ends it with INVALID_ARGUMENT and no instance", async (_, frame, details) => {
    const one = await start();
    const stream = attachStream(one.address);
    stream.send(frame);
    expect(await stream.ended).toMatchObject({ code: status.INVALID_ARGUMENT, details: expect.stringContaining(details) });
    expect(one.events.all).toEqual([]);
  });

  test("calls larger than a frame's cap are cut into several frames, in order", async () => {
    const one = await start();
    const stream = attachStream(one.address);
    stream.send({ hello, replies: [], inquiries: [] });
    const up = await one.events.find(({ kind }) => kind === "instance-up");
    const instance = up.kind === "instance-up" ? up.instance : 0;
    for (let attempt = 1; attempt <= 12; attempt++) {
      one.server.call({ instance, phase: "prepare", kind: "2pc", gid, branch: "b", epoch: 1, attempt, payload: new Uint8Array(60_000) });
    }
    await stream.frames.find(({ calls }) => calls.some(({ attempt }) => attempt === 12));
    expect(stream.frames.all.flatMap(({ calls }) => calls.map(({ attempt }) => attempt))).toEqual(
      Array.from({ length: 12 }, (_, i) => i + 1),
    );
    expect(stream.frames.all.length).toBeGreaterThanOrEqual(3);
    stream.cancel();
  });
});

describe("closing", () => {
  test("takes no new stream, still delivers answers, then ends every stream", async () => {
    const one = await startServer();
    const { stream, session } = await connected(one);
    const closed = one.server.close(200);
    const late = sessionStream(one.address);
    late.send(HELLO);
    expect((await late.ended).code).toBe(status.UNAVAILABLE);
    one.server.answer(session, 1, opened);
    await stream.frames.find(hasAnswers);
    expect(await stream.ended).toMatchObject({ code: status.UNAVAILABLE, details: "this node is stopping" });
    await closed;
    expect(one.events.all.at(-1)).toEqual({ kind: "client-down", session });
  });

  test("is immediate when nothing is open", async () => {
    const one = await startServer();
    const at = performance.now();
    await one.server.close(60_000);
    expect(performance.now() - at).toBeLessThan(1_000);
  });

  test("does not wait for a client that does not end", async () => {
    const one = await startServer();
    const { stream } = await connected(one);
    stream.call.pause();
    const at = performance.now();
    await one.server.close(50);
    expect(performance.now() - at).toBeLessThan(1_000);
  });
});

test("a taken port is a QuorateError that names the address", async () => {
  const one = await start();
  const second = startServer(undefined, {}, { listenAddress: one.address });
  await expect(second).rejects.toThrow(QuorateError);
  await expect(second).rejects.toThrow(`cannot listen on ${one.address} for clients and participants: the address is in use (EADDRINUSE)`);
});
