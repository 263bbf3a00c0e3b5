import { describe, expect, test } from "vitest";
import { newGid, Prng } from "../../src/base/index.js";
import { asked, Desk } from "./desk.js";

describe("a branch in doubt", () => {
  test("gets a recorded decision from any node", () => {
    const desk = new Desk();
    const [committed, aborted] = [desk.gid(), desk.gid()];
    desk.commit(committed, [asked("b1"), asked("b2", "stock")], {}, 1);
    desk.vote(committed, "b1", "yes");
    desk.vote(committed, "b2", "read-only", 2);
    desk.commit(aborted, [asked("b1")], {}, 2);
    desk.vote(aborted, "b1", "no");
    desk.commitAll();
    for (const leading of [true, false]) {
      if (!leading) desk.resign();
      expect(desk.inquire(committed, "b1")).toBe("commit");
      expect(desk.inquire(aborted, "b1")).toBe("rollback");
    }
  });

  test("recorded as read-only, or not named by the commit, is a duplicate and rolled back", () => {
    const desk = new Desk();
    const gid = desk.gid();
    desk.commit(gid, [asked("b1"), asked("b2", "stock")]);
    desk.vote(gid, "b1", "yes");
    desk.vote(gid, "b2", "read-only", 2);
    desk.commitAll();
    expect(desk.inquire(gid, "b2", 2)).toBe("rollback");
    expect(desk.inquire(gid, "b3", 1)).toBe("rollback");
    // The same id at another participant is another branch.
    expect(desk.inquire(gid, "b1", 2)).toBe("rollback");
    desk.done(gid, "b1", "commit");
    desk.pass(50);
    desk.commitAll();
    expect(desk.state.counts().finished).toBe(1);
    expect(desk.inquire(gid, "b1")).toBe("commit");
    expect(desk.inquire(gid, "b2", 2)).toBe("rollback");
  });

  test("of an undecided transaction waits; a follower sends it to the leader", () => {
    const desk = new Desk();
    const [sealed, onItsWay] = [desk.gid(), desk.gid()];
    desk.commit(sealed, [asked("b1")], {}, 1);
    desk.commitAll();
    desk.commit(onItsWay, [asked("b1")], {}, 2);
    expect(desk.inquire(sealed, "b1")).toBe("pending");
    expect(desk.inquire(onItsWay, "b1")).toBe("pending");
    desk.resign();
    expect(desk.inquire(sealed, "b1")).toBe("ask-leader");
    expect(desk.inquire(onItsWay, "b1")).toBe("ask-leader");
  });

  test("of an unrecorded gid waits inside the window plus margin; then the leader writes the abort and answers when it is applied", () => {
    const desk = new Desk();
    const gid = desk.gid();
    expect(desk.inquire(gid, "b1")).toBe("wait");
    desk.pass(6_000);
    expect(desk.inquire(gid, "b1")).toBe("wait");
    desk.pass(1);
    expect(desk.inquire(gid, "b1")).toBeUndefined();
    expect(desk.inquire(gid, "b2", 2)).toBeUndefined();
    expect(desk.kinds).toEqual(["DECIDE abort inquiry"]);
    desk.commitAll();
    expect(desk.inquiryAnswers).toEqual([
      { gid, branch: "b1", answer: "rollback", instance: 1 },
      { gid, branch: "b2", answer: "rollback", instance: 2 },
    ]);
    expect(desk.state.lookup(gid)).toMatchObject({ kind: "outcome", outcome: { decision: "abort", reason: "inquiry" } });
  });

  test("of an unrecorded gid from the future of this clock, by any distance, ages from the first question", () => {
    for (const aheadMs of [30_000, 86_400_000]) {
      const desk = new Desk();
      const gid = newGid(desk.stampMs + aheadMs, new Prng(aheadMs).uint32);
      expect(desk.inquire(gid, "b1")).toBe("wait");
      desk.pass(6_000);
      expect(desk.inquire(gid, "b1")).toBe("wait");
      desk.pass(1);
      expect(desk.inquire(gid, "b1")).toBeUndefined();
      expect(desk.kinds).toEqual(["DECIDE abort inquiry"]);
      desk.commitAll();
      expect(desk.inquiryAnswers).toMatchObject([{ gid, branch: "b1", answer: "rollback" }]);
    }
  });

  test("of an unrecorded gid learns nothing from a follower, however old", () => {
    const desk = new Desk();
    const gid = desk.gid();
    desk.resign();
    desk.nowMs += 1_000_000;
    expect(desk.inquire(gid, "b1")).toBe("ask-leader");
    expect(desk.proposed).toEqual([]);
  });

  test("of a gid below the applied floor without a record rolls back, on any node", () => {
    const desk = new Desk();
    const gid = desk.gid();
    desk.pass(20_000);
    desk.inject({ kind: "FLOOR", timeMs: desk.stampMs - 10_000 });
    expect(desk.inquire(gid, "b1")).toBe("rollback");
    desk.resign();
    expect(desk.inquire(gid, "b1")).toBe("rollback");
  });

  test("is answered with the decision in force when that is not the abort it caused", () => {
    const desk = new Desk();
    const gid = desk.gid();
    desk.pass(6_500);
    desk.inquire(gid, "b1");
    const proposed = desk.proposed;
    desk.proposed = [];
    // The gid was opened, sealed and committed before the abort reached the log.
    desk.inject({ kind: "OPEN", gid, client: "", timeoutMs: 10_000, branches: [asked("b1")] });
    desk.inject({ kind: "BEGIN", gid, client: "", timeoutMs: 10_000, branches: [asked("b1")], votes: [], delegated: false });
    desk.inject({ kind: "DECIDE", gid, decision: "commit", reason: undefined, detail: "", yes: ["b1"], readOnly: [], refusedBy: "" });
    for (const command of proposed) desk.inject(command);
    expect(desk.inquiryAnswers).toMatchObject([{ gid, branch: "b1", answer: "commit" }]);
  });

  test("whose question was lost with the leadership or not taken is told to ask again", () => {
    const desk = new Desk();
    const gid = desk.gid();
    desk.pass(6_500);
    desk.inquire(gid, "b1");
    desk.refuseAll();
    expect(desk.inquiryAnswers).toMatchObject([{ answer: "wait" }]);
    desk.inquire(gid, "b1");
    desk.resign();
    expect(desk.inquiryAnswers).toMatchObject([{ answer: "ask-leader" }]);
  });

  test("of a foreign gid is never decided", () => {
    const desk = new Desk();
    desk.pass(60_000);
    desk.proposed = [];
    expect(desk.inquire("someone-elses-gid" as ReturnType<Desk["gid"]>, "b1")).toBe("wait");
    expect(desk.proposed).toEqual([]);
  });
});

test("a late yes for a decided transaction is answered with its outcome at once", () => {
  const desk = new Desk();
  const gid = desk.gid();
  desk.request({ kind: "abort", gid });
  desk.commitAll();
  desk.takeCalls();
  desk.vote(gid, "b1", "yes");
  expect(desk.takeCalls()).toEqual(["1 rollback b1"]);
});

test("a repeated prepare that does read-only work again counts before the decision is proposed, and is rolled back after it", () => {
  const desk = new Desk();
  const [before, after] = [desk.gid(), desk.gid()];
  desk.commit(before, [asked("b1"), asked("b2", "stock")], {}, 1);
  desk.vote(before, "b1", "read-only");
  desk.vote(before, "b1", "yes");
  desk.vote(before, "b2", "yes", 2);
  expect(desk.proposed.at(-1)).toMatchObject({ kind: "DECIDE", yes: ["b1", "b2"], readOnly: [], refusedBy: "" });
  desk.commit(after, [asked("b1")], {}, 2);
  desk.vote(after, "b1", "read-only");
  desk.vote(after, "b1", "yes");
  expect(desk.proposed.at(-1)).toMatchObject({ kind: "DECIDE", yes: [], readOnly: ["b1"] });
  desk.calls = [];
  desk.commitAll();
  expect(desk.calls.filter(({ gid }) => gid === after)).toMatchObject([{ phase: "rollback", branch: "b1" }]);
});
