/** The gate's arithmetic: it must be able to fail, for each of its reasons. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { MUTANTS } from "./catalogue.mjs";
import { seedsJob } from "./nets.mjs";
import { judge, SEARCHED_MIN } from "./report.mjs";
import { added, median, Results, seedsToDetection } from "./results.mjs";

const found = (tried: number) => ({ tried, found: { seed: tried, invariant: "x", message: "" } });
const rows = (count: number, tried: number) =>
  MUTANTS.slice(0, count).map((mutant) => ({
    mutant,
    hunts: [1, 2, 3, 4, 5].map(() => found(tried)),
    explored: undefined,
    tested: undefined,
  }));
const held = { start: 1, failures: [], vacuity: [] };
const facts = { seedsMax: 2000, baseline: [held], controls: [], worlds: [{}], tests: { ran: 1, failed: [] } };

test("holds when everything is noticed and the unchanged sources hold", () => {
  expect(judge(rows(SEARCHED_MIN, 7), facts)).toMatchObject({ problems: [] });
});

test("fails by name when nothing notices a bug", () => {
  const [first, ...others] = rows(SEARCHED_MIN + 1, 7);
  const alive = { ...first, hunts: [{ tried: 2000 }, { tried: 2000 }, { tried: 2000 }, found(3), found(4)] };
  expect(judge([alive, ...others], facts).problems).toEqual([expect.stringMatching(/^nothing notices mutant 1: /)]);
});

test("fails when too few are noticed by search, although tests notice them all", () => {
  const tested = rows(SEARCHED_MIN, 7).map((row, index) =>
    index === 0 ? { ...row, hunts: undefined, tested: { ran: 9, failed: [{ file: "f", test: "t" }] } } : row,
  );
  expect(judge(tested, facts).problems).toEqual([
    `${SEARCHED_MIN - 1} are noticed by random simulation or the explorer; ${SEARCHED_MIN} are needed`,
  ]);
});

test("fails when the unchanged sources fail a seed, a control, a world or a test, or show nothing", () => {
  const failure = { seed: 9, invariant: "i", message: "m" };
  const bad = {
    ...facts,
    baseline: [{ ...held, failures: [failure], vacuity: ["no decisions"] }],
    controls: [{ mutant: { id: "c", rule: "Must hold.", edits: [] }, found: failure }],
    worlds: [{}, { found: { world: "w", message: "m" } }],
    tests: { ran: 1, failed: [{ file: "f", test: "t" }] },
  };
  expect(judge(rows(SEARCHED_MIN, 7), bad).problems).toEqual([
    "the unchanged sources fail seed 9: i: m",
    "the batch from 1 shows nothing: no decisions",
    "Must hold. Seed 9 fails: i: m",
    "the unchanged sources break a rule in world w: m",
    "the unchanged sources fail f: t",
  ]);
});

test("a hunt that found nothing counts as more than any number of seeds", () => {
  expect(median([5, 1, 9, 3, 7])).toBe(5);
  expect(seedsToDetection([found(4), { tried: 2000 }, found(9), found(1), found(2)], 2000)).toEqual({
    seeds: [4, Infinity, 9, 1, 2],
    median: 4,
  });
  expect(seedsToDetection([{ tried: 5 }, { tried: 5 }, { tried: 5 }, found(1), found(2)], 2000).median).toBe(Infinity);
  expect(seedsToDetection([found(50), found(50), found(50), found(1), found(2)], 40).median).toBe(Infinity);
});

test("a hunt in pieces adds up, and keeps what it found first", () => {
  const piece = { tried: 3, seconds: 1, decisions: 10, commits: 8, leaderChanges: 2, resolvedByInquiry: 1, failures: [] };
  const failure = { seed: 5, invariant: "i", message: "m" };
  const sum = added(added(undefined, piece), { ...piece, failures: [failure] });
  expect(sum).toEqual({
    tried: 6,
    seconds: 2,
    decisions: 20,
    commits: 16,
    leaderChanges: 4,
    resolvedByInquiry: 2,
    failures: [failure],
    found: failure,
  });
});

test("results are kept by name", () => {
  const folder = mkdtempSync(join(tmpdir(), "quorate-results-"));
  try {
    const results = new Results(folder);
    expect(results.get("a", 1)).toBeUndefined();
    results.set({ tried: 2 }, "a", 1);
    expect(new Results(folder).get("a", 1)).toEqual({ tried: 2 });
    expect(results.get("a", 2)).toBeUndefined();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("a hunt without an end in time or failures has none after its way through JSON either", () => {
  const sent = (untilMs: number, failuresMax: number): unknown =>
    JSON.parse(JSON.stringify(seedsJob("folder", [1, 2], untilMs, failuresMax)));
  expect(sent(Infinity, Infinity)).toEqual({ kind: "seeds", folder: "folder", seeds: [1, 2] });
  expect(sent(5, 1)).toEqual({ kind: "seeds", folder: "folder", seeds: [1, 2], untilMs: 5, failuresMax: 1 });
});
