/**
 * What the leader's driver does for services: registrations are checked before they are proposed, and new work waits for its record.
 */
import { describe, expect, test } from "vitest";
import { newGid, serviceBytes, type ServiceSpec } from "../../src/base/index.js";
import type { Answer } from "../../src/coordinator/index.js";
import { asked, Desk } from "./desk.js";

const SPEC: ServiceSpec = { url: "http://127.0.0.1:8080/quorate", kind: "2pc", deadlineMs: 5_000 };
const text = (value: string): Uint8Array => new TextEncoder().encode(value);

/** The desk's `hotel` is a registered service, attached as instance 9. */
function withService(options: ConstructorParameters<typeof Desk>[0] = {}): Desk {
  const desk = new Desk(options);
  expect(put(desk, "service/hotel", serviceBytes(SPEC))).toMatchObject({ kind: "put" });
  desk.coordinator.instanceUp(9, "hotel", "http", desk.nowMs, { afterBegin: true, callTimeoutMs: 7_000 });
  desk.drain();
  desk.commitAll();
  return desk;
}

let seq = 0;
function put(desk: Desk, name: string, value: Uint8Array): Answer | undefined {
  const client = newGid(desk.stampMs, desk.random).slice(2);
  desk.request({ kind: "put", request: { client, seq: 1, ackBelow: 0 }, name, value, expect: undefined }, 3, ++seq);
  desk.commitAll();
  return desk.takeAnswers().at(-1);
}

function services(desk: Desk): unknown {
  desk.request({ kind: "read", name: "service/" }, 3, ++seq);
  const answer = desk.takeAnswers().at(-1);
  return answer?.kind === "read" && answer.value !== undefined ? JSON.parse(new TextDecoder().decode(answer.value)) : answer;
}

describe("new work of a service", () => {
  test("is asked for only when BEGIN is applied; others are asked beside it", () => {
    const desk = withService();
    const gid = desk.gid();
    desk.commit(gid, [asked("b1"), asked("b2", "hotel")]);
    expect(desk.kinds).toEqual(["BEGIN"]);
    expect(desk.takeCalls()).toEqual(["1 prepare b1"]);
    desk.pass(1_000);
    expect(desk.takeCalls()).toEqual([]);
    desk.commitAll();
    expect(desk.takeCalls()).toEqual(["9 prepare b2"]);
  });

  test("is never asked for when BEGIN is not taken, also when the service comes up meanwhile", () => {
    const desk = withService();
    const gid = desk.gid();
    desk.coordinator.instanceDown(9, desk.nowMs);
    desk.commit(gid, [asked("b2", "hotel")]);
    desk.coordinator.instanceUp(10, "hotel", "http", desk.nowMs, { afterBegin: true });
    desk.drain();
    expect(desk.takeCalls()).toEqual([]);
    desk.refuseAll();
    desk.pass(11_000);
    desk.commitAll();
    expect(desk.takeCalls()).toEqual([]);
    expect(desk.takeAnswers()).toMatchObject([{ kind: "error", code: "QUORATE_OVERLOADED" }]);
  });

  test("is carried on by the next leader, from the record", () => {
    const desk = withService();
    const gid = desk.gid();
    desk.commit(gid, [asked("b2", "hotel")]);
    desk.commitAll();
    expect(desk.takeCalls()).toEqual(["9 prepare b2"]);
    desk.resign();
    desk.establish();
    expect(desk.takeCalls()).toEqual(["9 prepare b2"]);
  });

  test("is cancelled when the transaction aborts although no answer ever came", () => {
    const desk = withService();
    const gid = desk.gid();
    desk.commit(gid, [asked("b1"), asked("b2", "hotel")]);
    desk.commitAll();
    desk.vote(gid, "b1", "no");
    desk.commitAll();
    expect(desk.takeCalls()).toEqual(["1 prepare b1", "9 prepare b2", "1 rollback b1", "9 rollback b2"]);
  });

  test("waits as long as the service's own deadline says before it is asked again", () => {
    const desk = withService({ callTimeoutMs: 1_000, transactionTimeoutMs: 60_000 });
    desk.commit(desk.gid(), [asked("b2", "hotel")]);
    desk.commitAll();
    desk.takeCalls();
    desk.pass(6_900);
    expect(desk.takeCalls()).toEqual([]);
    desk.pass(400);
    expect(desk.takeCalls()).toEqual(["9 prepare b2"]);
  });
});

describe("a service that cannot yet", () => {
  test("is asked again soon, without end, and is never paused for it", () => {
    const desk = withService({ attemptsBeforePause: 3, breakerFailures: 3 });
    const gid = desk.gid();
    desk.commit(gid, [asked("b2", "hotel")]);
    desk.commitAll();
    desk.vote(gid, "b2", "yes", 9);
    desk.commitAll();
    desk.takeCalls();
    for (let i = 0; i < 20; i++) {
      const result = { kind: "failed", detail: "answered 425 to confirm", notYet: true } as const;
      desk.coordinator.replies(9, [{ phase: "commit", gid, branch: "b2", result }], desk.nowMs);
      desk.drain();
      desk.pass(900);
      expect(desk.takeCalls()).toEqual(["9 commit b2"]);
    }
    expect(desk.alarms).toEqual([]);
    desk.done(gid, "b2", "commit", 9);
    expect(desk.coordinator.counts().paused).toBe(0);
  });
});

describe("a participant that answers again", () => {
  test("gets at once what backs off, each branch once", () => {
    const desk = new Desk({ retryDelayMsMin: 10_000, transactionTimeoutMs: 100_000 });
    const [first, second, third] = [desk.gid(), desk.gid(), desk.gid()];
    desk.commit(first, [asked("b1")]);
    desk.fail(first, "b1", "prepare");
    desk.commit(second, [asked("b2")]);
    desk.takeCalls();
    desk.vote(second, "b2", "yes");
    expect(desk.takeCalls()).toEqual(["1 prepare b1"]);
    desk.fail(first, "b1", "prepare");
    desk.commit(third, [asked("b3")]);
    desk.vote(third, "b3", "yes");
    expect(desk.takeCalls()).toEqual(["1 prepare b3"]);
  });
});

describe("a registration", () => {
  test.each([
    ["service/hotel", "{", 'service "hotel": the value must be JSON'],
    ["service/hotel", "[]", "must be an object"],
    ["service/hotel", '{"url":"ftp://x"}', "must begin with http:// or grpc://"],
    ["service/hotel", '{"url":"http://u:p@x/"}', "holds a user or a password"],
    ["service/hotel", '{"url":"grpc://x"}', "names no port"],
    ["service/hotel", '{"url":"grpc://x:1/path"}', "takes host and port only"],
    ["service/hotel", '{"url":"nowhere"}', "is no URL"],
    ["service/hotel", '{"url":"http://x","kind":"saga"}', 'must be "2pc" or "tcc"'],
    ["service/hotel", '{"url":"http://x","deadlineMs":1}', "deadlineMs 1 must be an integer from 50 to 60000"],
    ["service/hotel", '{"url":"http://x","retries":3}', '"retries" is no setting'],
    ["service/Hotel", '{"url":"http://x"}', "service "],
    ["service/", "", "service "],
  ])("of %s as %s is refused before it is proposed", (name, value, message) => {
    const desk = new Desk();
    const answer = put(desk, name, text(value));
    expect(answer).toMatchObject({ kind: "error", code: "QUORATE_INVALID_ARGUMENT" });
    expect(answer?.kind === "error" ? answer.message : "").toContain(message);
    expect(desk.state.register(name)).toBeUndefined();
  });

  test("is refused for the name of another participant", () => {
    expect(put(new Desk(), "service/orders", serviceBytes(SPEC))).toMatchObject({
      kind: "error",
      code: "QUORATE_INVALID_ARGUMENT",
      message: '"orders" is a participant of kind kv already; give the service another name',
    });
  });

  test("is listed, and not any more when it is removed; then nobody can name it", () => {
    const desk = withService();
    expect(put(desk, "plain", text("anything"))).toMatchObject({ kind: "put" });
    expect(services(desk)).toEqual([{ name: "hotel", ...SPEC }]);
    desk.coordinator.instanceDown(9, desk.nowMs);
    expect(put(desk, "service/hotel", new Uint8Array(0))).toMatchObject({ kind: "put" });
    expect(services(desk)).toEqual([]);
    desk.commit(desk.gid(), [asked("b2", "hotel")]);
    expect(desk.takeAnswers()).toMatchObject([{ kind: "error", code: "QUORATE_UNKNOWN_PARTICIPANT" }]);
  });

  test("of an earlier version that cannot be read is listed with what is wrong", () => {
    const desk = new Desk();
    const client = newGid(desk.stampMs, desk.random).slice(2);
    desk.inject({ kind: "PUT", request: { client, seq: 1, ackBelow: 0 }, name: "service/old", value: text("{}"), expect: undefined });
    expect(services(desk)).toMatchObject([{ name: "old", problem: expect.stringContaining("url") as string }]);
  });

  test("is neither removed nor given another kind while a transaction may need it, from BEGIN to the last acknowledgement", () => {
    const desk = withService();
    const gid = desk.gid();
    const refused = { kind: "error", code: "QUORATE_WRONG_STATE", message: expect.stringContaining(gid) as string };
    const attempts = (): void => {
      expect(put(desk, "service/hotel", new Uint8Array(0))).toMatchObject(refused);
      expect(put(desk, "service/hotel", serviceBytes({ ...SPEC, kind: "tcc" }))).toMatchObject(refused);
    };
    desk.commit(gid, [asked("b2", "hotel")]);
    const [begin] = desk.proposed;
    // The record is on its way: nothing of it is in the state yet.
    desk.request(
      {
        kind: "put",
        request: { client: newGid(desk.stampMs, desk.random).slice(2), seq: 1, ackBelow: 0 },
        name: "service/hotel",
        value: new Uint8Array(0),
        expect: undefined,
      },
      3,
      ++seq,
    );
    expect(desk.takeAnswers()).toMatchObject([refused]);
    expect(desk.proposed).toEqual([begin]);
    desk.commitAll();
    attempts();
    desk.vote(gid, "b2", "yes", 9);
    desk.commitAll();
    attempts();
    // Another address is fine: what is owed is told there.
    expect(put(desk, "service/hotel", serviceBytes({ ...SPEC, url: "http://127.0.0.1:8081/" }))).toMatchObject({ kind: "put" });
    desk.done(gid, "b2", "commit", 9);
    desk.pass(100);
    desk.commitAll();
    expect(put(desk, "service/hotel", new Uint8Array(0))).toMatchObject({ kind: "put" });
  });

  test("survives a checkpoint: the restored state has the same services", () => {
    const desk = withService();
    const before = desk.state.services();
    desk.state.restore([...desk.state.takeChanges()]);
    expect([...desk.state.services().values()]).toEqual([...before.values()]);
    expect(desk.state.services()).not.toBe(before);
  });
});
