import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { noFaults } from "../../src/sim/faults.js";
import { DECISIONS_PER_SEED_MIN, runBatch, runSeed, type SeedResult } from "../../src/sim/index.js";
import { noBuggify } from "../../src/sim/swarm.js";

const saved = JSON.parse(readFileSync(new URL("../regression/seeds.json", import.meta.url), "utf8")) as {
  readonly seed: number;
  readonly why: string;
}[];

function report({ seed, violation }: SeedResult): string {
  return `seed ${seed}: ${violation?.invariant ?? ""}: ${violation?.message ?? ""}`;
}

describe("one seed is one run", () => {
  test("the same seed twice gives the same trace", () => {
    const first = runSeed(101, { safetyMs: 20_000 });
    const second = runSeed(101, { safetyMs: 20_000 });
    expect(second.traceHash).toBe(first.traceHash);
    expect(second.events).toBe(first.events);
    expect(second.history).toEqual(first.history);
  });
  test("reading along changes nothing", () => {
    const blind = runSeed(102, { safetyMs: 10_000 });
    const traced = runSeed(102, { safetyMs: 10_000, trace: true });
    expect(traced.traceHash).toBe(blind.traceHash);
    expect(traced.trace.length).toBeGreaterThan(1000);
    expect(blind.trace).toEqual([]);
  });
  test("another seed gives another trace", () => {
    expect(runSeed(103, { safetyMs: 5_000 }).traceHash).not.toBe(runSeed(104, { safetyMs: 5_000 }).traceHash);
  });
});

describe("seeds that once found something hold", () => {
  test.each(saved)("seed $seed: $why", ({ seed }) => {
    const result = runSeed(seed);
    expect(result.ok, report(result)).toBe(true);
  });
});

test("forty seeds hold, each with decisions and a change of leader, and together they see what matters", () => {
  const batch = runBatch({ from: 1, seeds: 40, seed: { safetyMs: 45_000 }, clock: () => performance.now() });
  expect(batch.failures.map(report)).toEqual([]);
  expect(batch.seeds).toBe(40);
  expect(batch.decisions).toBeGreaterThan(40 * DECISIONS_PER_SEED_MIN);
  expect(batch.thin).toEqual([]);
  for (const situation of [
    "diff-sent",
    "trunc-sent",
    "snap-installed",
    "out-of-election-join",
    "carried-on commit",
    "abort inquiry",
    "abort client-lost",
    "abort vote-no",
    "abort timeout",
    "resolved-by-inquiry",
    "duplicate-commit-answered",
    "duplicate-put-answered",
    "transfer-done",
    "damage-cleared",
    "forget",
    "outcome-row-dropped",
    "unsynced-lost",
    "torn-append",
  ])
    expect(batch.coverage.get(situation) ?? 0, situation).toBeGreaterThan(0);
}, 120_000);

test("a run without an enemy commits nearly everything and never changes its leader", () => {
  const result = runSeed(7, {
    safetyMs: 20_000,
    adjust: (swarm) => ({
      ...swarm,
      network: { ...swarm.network, loss: 0, duplicate: 0, reorder: 0, delayMsMean: 1 },
      disk: { ...swarm.disk, syncMsMean: 1, stallChance: 0 },
      faults: noFaults(swarm.faults),
      buggify: noBuggify(),
    }),
  });
  expect(result.ok, report(result)).toBe(true);
  expect(result.leaderChanges).toBe(0);
  expect(result.commits).toBeGreaterThan(result.decisions / 2);
});
