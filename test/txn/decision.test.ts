import { describe, expect, test } from "vitest";
import type { Command } from "../../src/txn/index.js";
import { abort, asked, begin, Bench, brought, commit, done, enlist, open } from "./builders.js";

describe("DECIDE", () => {
  test("commit needs every branch of the sealed set in exactly one of yes and read-only: a set, not a count", () => {
    const bench = new Bench();
    const gid = bench.gid();
    bench.apply(begin(gid, [asked("b1"), asked("b2"), asked("b3")]));
    const wrong: readonly Command[] = [
      commit(gid, ["b1", "b2"]),
      commit(gid, ["b1", "b1", "b2"]),
      commit(gid, ["b1", "b2", "b2"], ["b3"]),
      commit(gid, ["b1", "b2"], ["b2"]),
      commit(gid, ["b1", "b2", "b3"], ["b3"]),
      commit(gid, ["b1", "b2", "b4"]),
      commit(gid, ["b1", "b2", "b3", "b4"]),
      commit(gid, []),
    ];
    for (const command of wrong) expect(bench.outcome(command)).toBe("incomplete-votes");
    expect(bench.machine.counts().sealed).toBe(1);
    expect(bench.apply(commit(gid, ["b3", "b1"], ["b2"]))).toEqual({ kind: "decided", gid, decision: "commit", first: true });
  });

  test("commit is refused without a sealed list: open, unknown, expired", () => {
    const bench = new Bench();
    const [opened, unknown] = [bench.gid(), bench.gid()];
    bench.apply(open(opened, [asked("b1")]));
    expect(bench.outcome(commit(opened, ["b1"]))).toBe("incomplete-votes");
    expect(bench.outcome(commit(unknown, ["b1"]))).toBe("incomplete-votes");
    bench.raiseFloor();
    expect(bench.outcome(commit(unknown, ["b1"]))).toBe("incomplete-votes");
    expect(bench.machine.lookup(unknown).kind).toBe("expired");
  });

  test("commit never contradicts a vote that Commit brought", () => {
    const bench = new Bench();
    const gid = bench.gid();
    bench.apply(begin(gid, [brought("b1"), asked("b2")], { b1: "no" }));
    expect(bench.outcome(commit(gid, ["b1", "b2"]))).toBe("incomplete-votes");
    expect(bench.outcome(abort(gid, "vote-no"))).toBe("decided");
  });

  test("the first decision wins, for ever: a later one is answered with it", () => {
    const bench = new Bench();
    const gid = bench.committed();
    expect(bench.apply(abort(gid))).toEqual({ kind: "decided", gid, decision: "commit", first: false });
    bench.apply(done(gid, "b1", "b2"));
    expect(bench.apply(abort(gid))).toEqual({ kind: "decided", gid, decision: "commit", first: false });
    const other = bench.gid();
    bench.apply(begin(other, [asked("b1")]));
    bench.apply(abort(other));
    expect(bench.apply(commit(other, ["b1"]))).toEqual({ kind: "decided", gid: other, decision: "abort", first: false });
    bench.apply(done(other, "b1"));
    expect(bench.apply(commit(other, ["b1"]))).toEqual({ kind: "decided", gid: other, decision: "abort", first: false });
  });

  test("abort of a gid without a record leaves one, so that a Commit under way loses", () => {
    const bench = new Bench();
    const gid = bench.gid();
    expect(bench.apply(abort(gid, "inquiry"))).toEqual({ kind: "decided", gid, decision: "abort", first: true });
    expect(bench.machine.lookup(gid)).toMatchObject({ kind: "outcome", outcome: { decision: "abort", reason: "inquiry", branches: [] } });
    expect(bench.apply(begin(gid, [asked("b1")]))).toMatchObject({ kind: "decided", decision: "abort", first: false });
    expect(bench.outcome(enlist(gid, asked("b1")))).toBe("already-decided");
  });

  test("records who voted yes and who read-only, the reason, the detail and its zxid", () => {
    const bench = new Bench();
    const gid = bench.committed([asked("b1"), asked("b2"), brought("b3")], { b2: "read-only" });
    const found = bench.machine.lookup(gid);
    expect(found.kind === "transaction" && found.transaction.branches.map(({ vote }) => vote)).toEqual(["yes", "read-only", "yes"]);
    expect(found).toMatchObject({ transaction: { decision: { decision: "commit", zxid: bench.zxid, stampMs: bench.stampMs } } });
  });
});

describe("DONE", () => {
  test("a commit is finished when every yes voter acknowledged, not before; read-only branches owe nothing", () => {
    const bench = new Bench();
    const gid = bench.committed([asked("b1"), asked("b2"), asked("b3")], { b2: "read-only" });
    expect(bench.apply(done(gid, "b2"))).toEqual({ kind: "done", finished: [] });
    expect(bench.apply(done(gid, "b1", "b1"))).toEqual({ kind: "done", finished: [] });
    expect(bench.machine.lookup(gid).kind).toBe("transaction");
    expect(bench.apply(done(gid, "b3"))).toEqual({ kind: "done", finished: [gid] });
    expect(bench.machine.lookup(gid)).toMatchObject({ kind: "outcome", outcome: { decision: "commit" } });
    expect(bench.apply(done(gid, "b3"))).toEqual({ kind: "done", finished: [] });
  });

  test("a commit of read-only branches only is finished at once", () => {
    const bench = new Bench();
    const gid = bench.committed([asked("b1"), asked("b2")], { b1: "read-only", b2: "read-only" });
    expect(bench.machine.lookup(gid).kind).toBe("outcome");
  });

  test("an abort is finished when every branch that may hold something acknowledged", () => {
    const bench = new Bench();
    const gid = bench.gid();
    bench.apply(open(gid, [brought("b1")]));
    bench.apply(enlist(gid, asked("b2")));
    bench.apply(abort(gid));
    bench.apply(done(gid, "b1"));
    expect(bench.machine.counts()).toMatchObject({ decidedUnfinished: 1, finished: 0 });
    expect(bench.apply(done(gid, "b2"))).toEqual({ kind: "done", finished: [gid] });
  });

  test("an abort of a transaction without branches is finished at once", () => {
    const bench = new Bench();
    const gid = bench.gid();
    bench.apply(open(gid));
    bench.apply(abort(gid));
    expect(bench.machine.lookup(gid)).toMatchObject({ kind: "outcome", outcome: { reason: "timeout" } });
  });

  test("of unknown, undecided and strange branches changes nothing", () => {
    const bench = new Bench();
    const gid = bench.gid();
    bench.apply(begin(gid, [asked("b1")]));
    const before = bench.machine.canonical().split("\n").slice(1);
    expect(bench.apply(done(gid, "b1", "zz"))).toEqual({ kind: "done", finished: [] });
    expect(bench.apply(done(bench.gid(), "b1"))).toEqual({ kind: "done", finished: [] });
    expect(bench.machine.canonical().split("\n").slice(1)).toEqual(before);
  });
});

describe("FLOOR and FORGET", () => {
  test("the floor never goes back, and never enters the commit window", () => {
    const bench = new Bench();
    bench.later(100_000);
    const high = bench.stampMs - 50_000;
    expect(bench.apply({ kind: "FLOOR", timeMs: high })).toEqual({ kind: "floor", timeMs: high });
    expect(bench.apply({ kind: "FLOOR", timeMs: high - 1 })).toEqual({ kind: "floor", timeMs: high });
    expect(bench.outcome({ kind: "FLOOR", timeMs: bench.stampMs - 4_999 })).toBe("invalid");
    expect(bench.machine.meta().floorMs).toBe(high);
  });

  test("a commit is never forgotten before every yes voter acknowledged, however far below the floor", () => {
    const bench = new Bench();
    const gid = bench.committed();
    bench.apply(done(gid, "b1"));
    bench.raiseFloor();
    expect(bench.machine.forgettable(10)).toEqual([]);
    expect(bench.apply({ kind: "FORGET", gids: [gid] })).toEqual({ kind: "forgotten", gids: [], refused: [gid] });
    bench.apply(done(gid, "b2"));
    expect(bench.machine.forgettable(10)).toEqual([gid]);
    expect(bench.apply({ kind: "FORGET", gids: [gid] })).toEqual({ kind: "forgotten", gids: [gid], refused: [] });
    expect(bench.machine.lookup(gid).kind).toBe("expired");
  });

  test("nothing above the floor is forgotten, and nothing undecided", () => {
    const bench = new Bench();
    const undecided = bench.gid();
    bench.apply(begin(undecided, [asked("b1")]));
    bench.raiseFloor();
    const young = bench.committed([asked("b1")]);
    bench.apply(done(young, "b1"));
    expect(bench.machine.forgettable(10)).toEqual([]);
    expect(bench.apply({ kind: "FORGET", gids: [undecided, young] })).toMatchObject({ gids: [], refused: [undecided, young] });
    expect(bench.machine.lookup(young).kind).toBe("outcome");
  });

  test("an abort below the floor may go with acknowledgements missing: whoever asks learns the same from the floor", () => {
    const bench = new Bench();
    const gid = bench.gid();
    bench.apply(begin(gid, [asked("b1")]));
    bench.apply(abort(gid));
    expect(bench.apply({ kind: "FORGET", gids: [gid] })).toMatchObject({ refused: [gid] });
    bench.raiseFloor();
    expect(bench.machine.forgettable(10)).toEqual([gid]);
    expect(bench.apply({ kind: "FORGET", gids: [gid] })).toMatchObject({ gids: [gid] });
    expect(bench.machine.lookup(gid).kind).toBe("expired");
    expect(bench.outcome(begin(gid, [asked("b1")]))).toBe("expired");
    expect(bench.machine.counts()).toMatchObject({ sealed: 0, decidedUnfinished: 0, finished: 0 });
  });

  test("forgettable gives the oldest gids first, at most as many as asked for", () => {
    const bench = new Bench();
    const gids = [];
    for (let i = 0; i < 30; i++) {
      bench.later(3_000);
      const gid = bench.gid();
      bench.apply(abort(gid));
      gids.push(gid);
    }
    bench.raiseFloor();
    expect(bench.machine.forgettable(5)).toEqual(gids.slice(0, 5));
    bench.apply({ kind: "FORGET", gids: gids.slice(0, 5) });
    expect(bench.machine.forgettable(100)).toEqual(gids.slice(5));
  });
});

describe("HEURISTIC", () => {
  const settle = (gid: ReturnType<Bench["gid"]>, branch: string): Command => ({
    kind: "HEURISTIC",
    gid,
    branch,
    outcome: "mixed",
    by: "admin",
    note: "disk lost",
  });

  test("is recorded on the branch and ends its retries, but never decides again", () => {
    const bench = new Bench();
    const gid = bench.committed();
    expect(bench.apply(settle(gid, "b1"))).toEqual({ kind: "heuristic", gid, branch: "b1" });
    expect(bench.machine.lookup(gid)).toMatchObject({
      transaction: { decision: { decision: "commit" }, branches: [{ done: true }, { done: false }] },
    });
    bench.apply(done(gid, "b2"));
    expect(bench.machine.lookup(gid)).toMatchObject({
      outcome: { decision: "commit", branches: [{ heuristic: "mixed (admin: disk lost)" }, { heuristic: undefined }] },
    });
    expect(bench.apply(settle(gid, "b2"))).toMatchObject({ kind: "heuristic" });
    expect(bench.machine.lookup(gid)).toMatchObject({ outcome: { branches: [{}, { heuristic: "mixed (admin: disk lost)" }] } });
  });

  test("is refused while undecided, and for gids and branches that are not there", () => {
    const bench = new Bench();
    const gid = bench.gid();
    expect(bench.outcome(settle(gid, "b1"))).toBe("unknown");
    bench.apply(begin(gid, [asked("b1")]));
    const refused = bench.apply(settle(gid, "b1"));
    expect(refused).toMatchObject({ reason: "wrong-state" });
    expect(refused.kind === "refused" && refused.message).toContain("undecided");
    bench.apply(abort(gid));
    expect(bench.outcome(settle(gid, "b7"))).toBe("invalid");
    const old = bench.gid();
    bench.raiseFloor();
    expect(bench.outcome(settle(old, "b1"))).toBe("expired");
  });
});
