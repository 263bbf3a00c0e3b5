import { describe, expect, test } from "vitest";
import { asked, Desk } from "./desk.js";

/** A transaction committed by yes of `b1` at orders, told to instance 1. */
function committed(desk: Desk): ReturnType<Desk["gid"]> {
  const gid = desk.gid();
  desk.commit(gid, [asked("b1")]);
  desk.vote(gid, "b1", "yes");
  desk.commitAll();
  desk.takeCalls();
  return gid;
}

describe("calls", () => {
  test("wait for an instance, and go out when one attaches", () => {
    const desk = new Desk();
    desk.coordinator.instanceDown(1, desk.nowMs);
    const gid = desk.gid();
    desk.commit(gid, [asked("b1")]);
    expect(desk.takeCalls()).toEqual([]);
    desk.pass(3_000);
    desk.coordinator.instanceUp(5, "orders", "kv", desk.nowMs);
    desk.drain();
    expect(desk.takeCalls()).toEqual(["5 prepare b1"]);
  });

  test("unanswered are sent again after the call timeout, to another instance if there is one", () => {
    const desk = new Desk();
    desk.coordinator.instanceUp(5, "orders", "kv", desk.nowMs);
    const gid = desk.gid();
    desk.commit(gid, [asked("b1")]);
    expect(desk.takeCalls()).toEqual(["1 prepare b1"]);
    desk.pass(4_990);
    expect(desk.takeCalls()).toEqual([]);
    desk.pass(250);
    expect(desk.takeCalls()).toEqual(["5 prepare b1"]);
  });

  test("of an instance that goes are sent to another at once, or wait", () => {
    const desk = new Desk();
    desk.coordinator.instanceUp(5, "orders", "kv", desk.nowMs);
    const gid = desk.gid();
    desk.commit(gid, [asked("b1")]);
    desk.takeCalls();
    desk.coordinator.instanceDown(1, desk.nowMs);
    desk.drain();
    expect(desk.takeCalls()).toEqual(["5 prepare b1"]);
    desk.coordinator.instanceDown(5, desk.nowMs);
    desk.drain();
    expect(desk.takeCalls()).toEqual([]);
    desk.coordinator.instanceUp(6, "orders", "kv", desk.nowMs);
    desk.drain();
    expect(desk.takeCalls()).toEqual(["6 prepare b1"]);
  });

  test("stay with one instance from prepare to commit, and are spread over instances between transactions", () => {
    const desk = new Desk();
    desk.coordinator.instanceUp(5, "orders", "kv", desk.nowMs);
    const calls = [0, 1].map((request) => {
      const gid = desk.gid();
      desk.commit(gid, [asked("b1")], {}, request);
      desk.vote(gid, "b1", "yes", 1);
      desk.commitAll();
      return desk.takeCalls();
    });
    expect(calls).toEqual([
      ["1 prepare b1", "1 commit b1"],
      ["5 prepare b1", "5 commit b1"],
    ]);
  });

  test("that failed back off with full jitter: exponential, bounded, never early", () => {
    const desk = new Desk({ attemptsBeforePause: 100, retryDelayMsMin: 100, retryDelayMsMax: 1_000, breakerFailures: 1_000 });
    const gid = committed(desk);
    const waits: number[] = [];
    for (let i = 0; i < 12; i++) {
      desk.fail(gid, "b1", "commit");
      const from = desk.nowMs;
      for (let waited = 0; desk.calls.length === 0 && waited < 2_000; waited += 5) desk.pass(5);
      waits.push(desk.nowMs - from);
      desk.takeCalls();
    }
    expect(Math.min(...waits)).toBeGreaterThanOrEqual(100);
    expect(waits[0]).toBeLessThan(220);
    expect(Math.max(...waits)).toBeLessThan(1_020);
    expect(Math.max(...waits)).toBeGreaterThan(400);
  });

  test("are numbered by attempt and carry the leader's epoch and no payload after prepare", () => {
    const desk = new Desk();
    const gid = desk.gid();
    desk.commit(gid, [asked("b1")]);
    desk.fail(gid, "b1", "prepare");
    desk.pass(250);
    desk.vote(gid, "b1", "yes");
    desk.commitAll();
    expect(desk.calls.map(({ phase, attempt, epoch, payload }) => [phase, attempt, epoch, payload.length])).toEqual([
      ["prepare", 1, 1, 3],
      ["prepare", 2, 1, 3],
      ["commit", 1, 1, 0],
    ]);
  });

  test("a reply to an earlier phase settles nothing", () => {
    const desk = new Desk();
    const gid = committed(desk);
    desk.done(gid, "b1", "rollback");
    desk.vote(gid, "b1", "yes");
    desk.takeCalls();
    desk.pass(5_300);
    expect(desk.takeCalls()).toEqual(["1 commit b1"]);
  });
});

describe("a branch that keeps failing", () => {
  test("is paused with an alarm, never forgotten, and goes on when its participant attaches", () => {
    const desk = new Desk({ attemptsBeforePause: 3 });
    const gid = committed(desk);
    for (let i = 0; i < 3; i++) {
      desk.fail(gid, "b1", "commit");
      desk.pass(1_000);
    }
    expect(desk.alarms).toMatchObject([{ name: "branch-paused", gid, branch: "b1" }]);
    expect(desk.alarms[0]?.message).toContain("lock wait timeout");
    expect(desk.coordinator.counts()).toMatchObject({ paused: 1, inDoubt: 1 });
    desk.takeCalls();
    desk.pass(120_000);
    expect(desk.takeCalls()).toEqual([]);
    desk.coordinator.instanceUp(9, "orders", "kv", desk.nowMs);
    desk.drain();
    expect(desk.takeCalls()).toEqual(["1 commit b1"]);
    expect(desk.alarms.at(-1)).toMatchObject({ name: "branch-unpaused", gid });
    desk.done(gid, "b1", "commit");
    desk.pass(50);
    desk.proposed = desk.proposed.filter(({ kind }) => kind === "DONE");
    desk.commitAll();
    expect(desk.coordinator.counts()).toMatchObject({ paused: 0, inDoubt: 0 });
  });

  test("goes on when an operator asks for a retry", () => {
    const desk = new Desk({ attemptsBeforePause: 1 });
    const gid = committed(desk);
    desk.fail(gid, "b1", "commit");
    expect(desk.coordinator.counts().paused).toBe(1);
    desk.request({ kind: "retry", gid }, 7, 9);
    expect(desk.takeAnswers().at(-1)).toEqual({ kind: "ok" });
    expect(desk.takeCalls()).toEqual(["1 commit b1"]);
    expect(desk.coordinator.counts().paused).toBe(0);
  });

  test("is not hurried by the successes of others", () => {
    const desk = new Desk({ attemptsBeforePause: 50 });
    const poison = committed(desk);
    for (let i = 0; i < 20; i++) {
      desk.fail(poison, "b1", "commit");
      desk.takeCalls();
      const other = committed(desk);
      desk.done(other, "b1", "commit");
      desk.pass(10);
    }
    expect(desk.takeCalls().length).toBeLessThanOrEqual(1);
  });
});

describe("the breaker of a participant", () => {
  test("opens after failures in a row, lets one probe through at a time, and one success sends everything that waits", () => {
    const desk = new Desk({
      breakerFailures: 3,
      breakerOpenMs: 2_000,
      attemptsBeforePause: 100,
      retryDelayMsMin: 100,
      retryDelayMsMax: 200,
    });
    const gids = [0, 1, 2, 3, 4].map(() => committed(desk));
    for (const gid of gids.slice(0, 3)) desk.fail(gid, "b1", "commit");
    desk.takeCalls();
    desk.pass(1_900);
    expect(desk.takeCalls()).toEqual([]);
    desk.fail(gids[3] ?? desk.gid(), "b1", "commit");
    desk.fail(gids[4] ?? desk.gid(), "b1", "commit");
    desk.pass(150);
    const [probe] = desk.calls;
    expect(desk.takeCalls()).toHaveLength(1);
    desk.done(probe?.gid ?? desk.gid(), "b1", "commit");
    expect(desk.calls.map(({ gid }) => gid).sort()).toEqual(gids.filter((gid) => gid !== probe?.gid).sort());
  });

  test("sends another probe when the last one is given up without a reply", () => {
    const desk = new Desk({ breakerFailures: 1, breakerOpenMs: 500, attemptsBeforePause: 100 });
    const [first, second] = [committed(desk), committed(desk)];
    desk.fail(first, "b1", "commit");
    desk.fail(second, "b1", "commit");
    desk.pass(520);
    const [probe] = desk.calls;
    desk.takeCalls();
    desk.request({ kind: "resolve", gid: probe?.gid ?? desk.gid(), branch: "b1", outcome: "committed", by: "admin", note: "" }, 7, 9);
    desk.commitAll();
    desk.pass(6_000);
    expect(desk.calls.map(({ gid }) => gid)).toContain(probe?.gid === first ? second : first);
  });

  test("does not count the loss of an instance as a failure", () => {
    const desk = new Desk({ breakerFailures: 1 });
    committed(desk);
    desk.coordinator.instanceDown(1, desk.nowMs);
    desk.coordinator.instanceUp(5, "orders", "kv", desk.nowMs);
    desk.drain();
    expect(desk.takeCalls()).toEqual(["5 commit b1"]);
  });
});
