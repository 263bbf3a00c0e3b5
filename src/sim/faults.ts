/**
 * The kinds of faults, and how often each strikes in one run.
 *
 * Each is left out of many runs ("swarm testing"): a fault that is always there hides what only happens without it.
 */
import type { Prng } from "../base/index.js";

/** What the nemesis does at random times. Names are also those of `quorate sim --without`. */
export const FAULT_KINDS = [
  "crash-node",
  "crash-leader",
  "pause-node",
  "pause-leader",
  "partition",
  "isolate-leader",
  /** Links stop one by one and come back one by one in another order (FoundationDB's swizzle). */
  "swizzle",
  "break-stream",
  "slow-disk",
  "full-disk",
  "fail-sync",
  "clock-jump",
  "hand-over",
  "crash-instance",
  "crash-resource",
  "break-session",
  "kill-client",
  /** Every node at once. */
  "power-cut",
  "rot",
  "wipe",
  /** A run that has seen no change of leader by then gets one. */
  "force-change",
] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

export interface FaultOptions {
  /** Mean time between two of a kind, ms; Infinity: never in this run. */
  readonly everyMs: Readonly<Record<FaultKind, number>>;
  /** Chance that a process dies at a failpoint it passes. */
  readonly failpointChance: number;
  /** Chance that a process dies while it writes a promise. */
  readonly promiseCrashChance: number;
  readonly downMsMean: number;
  readonly pauseMsMean: number;
  readonly partitionMsMean: number;
  readonly fullDiskMsMean: number;
}

export function drawFaults(fork: (label: string) => Prng): FaultOptions {
  const rate = (kind: FaultKind, chance: number, min: number, max: number): readonly [FaultKind, number] => {
    const prng = fork(kind);
    return [kind, prng.chance(chance) ? prng.int(min, max) : Infinity];
  };
  const prng = fork("lengths");
  return {
    everyMs: Object.fromEntries([
      rate("crash-node", 0.5, 6_000, 40_000),
      rate("crash-leader", 0.5, 8_000, 40_000),
      rate("pause-node", 0.35, 6_000, 40_000),
      rate("pause-leader", 0.35, 8_000, 40_000),
      rate("partition", 0.45, 6_000, 30_000),
      rate("isolate-leader", 0.35, 8_000, 40_000),
      rate("swizzle", 0.2, 10_000, 40_000),
      rate("break-stream", 0.5, 500, 10_000),
      rate("slow-disk", 0.3, 5_000, 30_000),
      rate("full-disk", 0.15, 15_000, 40_000),
      rate("fail-sync", 0.25, 6_000, 30_000),
      rate("clock-jump", 0.3, 3_000, 20_000),
      rate("hand-over", 0.35, 6_000, 30_000),
      rate("crash-instance", 0.5, 4_000, 30_000),
      rate("crash-resource", 0.4, 6_000, 30_000),
      rate("break-session", 0.5, 300, 5_000),
      rate("kill-client", 0.4, 4_000, 30_000),
      rate("power-cut", 0.2, 10_000, 40_000),
      rate("rot", 0.25, 10_000, 40_000),
      rate("wipe", 0.12, 20_000, 60_000),
      ["force-change", 0] as const,
    ]) as Record<FaultKind, number>,
    promiseCrashChance: prng.chance(0.3) ? prng.float() * 0.1 : 0,
    failpointChance: prng.chance(0.5) ? prng.float() * 0.004 : 0,
    downMsMean: prng.int(100, 4000),
    pauseMsMean: prng.int(100, 3000),
    partitionMsMean: prng.int(300, 5000),
    fullDiskMsMean: prng.int(500, 5000),
  };
}

/** No fault at all. */
export function noFaults(faults: FaultOptions): FaultOptions {
  const never = Object.fromEntries(FAULT_KINDS.map((kind) => [kind, Infinity])) as Record<FaultKind, number>;
  return { ...faults, everyMs: never, failpointChance: 0, promiseCrashChance: 0 };
}
