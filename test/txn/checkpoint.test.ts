import type { Gid } from "../../src/base/index.js";
import { expect, test } from "vitest";
import { createStateMachine } from "../../src/txn/index.js";
import type { StateChange } from "../../src/txn/index.js";
import { abort, asked, begin, Bench, commit, done, open, put } from "./builders.js";

function keys(changes: readonly StateChange[]): string[] {
  return changes.map((change) => `${change.kind}${change.value === undefined ? " removed" : ""}`);
}

test("a checkpoint holds what changed since the last one, and the meta always", () => {
  const bench = new Bench();
  expect(keys(bench.machine.takeChanges())).toEqual(["participant", "participant", "participant", "meta"]);
  expect(keys(bench.machine.takeChanges())).toEqual(["meta"]);
  const gid = bench.gid();
  bench.apply(open(gid));
  bench.apply(put(bench.client(), 1, "k", 1));
  expect(keys(bench.machine.takeChanges())).toEqual(["transaction", "register", "client", "meta"]);
});

test("a transaction that starts and ends between two checkpoints leaves only its outcome", () => {
  const bench = new Bench();
  bench.machine.takeChanges();
  const gid = bench.committed();
  bench.apply(done(gid, "b1", "b2"));
  expect(keys(bench.machine.takeChanges())).toEqual(["outcomes", "meta"]);
});

test("a transaction of an earlier checkpoint is removed from it when it ends, also after a restart", () => {
  const bench = new Bench();
  const [first, second] = [bench.gid(), bench.gid()];
  for (const gid of [first, second]) bench.apply(begin(gid, [asked("b1")]));
  const stored = bench.machine.takeChanges();
  bench.apply(commit(first, ["b1"]));
  bench.apply(done(first, "b1"));
  expect(keys(bench.machine.takeChanges())).toEqual(["transaction removed", "outcomes", "meta"]);

  const restarted = createStateMachine();
  restarted.restore(stored);
  let { counter } = bench.zxid;
  for (const command of [abort(second), done(second, "b1")])
    restarted.apply({ stampMs: bench.stampMs, command }, { epoch: 1, counter: ++counter });
  expect(keys(restarted.takeChanges())).toEqual(["transaction removed", "outcomes", "meta"]);
});

test("values taken are frozen as of then: later records do not change them", () => {
  const bench = new Bench();
  const gid = bench.gid();
  const client = bench.client();
  bench.apply(begin(gid, [asked("b1")]));
  bench.apply(put(client, 1, "k", 1));
  const taken = bench.machine.takeChanges();
  const before = JSON.stringify(taken);
  bench.apply(commit(gid, ["b1"]));
  bench.apply(put(client, 2, "k", 2, { ackBelow: 2 }));
  expect(JSON.stringify(taken)).toBe(before);
});

test("outcomes that an earlier version stored one by one are stored in pages, and their own keys go", () => {
  const bench = new Bench();
  const gids = [bench.committed(), bench.committed()];
  for (const gid of gids) bench.apply(done(gid, "b1", "b2"));
  const singles = bench.machine.outcomes(10).map((value): StateChange => ({ kind: "outcome", key: value.gid, value }));
  const others = bench.machine.takeChanges().filter(({ kind }) => kind !== "outcomes");

  const upgraded = createStateMachine();
  upgraded.restore([...others, ...singles]);
  expect(upgraded.canonical()).toBe(bench.machine.canonical());
  const written = upgraded.takeChanges();
  expect(keys(written)).toEqual(["outcomes", "outcome removed", "outcome removed", "meta"]);
  expect(keys(upgraded.takeChanges())).toEqual(["meta"]);

  const again = createStateMachine();
  again.restore([...others.filter(({ kind }) => kind !== "meta"), ...written]);
  expect(again.canonical()).toBe(bench.machine.canonical());
  expect(keys(again.takeChanges())).toEqual(["meta"]);
});

test("an entry is applied once and in order", () => {
  const bench = new Bench();
  const entry = { stampMs: bench.stampMs, command: { kind: "NOOP" as const } };
  expect(() => bench.machine.apply(entry, bench.zxid)).toThrow(/once and in order/);
  expect(() => bench.machine.apply(entry, { epoch: 0, counter: 99 })).toThrow(/once and in order/);
});

test("a state that is read in pieces is in force when it is whole, and what was applied meanwhile is gone with the old one", () => {
  const bench = new Bench();
  const gids = [bench.committed(), bench.committed(), bench.gid()];
  bench.apply(begin(gids[2] as Gid, [asked("b1")]));
  bench.apply(put(bench.client(), 1, "k", 1));
  const stored = bench.machine.takeChanges();

  const other = new Bench();
  while (other.gid() < (gids[2] as Gid));
  const own = other.gid();
  other.apply(begin(own, [asked("b1")]));
  const restoring = other.machine.restoring();
  for (const change of stored) {
    restoring.take(change);
    expect(other.machine.lookup(own).kind).toBe("transaction");
    for (const gid of gids) expect(other.machine.lookup(gid).kind).toBe("none");
  }
  const late = other.gid();
  other.apply(begin(late, [asked("b1")]));
  restoring.finish();
  expect(other.machine.canonical()).toBe(bench.machine.canonical());
  for (const gid of [own, late]) expect(other.machine.lookup(gid).kind).toBe("none");
  expect(keys(other.machine.takeChanges())).toEqual(["meta"]);
});

test("a state of a newer feature level is not loaded", () => {
  const meta = { floorMs: 0, stampMs: 0, digest: 0, featureLevel: 99 };
  expect(() => {
    createStateMachine().restore([{ kind: "meta", key: "meta", value: meta }]);
  }).toThrow(/feature level 99/);
});
