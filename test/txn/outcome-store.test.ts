import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { gidTimeMs, newGid, Prng } from "../../src/base/index.js";
import type { Gid } from "../../src/base/index.js";
import type { FinishedOutcome } from "../../src/txn/index.js";
import type { OutcomePage } from "../../src/txn/index.js";
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

describe("stored pages", () => {
  /** What a checkpoint leaves in the store: the last form of each page. */
  function store(pages: Map<number, OutcomePage>, outcomes: OutcomeStore): void {
    for (const page of outcomes.takeChanges()) {
      if (page.rows.length === 0) pages.delete(page.page);
      else pages.set(page.page, page);
    }
  }

  function reloaded(pages: Map<number, OutcomePage>): OutcomeStore {
    const out = new OutcomeStore();
    for (const page of [...pages.values()].reverse()) out.load(page);
    out.clean();
    return out;
  }

  test("hold at every checkpoint what the store holds, whatever came, went and was read back in between", () => {
    let outcomes = new OutcomeStore();
    const pages = new Map<number, OutcomePage>();
    const model = new Map<Gid, FinishedOutcome>();
    for (let round = 0; round < 60; round++) {
      const grow = random.int(0, 2_500);
      for (let i = 0; i < grow; i++) {
        const gid = newGid(START_MS + round * 1_000 + i, random.uint32, i % 5 === 0 ? "q" : "shop1");
        const value = outcome(gid, random.int(0, 200));
        outcomes.set(value);
        model.set(gid, value);
      }
      // FORGET takes the oldest; now and then all, so that pages are given back, or any, so that pages have holes.
      const gids = [...model.keys()];
      const gone =
        round % 9 === 8 ? gids : round % 2 === 0 ? gids.slice(0, random.int(0, 2_000)) : gids.filter(() => random.int(0, 9) === 0);
      for (const gid of gone) {
        expect(outcomes.remove(gid)).toBe(true);
        model.delete(gid);
      }
      for (const gid of [...model.keys()].slice(0, 3)) {
        const value = outcome(gid, random.int(0, 200));
        outcomes.set(value);
        model.set(gid, value);
      }
      store(pages, outcomes);
      expect(outcomes.takeChanges()).toEqual([]);
      if (round % 3 !== 0) continue;
      outcomes = reloaded(pages);
      expect(outcomes.takeChanges()).toEqual([]);
      expect(outcomes.size).toBe(model.size);
      for (const [gid, value] of model) expect(outcomes.get(gid)).toEqual(value);
      expect(outcomes.olderThan(Infinity, 1_000_000).sort()).toEqual([...model.keys()].sort());
    }
    expect([...pages.values()].reduce((sum, page) => sum + page.rows.length / 10, 0)).toBe(model.size);
  });

  test("only the pages that changed are written, and an emptied one is removed and used again", () => {
    const outcomes = new OutcomeStore();
    const gids = Array.from({ length: 3_000 }, (_, i) => newGid(START_MS + i, random.uint32, "q"));
    for (const gid of gids) outcomes.set(outcome(gid));
    expect(outcomes.takeChanges().map(({ page, rows }) => [page, rows.length / 10])).toEqual([
      [0, 1024],
      [1, 1024],
      [2, 952],
    ]);
    outcomes.set(outcome(newGid(START_MS, random.uint32, "q")));
    expect(outcomes.takeChanges().map(({ page }) => page)).toEqual([2]);
    for (const gid of gids.slice(1024, 2048)) outcomes.remove(gid);
    expect(outcomes.takeChanges().map(({ page, rows }) => [page, rows.length])).toEqual([[1, 0]]);
    for (let i = 0; i < 1024; i++) outcomes.set(outcome(newGid(START_MS, random.uint32, "q")));
    expect(outcomes.takeChanges().map(({ page }) => page)).toEqual([2, 1]);
  });

  test("a page is copied when it is taken: what is applied later does not change it", () => {
    const outcomes = new OutcomeStore();
    const gid = newGid(START_MS, random.uint32, "q");
    outcomes.set(outcome(gid, 1));
    const taken = outcomes.takeChanges();
    const before = JSON.stringify(taken);
    outcomes.set(outcome(gid, 2));
    outcomes.remove(gid);
    expect(JSON.stringify(taken)).toBe(before);
  });
});
