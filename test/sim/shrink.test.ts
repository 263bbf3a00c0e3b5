import { describe, expect, test } from "vitest";
import { commandOf, isPart, PARTS, partsOf, reduceSwarm, type Reduction } from "../../src/sim/reduction.js";
import { runSeed, type SeedResult } from "../../src/sim/run.js";
import { shrink } from "../../src/sim/shrink.js";

/** A run that "fails" when a follower had to drop entries: a stand-in for a bug that needs faults of a certain kind. */
function failsAtTruncation(seed: number, reduction: Reduction): SeedResult {
  const result = runSeed(seed, { reduction });
  const reached = (result.coverage.get("trunc-applied") ?? 0) > 0;
  return reached ? { ...result, ok: false, violation: { invariant: "truncation", message: "" } } : { ...result, violation: undefined };
}

describe("a reduced run", () => {
  test("is the same run every time, and is named by its command", () => {
    const reduction: Reduction = { without: ["loss", "partition", "crash-node#2"], nodes: 3, clients: 2, safetySeconds: 8 };
    const first = runSeed(12, { reduction });
    expect(runSeed(12, { reduction }).traceHash).toBe(first.traceHash);
    expect(first.swarm).toMatchObject({ nodes: 3, clients: 2, safetyMs: 8000, network: { loss: 0 } });
    expect(first.struck.filter((name) => name.startsWith("partition#") || name === "crash-node#2")).toEqual([]);
    expect(commandOf(12, reduction)).toBe(
      "quorate sim --seed 12 --safety-seconds 8 --nodes 3 --clients 2 --without loss,partition,crash-node#2",
    );
  });

  test("leaving a fault out changes neither when nor whom the others strike", () => {
    const seed = [...Array(50).keys()].find((n) => new Set(runSeed(n, { reduction: { without: [], safetySeconds: 6 } }).struck).size >= 3);
    const whole = runSeed(seed ?? 0, { reduction: { without: [], safetySeconds: 6 } });
    const [gone = ""] = whole.struck;
    const less = runSeed(seed ?? 0, { reduction: { without: [gone], safetySeconds: 6 } });
    expect(less.struck).toEqual(whole.struck.filter((name) => name !== gone));
  });

  test("every part has a name, and leaves nothing of itself behind", () => {
    const { swarm } = runSeed(3, { safetyMs: 1 });
    const everything = reduceSwarm(swarm, { without: [...PARTS.keys()] });
    expect(partsOf(everything)).toEqual([]);
    expect(everything.faults.everyMs).toEqual(Object.fromEntries(Object.keys(everything.faults.everyMs).map((kind) => [kind, Infinity])));
    expect(isPart("partition#3")).toBe(true);
    for (const bad of ["partition#0", "partition#", "nothing", "nothing#1", "partition#1#2"]) {
      expect(isPart(bad)).toBe(false);
      expect(() => reduceSwarm(swarm, { without: [bad] })).toThrow("no part");
    }
  });
});

describe("the shrinker", () => {
  test("ends with less than it began with, and what it prints fails in the same way", () => {
    const start: Reduction = { without: [], safetySeconds: 20 };
    const seed = [...Array(60).keys()].find((n) => !failsAtTruncation(n, start).ok) ?? 0;
    const before = failsAtTruncation(seed, start);
    const shrunk = shrink(seed, { start, runsMax: 60, run: failsAtTruncation });
    expect(shrunk).toBeDefined();
    if (shrunk === undefined) return;
    const again = failsAtTruncation(seed, shrunk.reduction);
    expect(again.violation?.invariant).toBe("truncation");
    expect(again.traceHash).toBe(shrunk.result.traceHash);
    expect(shrunk.runs).toBeLessThanOrEqual(60);
    expect(again.struck.length).toBeLessThanOrEqual(before.struck.length);
    expect(partsOf(again.swarm).length).toBeLessThan(partsOf(before.swarm).length / 2);
  }, 60_000);

  test("finds the one fault of many that matters", () => {
    const { swarm } = runSeed(3, { safetyMs: 1 });
    const all = Array.from({ length: 40 }, (_, index) => `partition#${index + 1}`);
    const fake = (seed: number, { without }: Reduction): SeedResult => {
      const struck = all.filter((name) => !without.includes(name));
      const fails = struck.includes("partition#17");
      return {
        ...runSeedShape(seed),
        ok: !fails,
        violation: fails ? { invariant: "x", message: "" } : undefined,
        swarm: reduceSwarm(swarm, { without }),
        struck,
      };
    };
    expect(shrink(3, { run: fake })?.result.struck).toEqual(["partition#17"]);
  });

  test("says nothing about a seed that holds", () => {
    expect(shrink(3, { run: (seed) => runSeedShape(seed) })).toBeUndefined();
  });
});

function runSeedShape(seed: number): SeedResult {
  return {
    seed,
    ok: true,
    violation: undefined,
    traceHash: "",
    simulatedMs: 60_000,
    events: 0,
    decisions: 0,
    commits: 0,
    leaderChanges: 0,
    coverage: new Map(),
    unjudged: 0,
    history: [],
    swarm: runSeed(seed, { safetyMs: 1 }).swarm,
    struck: [],
    trace: [],
  };
}
