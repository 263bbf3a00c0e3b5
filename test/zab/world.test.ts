/**
 * Whole clusters under faults, from seeds. A failure names the seed; `ZAB_SEED=7 ZAB_TRACE=1 npx vitest run test/zab/world.test.ts` replays
 * it with a readable trace, and `ZAB_SEEDS=5000` looks further than the seeds kept here.
 */
import { describe, expect, test } from "vitest";
import { World, type Plan } from "./world/world.js";

const { ZAB_SEED, ZAB_SEEDS, ZAB_TRACE } = process.env;
const SEEDS = Number(ZAB_SEEDS ?? 100);
const trace = ZAB_TRACE === undefined ? undefined : (line: string): void => console.log(line);

const kinds: readonly (readonly [string, Omit<Plan, "trace">])[] = [
  ["three peers", { peers: 3, faultMs: 1200, damage: false }],
  ["three peers with damage", { peers: 3, faultMs: 1200, damage: true }],
  ["five peers with damage", { peers: 5, faultMs: 1000, damage: true }],
];

/** Every seed of a kind; returns how often each thing happened. */
function runAll(kind: string, plan: Omit<Plan, "trace">, count: number): Map<string, number> {
  const coverage = new Map<string, number>();
  const seeds = ZAB_SEED === undefined ? Array.from({ length: count }, (_, seed) => seed) : [Number(ZAB_SEED)];
  for (const seed of seeds) {
    const world = new World(`${kind} ${seed}`, { ...plan, trace });
    try {
      world.run();
    } catch (error) {
      throw new Error(`seed ${seed} of "${kind}" failed`, { cause: error });
    }
    for (const [name, n] of world.coverage) coverage.set(name, (coverage.get(name) ?? 0) + n);
  }
  return coverage;
}

describe.each(kinds)("%s", (kind, plan) => {
  test(
    "agree on one order, lose nothing that was committed, and recover when the faults end",
    () => {
      const coverage = runAll(kind, plan, plan.peers === 5 ? Math.ceil(SEEDS / 2) : SEEDS);
      if (ZAB_SEED !== undefined) return;
      const missing = EXPECTED.filter((name) => (coverage.get(name) ?? 0) === 0);
      if (plan.damage) missing.push(...EXPECTED_WITH_DAMAGE.filter((name) => (coverage.get(name) ?? 0) === 0));
      // A run in which something never happened proves nothing about it.
      expect(missing).toEqual([]);
    },
    10 * 60_000,
  );
});

const EXPECTED = [
  "election-started",
  "elected",
  "out-of-election-join",
  "epoch-proposed",
  "established",
  "uptodate",
  "diff-sent",
  "trunc-sent",
  "trunc-applied",
  "snap-sent",
  "snap-installed",
  "leader-silent",
  "leader-left",
  "abdicated",
  "learner-lost",
  "transfer-started",
  "transfer-done",
  "transfer-refused",
  "proposed",
  "read-ok",
  "read-failed",
];
const EXPECTED_WITH_DAMAGE = ["fault-log", "fault-identity", "fault-rot", "damaged", "damage-cleared"];

test("a seed gives the same run every time", () => {
  const once = (): string => {
    const lines: string[] = [];
    new World("same", { peers: 3, faultMs: 500, damage: true, trace: (line) => lines.push(line) }).run();
    return lines.join("\n");
  };
  expect(once()).toBe(once());
});
