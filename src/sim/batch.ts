/**
 * Many seeds in a row: totals, the first failures, and whether the run saw what it must see.
 */
import { runSeed, type SeedOptions, type SeedResult } from "./run.js";

export interface BatchOptions {
  readonly from: number;
  readonly seeds: number;
  /** Stop after this many real minutes. */
  readonly minutes?: number;
  /** Stop after this many failed seeds. Default 10. */
  readonly failuresMax?: number;
  readonly seed?: SeedOptions;
  /** Real milliseconds, for the rate. */
  readonly clock: () => number;
}

export interface BatchResult {
  readonly from: number;
  readonly seeds: number;
  readonly failures: readonly SeedResult[];
  readonly simulatedMs: number;
  readonly realMs: number;
  readonly decisions: number;
  readonly commits: number;
  readonly leaderChanges: number;
  readonly unjudged: number;
  /** Seeds with fewer decisions or leader changes than say anything. */
  readonly thin: readonly number[];
  readonly coverage: ReadonlyMap<string, number>;
}

/** What a seed must have seen to count. */
export const DECISIONS_PER_SEED_MIN = 50;

export function runBatch(options: BatchOptions, onProgress: (result: SeedResult, index: number) => void = () => undefined): BatchResult {
  const begin = options.clock();
  const until = options.minutes === undefined ? Infinity : begin + options.minutes * 60_000;
  const coverage = new Map<string, number>();
  const failures: SeedResult[] = [];
  const thin: number[] = [];
  let [seeds, simulatedMs, decisions, commits, leaderChanges, unjudged] = [0, 0, 0, 0, 0, 0];
  for (let seed = options.from; seed < options.from + options.seeds && options.clock() < until; seed++) {
    const result = runSeed(seed, options.seed);
    seeds += 1;
    simulatedMs += result.simulatedMs;
    decisions += result.decisions;
    commits += result.commits;
    leaderChanges += result.leaderChanges;
    unjudged += result.unjudged;
    for (const [name, times] of result.coverage) coverage.set(name, (coverage.get(name) ?? 0) + times);
    if (result.ok && (result.decisions < DECISIONS_PER_SEED_MIN || result.leaderChanges < 1)) thin.push(seed);
    if (!result.ok) failures.push(result);
    onProgress(result, seeds);
    if (failures.length >= (options.failuresMax ?? 10)) break;
  }
  return {
    from: options.from,
    seeds,
    failures,
    simulatedMs,
    realMs: options.clock() - begin,
    decisions,
    commits,
    leaderChanges,
    unjudged,
    thin,
    coverage,
  };
}
