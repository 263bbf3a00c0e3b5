/**
 * Who calls services, and when: the callers of one node, followed through leadership and registrations.
 */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { newGid, serviceBytes, silentLogger, type Gid, type Logger, type ServiceSpec } from "../../src/base/index.js";
import type { BranchReply } from "../../src/coordinator/index.js";
import { ServiceHost, type Registration } from "../../src/service/index.js";
import { answer, HttpStub } from "../support/http-stub.js";

let stub: HttpStub;
let host: ServiceHost;
let up: { readonly instance: number; readonly participant: string }[];
let down: number[];
let replies: { readonly instance: number; readonly reply: BranchReply }[];
let logged: string[];

beforeEach(async () => {
  stub = await HttpStub.start((_, response) => answer(response, 200));
  up = [];
  down = [];
  replies = [];
  logged = [];
  const log: Logger = { ...silentLogger, error: (_fields: unknown, message?: string) => void logged.push(message ?? "") };
  host = new ServiceHost({
    clusterId: "test",
    callsMax: 2,
    answerBytesMax: 1_000,
    forgottenBelowMs: () => 0,
    log,
    onInstanceUp: (instance, participant, kind, manner) => {
      expect([kind, manner]).toEqual(["http", { onePhase: false, afterBegin: true, kinds: [expect.any(String)], callTimeoutMs: 7_000 }]);
      up.push({ instance, participant });
    },
    onInstanceDown: (instance) => down.push(instance),
    onReplies: (instance, given) => replies.push(...given.map((reply) => ({ instance, reply }))),
  });
});

afterEach(async () => {
  host.close();
  await stub[Symbol.asyncDispose]();
});

let counter = 0;
function registration(value: Uint8Array, name = "hotel"): Registration {
  return { name: `service/${name}`, value, version: { epoch: 1, counter: ++counter } };
}

function registered(spec: Partial<ServiceSpec> = {}): Registration {
  return registration(serviceBytes({ url: stub.url, kind: "tcc", deadlineMs: 5_000, ...spec }));
}

const map = (...registrations: Registration[]): ReadonlyMap<string, Registration> =>
  new Map(registrations.map((each) => [each.name, each]));
const gid: Gid = newGid(Date.now(), () => 7);

function call(instance: number, phase: "prepare" | "commit" | "rollback" = "prepare", branch = "b1", attempt = 1): void {
  host.call({ instance, phase, kind: "tcc", gid, branch, epoch: 3, attempt, payload: Buffer.from("{}") });
}

describe("a node", () => {
  test("calls nobody while it does not lead, and nobody any more when it has led", async () => {
    const services = map(registered());
    host.follow(undefined, services);
    expect(up).toEqual([]);
    host.follow(3, services);
    expect(up).toHaveLength(1);
    stub.handle = () => undefined;
    const instance = up[0]?.instance ?? 0;
    call(instance);
    await expect.poll(() => stub.calls.length).toBe(1);
    host.follow(undefined, services);
    expect(down).toEqual([instance]);
    call(instance, "rollback");
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(stub.calls).toHaveLength(1);
    expect(replies).toEqual([]);
    host.follow(4, services);
    expect(up).toHaveLength(2);
  });

  test("does nothing when nothing changed", () => {
    const services = map(registered());
    for (let i = 0; i < 3; i++) host.follow(3, services);
    expect([up.length, down.length]).toEqual([1, 0]);
  });

  test("answers later than it is called, also what it knows at once", async () => {
    host.follow(3, map(registered()));
    const instance = up[0]?.instance ?? 0;
    call(instance, "rollback");
    call(instance);
    expect(replies).toEqual([]);
    await expect.poll(() => replies.length).toBe(2);
    const results = replies.map(({ reply }) => reply.result);
    expect(results).toContainEqual({ kind: "vote", vote: "no", detail: "the branch was rolled back before" });
    expect(results).toContainEqual({ kind: "done" });
    expect(stub.calls.map((each) => each.phase)).toEqual(["cancel"]);
  });

  test("keeps to its number of calls, and decisions do not wait for new work", async () => {
    const held: (() => void)[] = [];
    stub.handle = ({ phase }, response) => (phase === "try" ? void held.push(() => answer(response, 200)) : answer(response, 200));
    host.follow(3, map(registered()));
    const instance = up[0]?.instance ?? 0;
    for (const branch of ["b1", "b2", "b3"]) call(instance, "prepare", branch);
    call(instance, "commit", "b9");
    await expect.poll(() => stub.calls.length).toBe(3);
    expect(stub.calls.map((each) => each.phase).sort()).toEqual(["confirm", "try", "try"]);
    held.shift()?.();
    await expect.poll(() => stub.calls.length).toBe(4);
    expect(stub.calls.at(-1)).toMatchObject({ branch: "b3", phase: "try" });
    for (const release of held) release();
  });

  test("sends nothing that waited for its turn once it does not lead", async () => {
    stub.handle = () => undefined;
    const services = map(registered());
    host.follow(3, services);
    const instance = up[0]?.instance ?? 0;
    for (const branch of ["b1", "b2", "b3", "b4"]) call(instance, "prepare", branch);
    await expect.poll(() => stub.calls.length).toBe(2);
    host.follow(undefined, services);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(stub.calls.map(({ branch }) => branch)).toEqual(["b1", "b2"]);
  });

  test("marks what is not yet, as opposed to failed", async () => {
    host.follow(3, map(registered()));
    stub.handle = ({ phase }, response) => answer(response, phase === "try" ? 425 : 500);
    const instance = up[0]?.instance ?? 0;
    call(instance);
    call(instance, "commit", "b2", 6);
    await expect.poll(() => replies.length).toBe(2);
    const results = replies.map(({ reply }) => reply.result);
    expect(results).toContainEqual({ kind: "failed", detail: "answered 425 to try; it is asked again soon", notYet: true });
    expect(results).toContainEqual({ kind: "failed", detail: "answered 500 to confirm; a service answers 2xx, 409 or 425" });
    expect(stub.calls.find((each) => each.phase === "confirm")?.attempt).toBe(6);
  });
});

describe("a registration", () => {
  test("that is written again makes a new instance, which is told what is under way", async () => {
    let finish = (): void => undefined;
    stub.handle = (_, response) => void (finish = () => answer(response, 200));
    host.follow(3, map(registered()));
    const first = up[0]?.instance ?? 0;
    call(first);
    await expect.poll(() => stub.calls.length).toBe(1);
    host.follow(3, map(registered()));
    const second = up[1]?.instance ?? 0;
    expect(down).toEqual([first]);
    call(second);
    finish();
    await expect.poll(() => replies.length).toBe(1);
    expect(replies[0]).toMatchObject({ instance: second, reply: { result: { kind: "vote", vote: "yes" } } });
    expect(stub.calls).toHaveLength(1);
  });

  test("that changes is followed: what comes from then on goes to the new address", async () => {
    const other = await HttpStub.start((_, response) => answer(response, 200));
    host.follow(3, map(registered()));
    host.follow(3, map(registered({ url: other.url })));
    call(up[1]?.instance ?? 0);
    await expect.poll(() => replies.length).toBe(1);
    expect([stub.calls.length, other.calls.length]).toEqual([0, 1]);
    await other[Symbol.asyncDispose]();
  });

  test("that is removed ends the calls", () => {
    host.follow(3, map(registered()));
    host.follow(3, map(registration(new Uint8Array(0))));
    expect(down).toEqual([up[0]?.instance]);
  });

  test("that cannot be read is said once, with what to do, and hides no other", () => {
    const broken = registration(Buffer.from("{}"), "old");
    host.follow(3, map(broken, registered()));
    host.follow(3, map(broken, registered()));
    expect(logged).toEqual([expect.stringContaining("write it again with `quorate service add old`")]);
    expect(up.every(({ participant }) => participant === "hotel")).toBe(true);
  });
});
