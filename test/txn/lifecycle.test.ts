import { describe, expect, test } from "vitest";
import { TXN_LIMITS } from "../../src/txn/index.js";
import { abort, asked, begin, Bench, brought, commit, done, enlist, open } from "./builders.js";

describe("starting", () => {
  test("a Commit without a record starts the gid inside the commit window, and is refused as never started after it", () => {
    const bench = new Bench();
    const gid = bench.gid();
    const late = bench.gid();
    bench.later(TXN_LIMITS.commitWindowMs);
    expect(bench.outcome(begin(gid, [asked("b1")]))).toBe("sealed");
    bench.later(1);
    expect(bench.outcome(begin(late, [asked("b1")]))).toBe("expired");
    expect(bench.machine.lookup(late).kind).toBe("none");
  });

  test("an open transaction is sealed however old its gid is", () => {
    const bench = new Bench();
    const gid = bench.gid();
    bench.apply(open(gid, [asked("b1")]));
    bench.later(60_000);
    expect(bench.outcome(begin(gid, [asked("b1")]))).toBe("sealed");
  });

  test("a gid from the far future is refused by OPEN, BEGIN and abort", () => {
    const bench = new Bench();
    const near = bench.gid(TXN_LIMITS.futureMsMax);
    const far = bench.gid(TXN_LIMITS.futureMsMax + 1);
    expect(bench.outcome(open(near))).toBe("opened");
    for (const command of [open(far), begin(far, [asked("b1")]), abort(far)]) expect(bench.outcome(command)).toBe("future");
    expect(bench.machine.lookup(far).kind).toBe("none");
  });

  test("a gid below the floor is expired for every record that would start it", () => {
    const bench = new Bench();
    const gid = bench.gid();
    bench.raiseFloor();
    for (const command of [open(gid), enlist(gid, asked("b1")), begin(gid, [asked("b1")]), abort(gid, "inquiry")]) {
      expect(bench.outcome(command)).toBe("expired");
    }
    expect(bench.machine.lookup(gid).kind).toBe("expired");
  });

  test("the record is looked up before the floor: transactions below it keep running", () => {
    const bench = new Bench();
    const [opened, sealed] = [bench.gid(), bench.gid()];
    bench.apply(open(opened, [asked("b1")]));
    bench.apply(begin(sealed, [asked("b1")]));
    bench.raiseFloor();
    expect(bench.outcome(enlist(opened, asked("b2")))).toBe("enlisted");
    expect(bench.outcome(begin(opened, [asked("b1"), asked("b2")]))).toBe("sealed");
    expect(bench.outcome(commit(sealed, ["b1"]))).toBe("decided");
    expect(bench.machine.lookup(sealed)).toMatchObject({ kind: "transaction", transaction: { decision: { decision: "commit" } } });
  });

  test("a stamp that goes back counts as the newest one", () => {
    const bench = new Bench();
    const gid = bench.gid();
    bench.later(TXN_LIMITS.commitWindowMs + 1);
    bench.apply({ kind: "NOOP" });
    bench.later(-TXN_LIMITS.commitWindowMs);
    expect(bench.outcome(begin(gid, [asked("b1")]))).toBe("expired");
  });
});

describe("OPEN", () => {
  test("repeated by the same client while open is answered again, by another client refused", () => {
    const bench = new Bench();
    const gid = bench.gid();
    const client = bench.client();
    bench.apply(open(gid, [asked("b1")], client));
    bench.apply(enlist(gid, asked("b2")));
    expect(bench.outcome(open(gid, [asked("b1")], client))).toBe("opened");
    expect(bench.outcome(open(gid, [asked("b1", "stock")], client))).toBe("branch-mismatch");
    expect(bench.outcome(open(gid, [asked("b9")], client))).toBe("branch-mismatch");
    expect(bench.outcome(open(gid, [], bench.client()))).toBe("wrong-state");
    bench.apply(begin(gid, [asked("b1"), asked("b2")]));
    expect(bench.outcome(open(gid, [], client))).toBe("wrong-state");
  });

  test("of a decided gid is refused with the decision", () => {
    const bench = new Bench();
    const gid = bench.committed();
    expect(bench.apply(open(gid))).toMatchObject({ kind: "refused", reason: "already-decided", decision: "commit" });
    bench.apply(done(gid, "b1", "b2"));
    expect(bench.apply(open(gid))).toMatchObject({ kind: "refused", reason: "already-decided", decision: "commit" });
  });

  test("checks its timeout", () => {
    const bench = new Bench();
    for (const timeoutMs of [TXN_LIMITS.timeoutMsMin - 1, TXN_LIMITS.timeoutMsMax + 1, 1000.5]) {
      expect(bench.outcome(open(bench.gid(), [], "", timeoutMs))).toBe("invalid");
    }
  });
});

describe("ENLIST", () => {
  test("of an unknown gid never starts it: its outcome is unknown", () => {
    const bench = new Bench();
    const gid = bench.gid();
    expect(bench.apply(enlist(gid, asked("b1")))).toMatchObject({ kind: "refused", reason: "unknown", decision: undefined });
    expect(bench.machine.lookup(gid).kind).toBe("none");
    expect(bench.machine.counts().open).toBe(0);
  });

  test("of the same branch again is answered again, with other contents refused", () => {
    const bench = new Bench();
    const gid = bench.gid();
    bench.apply(open(gid));
    bench.apply(enlist(gid, asked("b1")));
    expect(bench.outcome(enlist(gid, asked("b1")))).toBe("enlisted");
    expect(bench.outcome(enlist(gid, asked("b1", "stock")))).toBe("duplicate-branch");
    expect(bench.outcome(enlist(gid, asked("b1", "orders", [9])))).toBe("duplicate-branch");
    expect(bench.outcome(enlist(gid, brought("b1")))).toBe("duplicate-branch");
  });

  test("after the seal is refused, after the decision refused with it", () => {
    const bench = new Bench();
    const gid = bench.gid();
    bench.apply(begin(gid, [asked("b1")]));
    expect(bench.outcome(enlist(gid, asked("b2")))).toBe("wrong-state");
    bench.apply(abort(gid));
    expect(bench.apply(enlist(gid, asked("b2")))).toMatchObject({ reason: "already-decided", decision: "abort" });
  });

  test("keeps branches sorted by id", () => {
    const bench = new Bench();
    const gid = bench.gid();
    bench.apply(open(gid, [asked("m"), asked("c")]));
    for (const id of ["z", "a", "d"]) bench.apply(enlist(gid, asked(id)));
    const found = bench.machine.lookup(gid);
    expect(found.kind === "transaction" && found.transaction.branches.map(({ id }) => id)).toEqual(["a", "c", "d", "m", "z"]);
  });

  test("of a participant that never attached is refused and names the known ones", () => {
    const bench = new Bench();
    const gid = bench.gid();
    bench.apply(open(gid));
    const refused = bench.apply(enlist(gid, asked("b1", "shipping")));
    expect(refused).toMatchObject({ kind: "refused", reason: "unknown-participant" });
    expect(refused.kind === "refused" && refused.message).toContain("billing, orders, stock");
  });

  test("is bounded by branches and bytes of one transaction", () => {
    const bench = new Bench({ ...TXN_LIMITS, branchesMax: 2, transactionBytesMax: 7 });
    const gid = bench.gid();
    bench.apply(open(gid));
    expect(bench.outcome(enlist(gid, asked("b1", "orders", [1, 2, 3, 4])))).toBe("enlisted");
    expect(bench.outcome(enlist(gid, asked("b2", "orders", [1, 2, 3, 4])))).toBe("too-large");
    expect(bench.outcome(enlist(gid, asked("b2", "orders", [1, 2, 3])))).toBe("enlisted");
    expect(bench.outcome(enlist(gid, brought("b3")))).toBe("too-large");
  });
});

describe("BEGIN", () => {
  test("seals only a list with every enlisted branch unchanged", () => {
    const bench = new Bench();
    const gid = bench.gid();
    bench.apply(open(gid, [asked("b1")]));
    bench.apply(enlist(gid, asked("b2", "stock")));
    expect(bench.outcome(begin(gid, [asked("b1")]))).toBe("branch-mismatch");
    expect(bench.outcome(begin(gid, [asked("b1"), asked("b2", "billing")]))).toBe("branch-mismatch");
    expect(bench.outcome(begin(gid, [asked("b1"), asked("b2", "stock", [7])]))).toBe("branch-mismatch");
    expect(bench.machine.counts()).toMatchObject({ open: 1, sealed: 0 });
    expect(bench.outcome(begin(gid, [asked("b3"), asked("b2", "stock"), asked("b1")]))).toBe("sealed");
  });

  test("again with the sealed list is answered again, with another refused", () => {
    const bench = new Bench();
    const gid = bench.gid();
    bench.apply(begin(gid, [asked("b1"), asked("b2")]));
    expect(bench.outcome(begin(gid, [asked("b2"), asked("b1")]))).toBe("sealed");
    expect(bench.outcome(begin(gid, [asked("b1")]))).toBe("branch-mismatch");
    expect(bench.outcome(begin(gid, [asked("b1"), asked("b2"), asked("b3")]))).toBe("branch-mismatch");
  });

  test("of a decided gid is answered with the decision and never restarts it, unfinished or finished", () => {
    const bench = new Bench();
    const gid = bench.committed();
    expect(bench.apply(begin(gid, [asked("other")]))).toEqual({ kind: "decided", gid, decision: "commit", first: false });
    bench.apply(done(gid, "b1", "b2"));
    expect(bench.apply(begin(gid, [asked("b1")]))).toEqual({ kind: "decided", gid, decision: "commit", first: false });
    const never = bench.gid();
    bench.apply(abort(never, "inquiry"));
    expect(bench.apply(begin(never, [asked("b1")]))).toEqual({ kind: "decided", gid: never, decision: "abort", first: false });
  });

  test("needs a branch, distinct ids, and one vote for exactly the brought ones", () => {
    const bench = new Bench();
    const base = begin(bench.gid(), [brought("b1"), asked("b2")]);
    if (base.kind !== "BEGIN") throw new Error("BEGIN");
    const cases: readonly [typeof base, string][] = [
      [{ ...base, branches: [], votes: [] }, "no-branches"],
      [{ ...base, branches: [asked("b2"), asked("b2")], votes: [] }, "duplicate-branch"],
      [{ ...base, votes: [] }, "invalid"],
      [{ ...base, votes: [...base.votes, ...base.votes] }, "invalid"],
      [{ ...base, votes: [...base.votes, { branch: "b2", vote: "yes" }] }, "invalid"],
      [{ ...base, votes: [...base.votes, { branch: "b9", vote: "yes" }] }, "invalid"],
      [{ ...base, branches: [{ ...brought("b1"), payload: Uint8Array.of(1) }, asked("b2")] }, "invalid"],
      [{ ...base, branches: [brought("B1"), asked("b2")] }, "invalid"],
      [{ ...base, branches: [brought("b1"), asked("b2", "orders", new Array<number>(70_000).fill(0))] }, "too-large"],
    ];
    for (const [command, reason] of cases) expect(bench.outcome(command)).toBe(reason);
    expect(bench.machine.lookup(base.gid).kind).toBe("none");
    expect(bench.outcome(base)).toBe("sealed");
  });

  test("keeps the first vote of a brought branch when a repeated Commit brings another", () => {
    const bench = new Bench();
    const gid = bench.gid();
    bench.apply(begin(gid, [brought("b1")], { b1: "yes" }));
    bench.apply(begin(gid, [brought("b1")], { b1: "no" }));
    const found = bench.machine.lookup(gid);
    expect(found.kind === "transaction" && found.transaction.branches[0]?.vote).toBe("yes");
  });

  test("carries payloads, so that another leader can ask again", () => {
    const bench = new Bench();
    const gid = bench.gid();
    bench.apply(begin(gid, [asked("b1", "orders", [4, 5, 6])]));
    const found = bench.machine.lookup(gid);
    expect(found.kind === "transaction" && [...(found.transaction.branches[0]?.payload ?? [])]).toEqual([4, 5, 6]);
  });
});
