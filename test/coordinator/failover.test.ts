import { describe, expect, test } from "vitest";
import { asked, brought, Desk } from "./desk.js";

const TWO = [asked("b1"), asked("b2", "stock")];

describe("a new leader", () => {
  test("carries sealed transactions on: it asks again with the recorded payloads and aborts nothing", () => {
    const desk = new Desk();
    const gid = desk.gid();
    desk.commit(gid, TWO);
    desk.commitAll();
    desk.vote(gid, "b1", "yes");
    desk.resign();
    desk.takeCalls();
    desk.establish();
    expect(desk.kinds).toEqual([]);
    expect(desk.calls).toMatchObject([
      { instance: 1, phase: "prepare", gid, branch: "b1", epoch: 2, payload: Uint8Array.of(1, 2, 3) },
      { instance: 2, phase: "prepare", gid, branch: "b2", epoch: 2, payload: Uint8Array.of(1, 2, 3) },
    ]);
    desk.vote(gid, "b1", "yes");
    desk.vote(gid, "b2", "yes", 2);
    expect(desk.kinds).toEqual(["DECIDE commit"]);
  });

  test("decides at once what has every vote in its record", () => {
    const desk = new Desk();
    const gid = desk.gid();
    desk.commit(gid, [brought("b1"), brought("b2", "stock")]);
    desk.commitOne();
    desk.resign();
    desk.establish();
    expect(desk.kinds).toEqual(["DECIDE commit"]);
    desk.commitAll();
    expect(desk.takeCalls()).toEqual(["1 commit b1", "2 commit b2"]);
  });

  test("tells decided transactions again, but not branches that acknowledged", () => {
    const desk = new Desk();
    const gid = desk.gid();
    desk.commit(gid, TWO);
    desk.vote(gid, "b1", "yes");
    desk.vote(gid, "b2", "yes", 2);
    desk.commitAll();
    desk.done(gid, "b1", "commit");
    desk.pass(50);
    desk.commitAll();
    desk.resign();
    desk.takeCalls();
    desk.establish();
    expect(desk.takeCalls()).toEqual(["2 commit b2"]);
  });

  test("never commits what was open: without a Commit it may only be aborted, and only by its timeout", () => {
    const desk = new Desk();
    const gid = desk.gid();
    desk.open(gid, [brought("b1")]);
    desk.pass(8_000);
    desk.resign();
    desk.establish();
    expect(desk.takeCalls()).toEqual([]);
    desk.pass(9_900);
    expect(desk.kinds.filter((kind) => kind !== "FLOOR")).toEqual([]);
    desk.pass(200);
    expect(desk.kinds.filter((kind) => kind !== "FLOOR")).toEqual(["DECIDE abort timeout"]);
  });

  test("gives sealed transactions their full timeout again", () => {
    const desk = new Desk();
    const gid = desk.gid();
    desk.commit(gid, TWO);
    desk.commitAll();
    desk.pass(9_900);
    desk.resign();
    desk.establish();
    desk.pass(9_900);
    expect(desk.kinds.filter((kind) => kind !== "FLOOR")).toEqual([]);
    desk.pass(200);
    expect(desk.kinds.filter((kind) => kind !== "FLOOR")).toEqual(["DECIDE abort timeout"]);
  });

  test("takes many transactions up in slices, and is not held up by any of them", () => {
    const desk = new Desk();
    const gids = Array.from({ length: 5_000 }, () => desk.gid());
    for (const gid of gids)
      desk.inject({ kind: "BEGIN", gid, client: "", timeoutMs: 10_000, branches: [asked("b1")], votes: [], delegated: false });
    desk.resign();
    desk.calls = [];
    desk.establish();
    expect(desk.calls.length).toBe(2_000);
    expect(desk.wakeAtMs).toBeLessThanOrEqual(desk.nowMs);
    const last = gids[4_999] ?? desk.gid();
    desk.commit(last, [asked("b1")]);
    for (let i = 0; i < 3; i++) desk.drain();
    expect(new Set(desk.calls.map((call) => call.gid)).size).toBe(5_000);
    expect(desk.calls.length).toBe(5_000);
    expect(desk.wakeAtMs).toBeGreaterThan(desk.nowMs);
  });

  test("registers participants that attached before it led", () => {
    const desk = new Desk();
    desk.resign();
    desk.coordinator.instanceUp(3, "billing", "postgres", desk.nowMs);
    desk.drain();
    expect(desk.proposed).toEqual([]);
    desk.establish();
    expect(desk.proposed).toEqual([{ kind: "REGISTER", participant: "billing", participantKind: "postgres" }]);
  });
});

describe("a leader that resigns", () => {
  test("answers everybody that the outcome is unknown, and sends and proposes nothing more", () => {
    const desk = new Desk();
    const [first, second] = [desk.gid(), desk.gid()];
    desk.commit(first, TWO, {}, 1);
    desk.request({ kind: "open", gid: second, client: "", timeoutMs: 0, branches: [] }, 7, 2);
    desk.request({ kind: "noop" }, 7, 3);
    const put = { client: "0192f0c1a2b37c4d8e9f0a1b2c3d4e5f", seq: 1, ackBelow: 0 };
    desk.request({ kind: "put", request: put, name: "k", value: new Uint8Array(1), expect: undefined }, 7, 4);
    desk.coordinator.request(7, 5, { kind: "abort", gid: second }, desk.nowMs);
    desk.proposed = [];
    desk.takeCalls();
    desk.resign();
    expect(desk.proposed).toEqual([]);
    expect(desk.takeCalls()).toEqual([]);
    const answers = desk.takeAnswers();
    expect(answers).toHaveLength(5);
    for (const answer of answers) {
      expect(answer).toMatchObject({ kind: "error", code: "QUORATE_OUTCOME_UNKNOWN", outcome: "unknown", retry: "same-request-id" });
    }
    desk.vote(first, "b1", "yes");
    desk.pass(30_000);
    expect(desk.proposed).toEqual([]);
    expect(desk.takeCalls()).toEqual([]);
    expect(desk.coordinator.counts().waiting).toBe(0);
  });

  test("refuses what needs a leader and goes on reading", () => {
    const desk = new Desk();
    const gid = desk.gid();
    desk.commit(gid, [asked("b1")]);
    desk.commitAll();
    desk.resign();
    desk.takeAnswers();
    desk.commit(gid, [asked("b1")]);
    desk.request({ kind: "outcome", gid, wait: true }, 7, 2);
    desk.request({ kind: "outcome", gid, wait: false }, 7, 3);
    desk.request({ kind: "read", name: "k" }, 7, 4);
    desk.request({ kind: "list", state: "in-doubt", limit: 10 }, 7, 5);
    expect(desk.takeAnswers()).toMatchObject([
      { kind: "error", code: "QUORATE_NOT_LEADER", retry: "safe" },
      { kind: "error", code: "QUORATE_NOT_LEADER", retry: "safe" },
      { kind: "transaction", transaction: { gid, state: "preparing" } },
      { kind: "read", value: undefined, version: undefined },
      { kind: "transactions", transactions: [{ gid }] },
    ]);
  });
});

describe("a lost client", () => {
  const CLIENT = "0192f0c1a2b37c4d8e9f0a1b2c3d4e5f";

  test("has its open transactions aborted when its last stream stays lost, not when it comes back in time", () => {
    const desk = new Desk();
    desk.coordinator.clientUp(1, CLIENT, desk.nowMs);
    desk.coordinator.clientUp(2, CLIENT, desk.nowMs);
    desk.open(desk.gid(), [brought("b1")], CLIENT);
    desk.coordinator.clientDown(1, desk.nowMs);
    desk.pass(3_000);
    desk.coordinator.clientDown(2, desk.nowMs);
    desk.pass(1_900);
    desk.coordinator.clientUp(3, CLIENT, desk.nowMs);
    desk.pass(3_000);
    expect(desk.kinds.filter((kind) => kind !== "FLOOR")).toEqual([]);
    desk.coordinator.clientDown(3, desk.nowMs);
    desk.drain();
    desk.pass(1_950);
    expect(desk.kinds.filter((kind) => kind !== "FLOOR")).toEqual([]);
    desk.pass(100);
    expect(desk.kinds.filter((kind) => kind !== "FLOOR")).toEqual(["DECIDE abort client-lost"]);
  });

  test("loses nothing that is sealed, and a unary caller has no stream to lose", () => {
    const desk = new Desk();
    desk.coordinator.clientUp(1, CLIENT, desk.nowMs);
    const sealed = desk.gid();
    desk.open(sealed, [brought("b1")], CLIENT);
    desk.open(desk.gid(), [brought("b1")], "");
    desk.commit(sealed, [brought("b1"), asked("b2", "stock")]);
    desk.commitAll();
    desk.coordinator.clientDown(1, desk.nowMs);
    desk.pass(5_000);
    expect(desk.kinds.filter((kind) => kind !== "FLOOR")).toEqual([]);
  });

  test("loses nothing whose Commit is on its way into the log", () => {
    const desk = new Desk();
    desk.coordinator.clientUp(1, CLIENT, desk.nowMs);
    const gid = desk.gid();
    desk.open(gid, [brought("b1")], CLIENT);
    desk.commit(gid, [brought("b1"), asked("b2", "stock")]);
    desk.coordinator.clientDown(1, desk.nowMs);
    desk.pass(5_000);
    expect(desk.kinds.filter((kind) => kind !== "FLOOR")).toEqual(["BEGIN"]);
  });

  test("has the same time to find a new leader", () => {
    const desk = new Desk();
    desk.coordinator.clientUp(1, CLIENT, desk.nowMs);
    desk.open(desk.gid(), [brought("b1")], CLIENT);
    desk.resign();
    desk.coordinator.clientDown(1, desk.nowMs);
    desk.pass(4_000);
    desk.establish();
    desk.pass(1_900);
    expect(desk.kinds).toEqual([]);
    desk.pass(200);
    expect(desk.kinds).toEqual(["DECIDE abort client-lost"]);
  });
});
