/**
 * The unary Coordinator service and gRPC health.
 */
import { Client, credentials, loadPackageDefinition, Metadata, status } from "@grpc/grpc-js";
import type { ServiceError } from "@grpc/grpc-js";
import fc from "fast-check";
import { service as healthService } from "grpc-health-check";
import { afterEach, describe, expect, test } from "vitest";
import type { ErrorCode, Gid } from "../../src/base/index.js";
import { ERROR_CODES, nodeId, QuorateError, uuidTimeMs } from "../../src/base/index.js";
import type { Answer, Request } from "../../src/coordinator/index.js";
import { codecs, moveLeaderRequestCodec, moveLeaderResponseCodec, UNARY_METHOD_OF } from "../../src/wire/index.js";
import * as arb from "../wire/arbitraries.js";
import { CLIENT, GID, startServer, unary, unaryBytes, VIEW } from "./client-support.js";
import type { TestServer } from "./client-support.js";

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
const zxid = { epoch: 3, counter: 9 };
const branch = { id: "b", participant: "orders", mode: "asked" as const, payload: new Uint8Array([1]) };

const EXCHANGES: readonly (readonly [Request, Answer])[] = [
  [
    { kind: "open", gid: undefined, client: CLIENT, timeoutMs: 5_000, branches: [branch] },
    { kind: "opened", gid },
  ],
  [
    { kind: "enlist", gid, branch },
    { kind: "enlisted", gid },
  ],
  [
    { kind: "commit", gid, client: CLIENT, timeoutMs: 5_000, branches: [branch], votes: [] },
    { kind: "decided", gid, decision: "commit", reason: undefined, detail: "", zxid },
  ],
  [
    { kind: "abort", gid },
    { kind: "decided", gid, decision: "abort", reason: "client", detail: "asked", zxid },
  ],
  [
    { kind: "outcome", gid, wait: true },
    {
      kind: "transaction",
      transaction: {
        gid,
        state: "open",
        decision: undefined,
        reason: undefined,
        detail: undefined,
        decidedAt: undefined,
        openedMs: 5,
        branches: [],
      },
    },
  ],
  [
    { kind: "list", state: "in-doubt", limit: 10 },
    { kind: "transactions", transactions: [] },
  ],
  [
    { kind: "put", request: { client: CLIENT, seq: 4, ackBelow: 2 }, name: "x", value: new Uint8Array([7]), expect: zxid },
    { kind: "put", version: zxid },
  ],
  [
    { kind: "read", name: "x" },
    { kind: "read", value: new Uint8Array([7]), version: zxid },
  ],
  [{ kind: "retry", gid }, { kind: "ok" }],
  [{ kind: "resolve", gid, branch: "b", outcome: "committed", by: "me", note: "by hand" }, { kind: "ok" }],
  [{ kind: "noop" }, { kind: "ok" }],
];

async function failure(call: Promise<unknown>): Promise<ServiceError> {
  return call.then(
    () => expect.unreachable("the call succeeded"),
    (error: unknown) => error as ServiceError,
  );
}

function facts(error: ServiceError): Readonly<Record<string, unknown>> {
  return { code: error.code, details: error.details, ...error.metadata.getMap() };
}

describe("calls", () => {
  test.each(EXCHANGES.map(([request, answer]) => [UNARY_METHOD_OF[request.kind], request, answer] as const))(
    "%s carries its request and brings its answer",
    async (method, request, answer) => {
      const one = await start(() => Promise.resolve(answer));
      expect(await unary(one.address, method, request)).toEqual(answer);
      expect(one.events.all).toMatchObject([{ kind: "unary", body: request }]);
    },
  );

  test("Status brings the node's status, MoveLeader the new leader", async () => {
    const [nodeStatus] = fc.sample(arb.status, 1);
    if (nodeStatus === undefined) throw new Error("no sample");
    const asked: (number | undefined)[] = [];
    const one = await start(undefined, {
      onStatus: () => Promise.resolve(nodeStatus),
      onMoveLeader: (to) => {
        asked.push(to);
        return Promise.resolve(nodeId(3));
      },
    });
    expect(codecs.nodeStatus.decode(await unaryBytes(one.address, "Status", new Uint8Array(0)))).toEqual(nodeStatus);
    const move = async (to: number | undefined): Promise<number> =>
      moveLeaderResponseCodec.decode(
        await unaryBytes(one.address, "MoveLeader", moveLeaderRequestCodec.encode(to === undefined ? undefined : nodeId(to))),
      );
    expect([await move(2), await move(undefined)]).toEqual([3, 3]);
    expect(asked).toEqual([2, undefined]);
  });

  test("the handler gets what is left of the caller's deadline, or the node's default", async () => {
    const one = await start();
    await unary(one.address, "Health", { kind: "noop" }, 5_000);
    await unary(one.address, "Health", { kind: "noop" });
    const [first, second] = one.events.all.map((event) => (event.kind === "unary" ? event.deadlineMs : 0));
    expect(first).toBeGreaterThan(3_000);
    expect(first).toBeLessThanOrEqual(5_000);
    expect(second).toBe(15_000);
  });

  test("a put without a request id gets one of its own, of the cluster's time; a begin gets the default timeout", async () => {
    const one = await start((body) => Promise.resolve(body.kind === "put" ? { kind: "put", version: zxid } : { kind: "opened", gid }));
    one.server.setView(VIEW);
    const put: Request = {
      kind: "put",
      request: { client: "", seq: 0, ackBelow: 0 },
      name: "x",
      value: new Uint8Array(0),
      expect: undefined,
    };
    await unary(one.address, "Put", put);
    await unary(one.address, "Put", put);
    await unary(one.address, "Begin", { kind: "open", gid: undefined, client: "", timeoutMs: 0, branches: [] });
    const bodies = one.events.all.map((event) => (event.kind === "unary" ? event.body : undefined));
    const ids = bodies.flatMap((body) => (body?.kind === "put" ? [body.request] : []));
    expect(ids).toMatchObject([
      { seq: 1, ackBelow: 0 },
      { seq: 1, ackBelow: 0 },
    ]);
    expect(ids[0]?.client).not.toBe(ids[1]?.client);
    expect(Math.abs(uuidTimeMs(ids[0]?.client ?? "") - VIEW.clusterTimeMs)).toBeLessThan(5_000);
    expect(bodies[2]).toEqual({ kind: "open", gid: undefined, client: "", timeoutMs: 10_000, branches: [] });
  });
});

describe("errors", () => {
  test("an error answer is a status with everything that is known in its metadata", async () => {
    const answer: Answer = {
      kind: "error",
      code: "QUORATE_CONFLICT",
      message: "register x has version 3:9 (näheres: 值)",
      outcome: "aborted",
      retry: "never",
      gid,
      version: zxid,
    };
    const one = await start(() => Promise.resolve(answer));
    const error = await failure(unary(one.address, "Health", { kind: "noop" }));
    expect(facts(error)).toMatchObject({
      code: status.ABORTED,
      details: answer.message,
      "quorate-code": "QUORATE_CONFLICT",
      "quorate-outcome": "aborted",
      "quorate-retry": "never",
      "quorate-gid": GID,
      "quorate-version": "3:9",
    });
  });

  test("what is absent stays absent, and half a surrogate pair does not break the call", async () => {
    const one = await start(() => Promise.reject(new QuorateError("QUORATE_NO_QUORUM", "lost \ud800", { retry: "safe", gid: "no\ngid" })));
    const error = await failure(unary(one.address, "Health", { kind: "noop" }));
    expect(facts(error)).toMatchObject({ code: status.UNAVAILABLE, details: "lost \ufffd", "quorate-retry": "safe" });
    expect(error.metadata.get("quorate-outcome")).toEqual([]);
    expect(error.metadata.get("quorate-gid")).toEqual([]);
  });

  test("no code whose outcome may be unknown maps to a status that generic clients repeat by themselves", async () => {
    const statuses: Record<string, status> = {};
    for (const code of Object.keys(ERROR_CODES) as ErrorCode[]) {
      const one = await start(() => Promise.reject(new QuorateError(code, "m")));
      statuses[code] = (await failure(unary(one.address, "Health", { kind: "noop" }))).code;
    }
    expect(
      Object.keys(statuses)
        .filter((code) => statuses[code] === status.UNAVAILABLE)
        .sort(),
    ).toEqual(["QUORATE_NOT_LEADER", "QUORATE_NO_QUORUM", "QUORATE_UNREACHABLE"]);
    expect(statuses).toMatchObject({
      QUORATE_INVALID_ARGUMENT: status.INVALID_ARGUMENT,
      QUORATE_UNKNOWN_TRANSACTION: status.NOT_FOUND,
      QUORATE_WRONG_STATE: status.FAILED_PRECONDITION,
      QUORATE_ABORTED: status.ABORTED,
      QUORATE_OVERLOADED: status.RESOURCE_EXHAUSTED,
      QUORATE_OUTCOME_UNKNOWN: status.UNKNOWN,
      QUORATE_TIMEOUT: status.DEADLINE_EXCEEDED,
    });
  });

  test.each([
    ["Abort", { kind: "abort", gid: "Q-1" as Gid }, 'gid has the character "Q" at position 0'],
    [
      "Enlist",
      { kind: "enlist", gid, branch: { ...branch, participant: "Bad Name" } },
      'branch.participant "Bad Name" must start with a-z',
    ],
    [
      "Commit",
      { kind: "commit", gid, client: "", timeoutMs: 0, branches: [branch, { ...branch, id: "B" }], votes: [] },
      'branches[1].id "B" must start with a-z',
    ],
    ["Begin", { kind: "open", gid: undefined, client: "me", timeoutMs: 0, branches: [] }, 'client "me" must be a UUID v7'],
    ["Resolve", { kind: "resolve", gid, branch: "b", outcome: "committed", by: "", note: "" }, "by is empty"],
  ] as const)("%s: bad input is INVALID_ARGUMENT with words that name the field, before any handler", async (method, body, words) => {
    const one = await start();
    const error = await failure(unary(one.address, method, body));
    expect(error).toMatchObject({ code: status.INVALID_ARGUMENT, details: expect.stringContaining(words) });
    expect(error.metadata.get("quorate-code")[0]).toMatch(/^QUORATE_(INVALID_ARGUMENT|TOO_LARGE)$/);
    expect(one.events.all).toEqual([]);
  });

  test("malformed bytes are INVALID_ARGUMENT naming the message", async () => {
    const one = await start();
    const error = await failure(unaryBytes(one.address, "Commit", new Uint8Array([0x0a, 0x20, 1])));
    expect(error).toMatchObject({ code: status.INVALID_ARGUMENT, details: "CommitRequest: truncated at byte 2" });
  });

  test("a bug in a handler is INTERNAL with a log line, and so is an answer of the wrong kind", async () => {
    const thrown = await start(() => Promise.reject(new TypeError("x is not a function")));
    expect(await failure(unary(thrown.address, "Health", { kind: "noop" }))).toMatchObject({ code: status.INTERNAL });
    expect(thrown.log.all).toMatchObject([{ level: "error", message: "a unary call failed: x is not a function" }]);
    const wrong = await start(() => Promise.resolve({ kind: "opened", gid }));
    expect(await failure(unary(wrong.address, "Health", { kind: "noop" }))).toMatchObject({
      code: status.INTERNAL,
      details: "Health was answered with opened",
    });
  });

  test("a stopping node refuses with a safe retry", async () => {
    let release: (answer: Answer) => void = () => undefined;
    const one = await startServer(() => new Promise((resolve) => (release = resolve)));
    const client = new Client(one.address, credentials.createInsecure());
    const call = (): Promise<Answer> =>
      new Promise((resolve, reject) => {
        const empty = (bytes: Buffer): Buffer => bytes;
        client.makeUnaryRequest("/quorate.v1.Coordinator/Health", empty, empty, Buffer.alloc(0), new Metadata(), (error) =>
          error === null ? resolve({ kind: "ok" }) : reject(error),
        );
      });
    const first = call();
    await one.events.find(({ kind }) => kind === "unary");
    const closed = one.server.close(5_000);
    const error = await failure(call());
    expect(error.code).toBe(status.UNAVAILABLE);
    release({ kind: "ok" });
    expect(await first).toEqual({ kind: "ok" });
    await closed;
    client.close();
  });
});

describe("gRPC health", () => {
  function healthClient(address: string): HealthClient {
    const { Health } = loadPackageDefinition({ Health: healthService }) as unknown as {
      Health: new (address: string, creds: typeof insecure) => HealthClient;
    };
    return new Health(address, insecure);
  }
  const insecure = credentials.createInsecure();

  interface HealthClient extends Client {
    check(request: { service: string }, done: (error: ServiceError | null, response?: { status: string }) => void): void;
    watch(request: { service: string }): NodeJS.EventEmitter & { cancel(): void };
  }

  test("is SERVING exactly while a leader is established, for the node and each service", async () => {
    const one = await start();
    const client = healthClient(one.address);
    const check = (service: string): Promise<string> =>
      new Promise((resolve, reject) =>
        client.check({ service }, (error, response) => (error === null ? resolve(response?.status ?? "") : reject(error))),
      );
    expect(await check("")).toBe("NOT_SERVING");
    one.server.setView(VIEW);
    for (const service of ["", "quorate.v1.Session", "quorate.v1.Participants", "quorate.v1.Coordinator"]) {
      expect(await check(service)).toBe("SERVING");
    }
    one.server.setView({ ...VIEW, role: "looking", established: false, leader: undefined });
    expect(await check("")).toBe("NOT_SERVING");
    await expect(check("other")).rejects.toMatchObject({ code: status.NOT_FOUND });
    client.close();
  });

  test("pushes changes to whoever watches", async () => {
    const one = await start();
    const client = healthClient(one.address);
    const watch = client.watch({ service: "" });
    const seen: string[] = [];
    const changed = new Promise<void>((resolve) => {
      watch.on("data", (response: { status: string }) => {
        seen.push(response.status);
        if (seen.length === 1) one.server.setView(VIEW);
        else resolve();
      });
    });
    watch.on("error", () => undefined);
    await changed;
    expect(seen).toEqual(["NOT_SERVING", "SERVING"]);
    watch.cancel();
    client.close();
  });
});
