import { describe, expect, test } from "vitest";
import { Prng, uuid7, ZXID_ZERO } from "../../src/base/index.js";
import { asked, Desk, START_MS } from "./desk.js";

const CLIENT = uuid7(START_MS, new Prng("client").uint32);

function committed(desk: Desk): ReturnType<Desk["gid"]> {
  const gid = desk.gid();
  desk.commit(gid, [asked("b1")]);
  desk.vote(gid, "b1", "yes");
  desk.commitAll();
  desk.takeCalls();
  return gid;
}

describe("acknowledgements", () => {
  test("are batched, and proposed when they are many or have waited", () => {
    const desk = new Desk({ doneBatchMax: 3, doneDelayMs: 20 });
    const gids = [0, 1, 2, 3].map(() => committed(desk));
    for (const gid of gids.slice(0, 2)) desk.done(gid, "b1", "commit");
    expect(desk.proposed).toEqual([]);
    desk.done(gids[2] ?? desk.gid(), "b1", "commit");
    expect(desk.proposed).toEqual([{ kind: "DONE", branches: gids.slice(0, 3).map((gid) => ({ gid, branch: "b1" })) }]);
    desk.done(gids[3] ?? desk.gid(), "b1", "commit");
    desk.pass(25);
    expect(desk.proposed).toHaveLength(2);
  });

  test("that were not taken are proposed again", () => {
    const desk = new Desk();
    const gid = committed(desk);
    desk.done(gid, "b1", "commit");
    desk.pass(25);
    desk.refuseAll();
    desk.pass(200);
    expect(desk.proposed).toEqual([{ kind: "DONE", branches: [{ gid, branch: "b1" }] }]);
  });

  test("counted once: a repeated one is not proposed again", () => {
    const desk = new Desk();
    const gid = committed(desk);
    desk.done(gid, "b1", "commit");
    desk.done(gid, "b1", "commit");
    desk.pass(25);
    expect(desk.proposed).toEqual([{ kind: "DONE", branches: [{ gid, branch: "b1" }] }]);
  });
});

describe("the floor", () => {
  test("rises behind the retention and takes what is finished with it, batch by batch", () => {
    const desk = new Desk({ retentionMs: 20_000, forgetBatchMax: 2 });
    for (let i = 0; i < 5; i++) {
      desk.done(committed(desk), "b1", "commit");
      desk.pass(25);
      desk.commitAll();
    }
    expect(desk.state.counts().finished).toBe(5);
    for (let i = 0; i < 6; i++) {
      desk.pass(5_000);
      desk.commitAll();
    }
    expect(desk.state.counts().finished).toBe(0);
    expect(desk.state.meta().floorMs).toBeGreaterThan(START_MS);
    expect(desk.state.meta().floorMs).toBeLessThanOrEqual(desk.stampMs - 20_000);
  });

  test("rests when nothing would be forgotten", () => {
    const desk = new Desk({ retentionMs: 10_000 });
    desk.pass(120_000);
    expect(desk.proposed).toEqual([]);
  });

  test("never enters the commit window, whatever the retention", () => {
    const desk = new Desk({ retentionMs: 1 });
    desk.done(committed(desk), "b1", "commit");
    for (let i = 0; i < 4; i++) {
      desk.pass(5_000);
      desk.commitAll();
    }
    expect(desk.state.meta().floorMs).toBeGreaterThan(START_MS);
    expect(desk.state.meta().floorMs).toBeLessThanOrEqual(desk.stampMs - 6_000);
  });
});

describe("puts", () => {
  const put = (seq: number, value: number, expected?: typeof ZXID_ZERO) => ({
    kind: "put" as const,
    request: { client: CLIENT, seq, ackBelow: 0 },
    name: "k",
    value: Uint8Array.of(value),
    expect: expected,
  });

  test("are answered when applied, to every stream that sent them, and proposed once", () => {
    const desk = new Desk();
    desk.request(put(1, 1), 7, 1);
    desk.request(put(1, 1), 8, 4);
    expect(desk.kinds).toEqual(["PUT"]);
    expect(desk.takeAnswers()).toEqual([]);
    desk.commitAll();
    expect(desk.answers.map(({ session, answer }) => `${session} ${answer.kind}`).sort()).toEqual(["7 put", "8 put"]);
    desk.takeAnswers();
    desk.request({ kind: "read", name: "k" });
    expect(desk.takeAnswers()).toMatchObject([{ kind: "read", value: Uint8Array.of(1) }]);
  });

  test("that find another version are told it", () => {
    const desk = new Desk();
    desk.request(put(1, 1));
    desk.request(put(2, 2, ZXID_ZERO), 7, 2);
    desk.commitAll();
    const [first, second] = desk.takeAnswers();
    expect(second).toMatchObject({ kind: "error", code: "QUORATE_CONFLICT", version: first?.kind === "put" ? first.version : undefined });
  });

  test("not taken, or beyond the bound, are refused and safe to repeat", () => {
    const desk = new Desk({ openTransactionsMax: 2 });
    for (const seq of [1, 2, 3]) desk.request(put(seq, seq), 7, seq);
    expect(desk.takeAnswers()).toMatchObject([{ kind: "error", code: "QUORATE_OVERLOADED", retry: "safe" }]);
    desk.refuseAll();
    const answers = desk.takeAnswers();
    expect(answers).toHaveLength(2);
    for (const answer of answers)
      expect(answer).toMatchObject({ kind: "error", code: "QUORATE_OVERLOADED", retry: "safe", outcome: undefined });
    expect(desk.coordinator.counts().waiting).toBe(0);
  });
});

describe("what the replica does not take", () => {
  test("a Commit may be repeated; its votes are kept, and its deadline aborts by a record", () => {
    const desk = new Desk();
    const gid = desk.gid();
    desk.commit(gid, [asked("b1")]);
    desk.vote(gid, "b1", "yes");
    desk.refuseAll();
    expect(desk.takeAnswers()).toMatchObject([{ kind: "error", code: "QUORATE_OVERLOADED", retry: "safe", outcome: "unknown" }]);
    desk.takeCalls();
    desk.commit(gid, [asked("b1")], {}, 2);
    expect(desk.kinds).toEqual(["BEGIN", "DECIDE commit"]);
    expect(desk.takeCalls()).toEqual([]);
    desk.refuseAll();
    desk.pass(11_000);
    expect(desk.kinds.filter((kind) => kind !== "FLOOR")).toEqual(["DECIDE abort timeout"]);
    desk.commitAll();
    expect(desk.takeCalls()).toEqual(["1 rollback b1"]);
  });

  test("a decision is proposed again while its client waits", () => {
    const desk = new Desk();
    const gid = desk.gid();
    desk.commit(gid, [asked("b1")]);
    desk.commitAll();
    desk.vote(gid, "b1", "yes");
    desk.refuseAll();
    expect(desk.takeAnswers()).toEqual([]);
    desk.pass(150);
    expect(desk.kinds).toEqual(["DECIDE commit"]);
    desk.commitAll();
    expect(desk.takeAnswers()).toMatchObject([{ kind: "decided", decision: "commit" }]);
  });

  test("open, enlist, abort, resolve and probe are answered as not proposed", () => {
    const desk = new Desk();
    const gid = desk.gid();
    desk.request({ kind: "open", gid, client: "", timeoutMs: 0, branches: [] }, 7, 1);
    desk.request({ kind: "enlist", gid, branch: asked("b1") }, 7, 2);
    desk.request({ kind: "noop" }, 7, 3);
    desk.request({ kind: "abort", gid: desk.gid() }, 7, 4);
    desk.request({ kind: "resolve", gid, branch: "b1", outcome: "committed", by: "admin", note: "" }, 7, 5);
    desk.refuseAll();
    expect(desk.answers.map(({ request }) => request).sort()).toEqual([1, 2, 3, 4, 5]);
    for (const answer of desk.takeAnswers()) expect(answer).toMatchObject({ code: "QUORATE_OVERLOADED", retry: "safe" });
    expect(desk.coordinator.counts().waiting).toBe(0);
  });
});

describe("operators", () => {
  test("resolve settles a branch by hand after the decision, and only then", () => {
    const desk = new Desk();
    const gid = desk.gid();
    const resolve = { kind: "resolve" as const, gid, branch: "b1", outcome: "committed" as const, by: "admin", note: "by hand" };
    desk.commit(gid, [asked("b1")]);
    desk.commitAll();
    desk.request(resolve, 7, 2);
    desk.commitAll();
    expect(desk.takeAnswers()).toMatchObject([{ kind: "error", code: "QUORATE_WRONG_STATE" }]);
    desk.vote(gid, "b1", "yes");
    desk.commitAll();
    desk.takeAnswers();
    desk.request(resolve, 7, 3);
    desk.commitAll();
    expect(desk.takeAnswers()).toEqual([{ kind: "ok" }]);
    desk.takeCalls();
    desk.pass(60_000);
    expect(desk.takeCalls()).toEqual([]);
    expect(desk.coordinator.counts().inDoubt).toBe(0);
  });

  test("a heuristic outcome a participant reports is recorded, alarmed and not retried; the decision stays", () => {
    const desk = new Desk();
    const gid = committed(desk);
    const reply = {
      phase: "commit" as const,
      gid,
      branch: "b1",
      result: { kind: "heuristic" as const, outcome: "rolled-back" as const, detail: "dba" },
    };
    desk.coordinator.replies(1, [reply], desk.nowMs);
    desk.drain();
    expect(desk.proposed).toMatchObject([
      { kind: "HEURISTIC", gid, branch: "b1", outcome: "rolled-back", by: "participant orders", note: "dba" },
    ]);
    expect(desk.alarms).toMatchObject([{ name: "heuristic", gid, branch: "b1" }]);
    desk.refuseAll();
    desk.pass(150);
    desk.commitAll();
    expect(desk.state.lookup(gid)).toMatchObject({ kind: "outcome", outcome: { decision: "commit" } });
    desk.pass(60_000);
    expect(desk.takeCalls()).toEqual([]);
  });

  test("outcome with wait is answered when it is decided", () => {
    const desk = new Desk();
    const gid = desk.gid();
    desk.request({ kind: "outcome", gid, wait: true }, 7, 1);
    expect(desk.takeAnswers()).toMatchObject([{ kind: "transaction", transaction: { state: "unknown" } }]);
    desk.commit(gid, [asked("b1")], {}, 2);
    desk.commitAll();
    desk.request({ kind: "outcome", gid, wait: true }, 8, 1);
    desk.request({ kind: "outcome", gid, wait: false }, 8, 2);
    expect(desk.takeAnswers()).toMatchObject([
      { kind: "transaction", transaction: { state: "preparing", branches: [{ phase: "preparing" }] } },
    ]);
    desk.vote(gid, "b1", "yes");
    desk.commitAll();
    expect(desk.takeAnswers()).toMatchObject([
      { kind: "decided", decision: "commit" },
      { kind: "transaction", transaction: { state: "committing", decision: "commit" } },
    ]);
  });

  test("list shows what is open, in doubt and finished", () => {
    const desk = new Desk();
    const [opened, sealed] = [desk.gid(), desk.gid()];
    const finished = committed(desk);
    desk.done(finished, "b1", "commit");
    desk.pass(25);
    desk.commitAll();
    desk.open(opened);
    desk.commit(sealed, [asked("b1")]);
    desk.commitAll();
    const list = (state: "open" | "in-doubt" | "finished" | "all", limit = 10): string[] => {
      desk.takeAnswers();
      desk.request({ kind: "list", state, limit });
      const [answer] = desk.takeAnswers();
      return answer?.kind === "transactions" ? answer.transactions.map(({ gid }) => gid) : [];
    };
    expect(list("open")).toEqual([opened]);
    expect(list("in-doubt")).toEqual([sealed]);
    expect(list("finished")).toEqual([finished]);
    expect(list("all").sort()).toEqual([opened, sealed, finished].sort());
    expect(list("all", 2)).toHaveLength(2);
  });
});
