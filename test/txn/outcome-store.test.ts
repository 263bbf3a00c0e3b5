import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { gidTimeMs, newGid, Prng } from "../../src/base/index.js";
import type { Gid } from "../../src/base/index.js";
import type { FinishedOutcome } from "../../src/txn/index.js";
import { OutcomeStore } from "../../src/txn/outcome-store.js";
import { START_MS } from "./builders.js";

const random = new Prng("outcomes");

function outcome(gid: Gid, variant = 0): FinishedOutcome {
  return {
    gid,
    decision: variant % 2 === 0 ? "commit" : "abort",
    reason: variant % 2 === 0 ? undefined : "timeout",
    zxid: { epoch: 0xffff_fff0 + (variant % 5), counter: 2 ** 40 + variant },
    stampMs: START_MS + variant * 7,
    branches: Array.from({ length: variant % 3 }, (_, i) => ({
      id: `b${i}`,
      participant: variant % 7 === 0 ? "orders" : "stock",
      kind: variant % 5 === 0 ? ("tcc" as const) : ("2pc" as const),
      vote: i === 0 ? ("yes" as const) : undefined,
      heuristic: variant % 11 === 0 ? `mixed ${variant}` : undefined,
    })),
  };
}

describe("packed outcomes", () => {
  test("give back exactly what was put in, through growth and removal", () => {
    const store = new OutcomeStore();
    const model = new Map<Gid, FinishedOutcome>();
    const gids: Gid[] = [];
    for (let i = 0; i < 12_000; i++) {
      const gid = newGid(START_MS + random.int(0, 100_000), random.uint32, i % 3 === 0 ? "q" : "shop1");
      gids.push(gid);
      store.set(outcome(gid, i));
      model.set(gid, outcome(gid, i));
      if (i % 3 === 0) {
        const gone = random.pick(gids);
        expect(store.remove(gone)).toBe(model.delete(gone));
      }
    }
    expect(store.size).toBe(model.size);
    for (const gid of gids) expect(store.get(gid)).toEqual(model.get(gid));
    expect(
      store
        .newest(50_000)
        .map(({ gid }) => gid)
        .sort(),
    ).toEqual([...model.keys()].sort());
  });

  test("are told apart by group, and malformed gids find nothing", () => {
    const store = new OutcomeStore();
    const gid = newGid(START_MS, random.uint32, "q");
    store.set(outcome(gid));
    expect(store.has(gid)).toBe(true);
    for (const other of [
      `r${gid.slice(1)}`,
      `q1${gid.slice(1)}`,
      gid.slice(2),
      gid.toUpperCase(),
      `${gid}0`,
      gid.replace("-", "_"),
      "q",
      "",
    ]) {
      expect(store.has(other as Gid)).toBe(false);
    }
  });

  test("survive gids whose random bits are all the same", () => {
    const store = new OutcomeStore();
    const gids = Array.from({ length: 5_000 }, (_, i) => newGid(START_MS + i, () => 0));
    for (const [i, gid] of gids.entries()) store.set(outcome(gid, i));
    for (const [i, gid] of gids.entries()) expect(store.get(gid)).toEqual(outcome(gid, i));
    for (const gid of gids) expect(store.remove(gid)).toBe(true);
    expect(store.size).toBe(0);
    expect(store.olderThan(Infinity, 10)).toEqual([]);
  });

  test("come oldest first below a time, in any order of arrival", () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(20_000), { maxLength: 60 }),
        fc.nat(20_000),
        fc.array(fc.nat(59), { maxLength: 20 }),
        (ages, limitMs, removed) => {
          const store = new OutcomeStore();
          const model = new Set<Gid>();
          const gids = ages.map((age) => newGid(START_MS + age, random.uint32));
          for (const gid of gids) {
            store.set(outcome(gid));
            model.add(gid);
          }
          for (const index of removed) {
            const gid = gids[index];
            if (gid !== undefined && model.delete(gid)) store.remove(gid);
          }
          const expected = [...model].filter((gid) => gidTimeMs(gid) < START_MS + limitMs);
          const found = store.olderThan(START_MS + limitMs, 1_000);
          expect([...found].sort()).toEqual(expected.sort());
          // Inside one bucket of 1024 ms the order is free.
          for (let i = 1; i < found.length; i++)
            expect(gidTimeMs(found[i] as Gid) - gidTimeMs(found[i - 1] as Gid)).toBeGreaterThan(-1_024);
          const newest = store.newest(5).map(({ gid }) => gid);
          const sorted = [...model].sort((a, b) => (a.slice(-32) < b.slice(-32) ? 1 : -1)).slice(0, 5);
          expect(newest).toEqual(sorted);
        },
      ),
      { numRuns: 150 },
    );
  });

  test("replace the outcome of a gid in place", () => {
    const store = new OutcomeStore();
    const gid = newGid(START_MS, random.uint32);
    store.set(outcome(gid, 2));
    store.set(outcome(gid, 11));
    expect(store.size).toBe(1);
    expect(store.get(gid)).toEqual(outcome(gid, 11));
  });
});
