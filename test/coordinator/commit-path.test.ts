import { describe, expect, test } from "vitest";
import { asked, brought, Desk } from "./desk.js";

const TWO = [asked("b1"), asked("b2", "stock")];

describe("commit", () => {
  test("sends PREPARE in parallel with BEGIN, without waiting for it", () => {
    const desk = new Desk();
    const gid = desk.gid();
    desk.commit(gid, TWO);
    expect(desk.kinds).toEqual(["BEGIN"]);
    expect(desk.calls).toMatchObject([
      { instance: 1, phase: "prepare", gid, branch: "b1", epoch: 1, attempt: 1, payload: Uint8Array.of(1, 2, 3) },
      { instance: 2, phase: "prepare", gid, branch: "b2" },
    ]);
  });

  test("is proposed only with a vote of every branch: a repeated yes of one does not count for another", () => {
    const desk = new Desk();
    const gid = desk.gid();
    desk.commit(gid, TWO);
    desk.commitAll();
    desk.vote(gid, "b1", "yes");
    desk.vote(gid, "b1", "yes");
    desk.vote(gid, "b9", "yes");
    expect(desk.kinds).toEqual([]);
    desk.vote(gid, "b2", "read-only", 2);
    expect(desk.proposed).toMatchObject([{ kind: "DECIDE", decision: "commit", yes: ["b1"], readOnly: ["b2"] }]);
  });

  test("is answered and told only from the applied decision, and only to yes voters", () => {
    const desk = new Desk();
    const gid = desk.gid();
    desk.commit(gid, TWO);
    desk.commitAll();
    desk.takeCalls();
    desk.vote(gid, "b1", "yes");
    desk.vote(gid, "b2", "read-only", 2);
    expect(desk.takeAnswers()).toEqual([]);
    expect(desk.takeCalls()).toEqual([]);
    desk.commitAll();
    expect(desk.takeAnswers()).toMatchObject([{ kind: "decided", gid, decision: "commit" }]);
    expect(desk.takeCalls()).toEqual(["1 commit b1"]);
  });

  test("does not wait for BEGIN to be applied before it decides: the log keeps them in order", () => {
    const desk = new Desk();
    const gid = desk.gid();
    desk.commit(gid, TWO);
    desk.vote(gid, "b1", "yes");
    desk.vote(gid, "b2", "yes", 2);
    expect(desk.kinds).toEqual(["BEGIN", "DECIDE commit"]);
    desk.commitAll();
    expect(desk.takeAnswers()).toMatchObject([{ kind: "decided", decision: "commit" }]);
  });

  test("with every vote brought travels as BEGIN and DECIDE in one batch", () => {
    const desk = new Desk();
    const gid = desk.gid();
    desk.open(gid, [brought("b1")]);
    desk.takeAnswers();
    desk.commit(gid, [brought("b1"), brought("b2", "stock")]);
    expect(desk.kinds).toEqual(["BEGIN", "DECIDE commit"]);
    expect(desk.takeCalls()).toEqual([]);
    desk.commitAll();
    expect(desk.takeAnswers()).toMatchObject([{ kind: "decided", decision: "commit" }]);
    expect(desk.takeCalls()).toEqual(["1 commit b1", "2 commit b2"]);
  });

  test("asks only for the votes that Commit does not bring", () => {
    const desk = new Desk();
    const gid = desk.gid();
    desk.commit(gid, [brought("b1"), asked("b2", "stock")]);
    expect(desk.takeCalls()).toEqual(["2 prepare b2"]);
    desk.vote(gid, "b2", "yes", 2);
    expect(desk.proposed.at(-1)).toMatchObject({ kind: "DECIDE", yes: ["b1", "b2"] });
  });

  test("repeated attaches another waiter and proposes nothing; all are answered", () => {
    const desk = new Desk();
    const gid = desk.gid();
    desk.commit(gid, [asked("b1")], {}, 1);
    desk.commit(gid, [asked("b1")], {}, 2, 8);
    desk.commit(gid, [asked("b1")], {}, 1);
    expect(desk.kinds).toEqual(["BEGIN"]);
    expect(desk.takeCalls()).toEqual(["1 prepare b1"]);
    desk.commit(gid, [asked("b1"), asked("b2")], {}, 3);
    expect(desk.takeAnswers()).toMatchObject([{ kind: "error", code: "QUORATE_BRANCH_MISMATCH", outcome: "unknown" }]);
    desk.vote(gid, "b1", "yes");
    desk.commitAll();
    expect(desk.answers.map(({ session, request }) => `${session}/${request}`)).toEqual(["7/1", "8/2"]);
    expect(desk.coordinator.counts().waiting).toBe(0);
  });

  test("of a decided gid is answered with the decision, unfinished or finished", () => {
    const desk = new Desk();
    const gid = desk.gid();
    desk.commit(gid, [asked("b1")]);
    desk.vote(gid, "b1", "yes");
    desk.commitAll();
    desk.takeAnswers();
    desk.commit(gid, [asked("b1")], {}, 2);
    desk.done(gid, "b1", "commit");
    desk.pass(50);
    desk.commitAll();
    expect(desk.state.counts().finished).toBe(1);
    desk.commit(gid, [asked("b1")], {}, 3);
    expect(desk.takeAnswers()).toMatchObject([
      { kind: "decided", decision: "commit" },
      { kind: "decided", decision: "commit" },
    ]);
    expect(desk.proposed).toEqual([]);
  });
});

describe("abort", () => {
  test("follows from one no, through the log, and names the branch; every branch is rolled back after it is applied", () => {
    const desk = new Desk();
    const gid = desk.gid();
    desk.commit(gid, TWO);
    desk.commitAll();
    desk.vote(gid, "b2", "yes", 2);
    desk.takeCalls();
    desk.vote(gid, "b1", "no", 1, "out of stock");
    expect(desk.kinds).toEqual(["DECIDE abort vote-no"]);
    expect(desk.takeAnswers()).toEqual([]);
    expect(desk.takeCalls()).toEqual([]);
    desk.commitAll();
    expect(desk.takeAnswers()).toMatchObject([
      { kind: "decided", decision: "abort", reason: "vote-no", detail: 'branch "b1" of participant "orders" voted no: out of stock' },
    ]);
    expect(desk.takeCalls().sort()).toEqual(["1 rollback b1", "2 rollback b2"]);
  });

  test("follows from the timeout, on the leader's own clock, and names the missing vote", () => {
    const desk = new Desk();
    const gid = desk.gid();
    desk.commit(gid, TWO);
    desk.commitAll();
    desk.vote(gid, "b1", "yes");
    desk.pass(9_990);
    expect(desk.kinds).toEqual([]);
    desk.pass(30);
    expect(desk.kinds).toEqual(["DECIDE abort timeout"]);
    desk.commitAll();
    const [answer] = desk.takeAnswers();
    expect(answer).toMatchObject({ kind: "decided", decision: "abort", reason: "timeout" });
    expect(answer?.kind === "decided" && answer.detail).toContain('no vote of branch "b2" of participant "stock"');
  });

  test("is never proposed after a commit is: its outcome is whatever is chosen", () => {
    const desk = new Desk();
    const gid = desk.gid();
    desk.commit(gid, [asked("b1")]);
    desk.commitAll();
    desk.vote(gid, "b1", "yes");
    desk.vote(gid, "b1", "no");
    desk.request({ kind: "abort", gid }, 7, 2);
    desk.pass(20_000);
    expect(desk.kinds.filter((kind) => kind !== "FLOOR")).toEqual(["DECIDE commit"]);
    expect(desk.alarms).toMatchObject([{ name: "vote-changed", gid, branch: "b1" }]);
    desk.commitAll();
    expect(desk.takeAnswers()).toMatchObject([
      { kind: "decided", decision: "commit" },
      { kind: "error", code: "QUORATE_ALREADY_DECIDED", outcome: "committed" },
    ]);
  });

  test("asked for by the client is answered when it is decided; of a decided gid with the decision in force", () => {
    const desk = new Desk();
    const gid = desk.gid();
    desk.open(gid, [brought("b1")]);
    desk.takeAnswers();
    desk.request({ kind: "abort", gid });
    expect(desk.takeAnswers()).toEqual([]);
    desk.commitAll();
    expect(desk.takeAnswers()).toMatchObject([{ kind: "decided", decision: "abort", reason: "client" }]);
    expect(desk.takeCalls()).toEqual(["1 rollback b1"]);
    desk.request({ kind: "abort", gid }, 7, 2);
    expect(desk.takeAnswers()).toMatchObject([{ kind: "decided", decision: "abort" }]);
  });

  test("of an unknown gid leaves a record, so that a Commit under way loses", () => {
    const desk = new Desk();
    const gid = desk.gid();
    desk.request({ kind: "abort", gid });
    desk.commit(gid, [asked("b1")], {}, 2);
    expect(desk.kinds).toEqual(["DECIDE abort client"]);
    desk.commitAll();
    expect(desk.takeAnswers()).toMatchObject([
      { kind: "decided", decision: "abort" },
      { kind: "decided", decision: "abort" },
    ]);
    expect(desk.state.lookup(gid)).toMatchObject({ kind: "outcome", outcome: { decision: "abort" } });
    expect(desk.takeCalls()).toEqual([]);
  });

  test("wins over a Commit that was sent behind it: what was asked is rolled back", () => {
    const desk = new Desk();
    const gid = desk.gid();
    desk.commit(gid, TWO);
    desk.takeCalls();
    desk.inject({ kind: "DECIDE", gid, decision: "abort", reason: "inquiry", detail: "", yes: [], readOnly: [], refusedBy: "" });
    expect(desk.takeAnswers()).toMatchObject([{ kind: "decided", decision: "abort", reason: "inquiry" }]);
    desk.commitAll();
    expect(desk.takeCalls().sort()).toEqual(["1 rollback b1", "2 rollback b2"]);
    desk.done(gid, "b1", "rollback");
    desk.done(gid, "b2", "rollback", 2);
    desk.pass(100);
    expect(desk.kinds).toEqual([]);
    expect(desk.coordinator.counts()).toMatchObject({ waiting: 0, inDoubt: 0 });
  });
});

describe("a Commit that cannot start", () => {
  test("outside the window is fenced by an abort record and answered as expired when that is decided", () => {
    const desk = new Desk();
    const gid = desk.gid();
    desk.pass(5_001);
    desk.commit(gid, [asked("b1")]);
    expect(desk.kinds).toEqual(["DECIDE abort timeout"]);
    expect(desk.takeCalls()).toEqual([]);
    expect(desk.takeAnswers()).toEqual([]);
    desk.commitAll();
    expect(desk.takeAnswers()).toMatchObject([{ kind: "error", code: "QUORATE_EXPIRED", outcome: "aborted", retry: "never" }]);
  });

  test("because the window closed on its way releases what was asked", () => {
    const desk = new Desk();
    const gid = desk.gid();
    desk.pass(4_990);
    desk.commit(gid, [asked("b1")]);
    desk.vote(gid, "b1", "yes");
    desk.takeCalls();
    desk.nowMs += 100;
    desk.commitAll();
    expect(desk.takeAnswers()).toMatchObject([{ kind: "error", code: "QUORATE_EXPIRED", outcome: "aborted" }]);
    expect(desk.takeCalls()).toEqual(["1 rollback b1"]);
  });

  test("below the floor is expired and its outcome is not claimed to be known", () => {
    const desk = new Desk();
    const gid = desk.gid();
    desk.pass(20_000);
    desk.inject({ kind: "FLOOR", timeMs: desk.stampMs - 10_000 });
    for (const [i, body] of [
      { kind: "commit" as const, gid, client: "", timeoutMs: 0, branches: [asked("b1")], votes: [] },
      { kind: "abort" as const, gid },
      { kind: "enlist" as const, gid, branch: asked("b1") },
      { kind: "open" as const, gid, client: "", timeoutMs: 0, branches: [] },
    ].entries()) {
      desk.request(body, 7, i);
      expect(desk.takeAnswers()).toMatchObject([{ kind: "error", code: "QUORATE_EXPIRED", outcome: "unknown", retry: "never" }]);
    }
    expect(desk.proposed).toEqual([]);
  });

  test("without an enlisted branch is refused before anybody is asked", () => {
    const desk = new Desk();
    const gid = desk.gid();
    desk.open(gid, [asked("b1")]);
    desk.takeAnswers();
    desk.commit(gid, [asked("b2")]);
    expect(desk.takeAnswers()).toMatchObject([{ kind: "error", code: "QUORATE_BRANCH_MISMATCH" }]);
    expect(desk.takeCalls()).toEqual([]);
  });

  test("is told what is wrong, by field and fix", () => {
    const desk = new Desk();
    const gid = desk.gid();
    const cases = [
      [{ branches: [] }, "QUORATE_INVALID_ARGUMENT", "branches is empty"],
      [{ branches: [asked("b1", "shipping")] }, "QUORATE_UNKNOWN_PARTICIPANT", "known participants: orders, stock"],
      [{ branches: [asked("b1"), asked("b1")] }, "QUORATE_INVALID_ARGUMENT", 'share the id "b1"'],
      [{ branches: [brought("b1")] }, "QUORATE_INVALID_ARGUMENT", 'lacks the brought branch "b1"'],
      [{ branches: [{ ...asked("b1"), payload: new Uint8Array(70_000) }] }, "QUORATE_TOO_LARGE", "payloadBytesMax"],
      [{ timeoutMs: 5 }, "QUORATE_INVALID_ARGUMENT", "timeoutMs is 5"],
      [{ gid: "nonsense" as typeof gid }, "QUORATE_INVALID_ARGUMENT", "gid"],
    ] as const;
    for (const [change, code, words] of cases) {
      desk.request({ kind: "commit", gid, client: "", timeoutMs: 0, branches: [asked("b1")], votes: [], ...change });
      const [answer] = desk.takeAnswers();
      expect(answer).toMatchObject({ kind: "error", code });
      expect(answer?.kind === "error" && answer.message).toContain(words);
    }
    expect(desk.proposed).toEqual([]);
    expect(desk.takeCalls()).toEqual([]);
  });
});

describe("open and enlist", () => {
  test("a gid made by the leader is the same for the same request", () => {
    const desk = new Desk();
    desk.request({ kind: "open", gid: undefined, client: "", timeoutMs: 0, branches: [] });
    desk.request({ kind: "open", gid: undefined, client: "", timeoutMs: 0, branches: [] });
    expect(desk.kinds).toEqual(["OPEN"]);
    desk.commitAll();
    const [answer] = desk.takeAnswers();
    desk.request({ kind: "open", gid: undefined, client: "", timeoutMs: 0, branches: [] });
    desk.commitAll();
    expect(desk.takeAnswers()).toEqual([answer]);
    desk.request({ kind: "open", gid: undefined, client: "", timeoutMs: 0, branches: [] }, 7, 2);
    desk.commitAll();
    expect(desk.takeAnswers()[0]).not.toEqual(answer);
  });

  test("enlisting into an unknown gid is refused with its outcome unknown, and proposes nothing", () => {
    const desk = new Desk();
    desk.request({ kind: "enlist", gid: desk.gid(), branch: asked("b1") });
    expect(desk.takeAnswers()).toMatchObject([{ kind: "error", code: "QUORATE_UNKNOWN_TRANSACTION", outcome: "unknown" }]);
    expect(desk.proposed).toEqual([]);
  });

  test("enlisting may follow an open whose record is on its way; after the decision it is refused with it", () => {
    const desk = new Desk();
    const gid = desk.gid();
    desk.request({ kind: "open", gid, client: "", timeoutMs: 0, branches: [] });
    desk.request({ kind: "enlist", gid, branch: asked("b1") }, 7, 2);
    desk.commitAll();
    expect(desk.takeAnswers()).toEqual([
      { kind: "opened", gid },
      { kind: "enlisted", gid },
    ]);
    desk.request({ kind: "abort", gid });
    desk.commitAll();
    desk.takeAnswers();
    desk.request({ kind: "enlist", gid, branch: asked("b2") }, 7, 3);
    expect(desk.takeAnswers()).toMatchObject([{ kind: "error", code: "QUORATE_ALREADY_DECIDED", outcome: "aborted" }]);
  });
});
