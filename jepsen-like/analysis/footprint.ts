/**
 * I14: what nodes take of the machine, over a run: resident memory, log, data folder.
 *
 * Remembered outcomes take memory by design, for as long as the cluster's retention says, and a run keeps them to its end. So growth is
 * judged beyond what newly remembered outcomes account for, and only over runs long enough for a leak to show.
 */
import type { HistoryEvent, Violation } from "../../src/check/index.js";
import { fields } from "./timeline.js";

export interface FootprintSample {
  readonly node: string;
  readonly atS: number;
  readonly rssMb: number;
  readonly logMb: number;
  /** Of the data folder; undefined where it is not on this machine. */
  readonly diskMb: number | undefined;
  readonly outcomes: number;
}

export interface NodeFootprint {
  readonly node: string;
  readonly samples: number;
  readonly rssMb: { readonly first: number; readonly last: number; readonly max: number };
  readonly logMbMax: number;
  readonly diskMb: { readonly last: number; readonly max: number } | undefined;
}

export const LONG_RUN_S = 300;
/** Log segments not compacted yet: well above what the node keeps by its own settings. */
export const LOG_MB_MAX = 512;
export const RSS_GROWTH_MB_MAX = 128;
export const RSS_KB_PER_OUTCOME = 4;

export function footprintSamples(history: readonly HistoryEvent[]): readonly FootprintSample[] {
  return history.flatMap(({ f, key, time, value }) => {
    if (f !== "footprint") return [];
    const of = fields(value);
    const diskMb = of["diskMb"];
    return [
      {
        node: key,
        atS: time / 1e9,
        rssMb: Number(of["rssMb"]),
        logMb: Number(of["logMb"]),
        diskMb: typeof diskMb === "number" ? diskMb : undefined,
        outcomes: Number(of["outcomes"]),
      },
    ];
  });
}

export function footprints(samples: readonly FootprintSample[]): readonly NodeFootprint[] {
  return byNode(samples).map(([node, list]) => {
    const disk = list.flatMap(({ diskMb }) => (diskMb === undefined ? [] : [diskMb]));
    return {
      node,
      samples: list.length,
      rssMb: { first: list[0]?.rssMb ?? 0, last: list.at(-1)?.rssMb ?? 0, max: Math.max(...list.map(({ rssMb }) => rssMb)) },
      logMbMax: Math.max(...list.map(({ logMb }) => logMb)),
      diskMb: disk.length === 0 ? undefined : { last: disk.at(-1) ?? 0, max: Math.max(...disk) },
    };
  });
}

/** `judged`: nodes watched for long enough. */
export function checkFootprint(samples: readonly FootprintSample[]): {
  readonly violations: readonly Violation[];
  readonly judged: number;
} {
  const violations: Violation[] = [];
  let judged = 0;
  for (const [node, list] of byNode(samples)) {
    const seconds = (list.at(-1)?.atS ?? 0) - (list[0]?.atS ?? 0);
    if (seconds < LONG_RUN_S) continue;
    judged += 1;
    const fifth = (n: number): readonly FootprintSample[] =>
      list.slice(Math.floor((list.length * n) / 5), Math.floor((list.length * (n + 1)) / 5));
    const [early, late] = [fifth(1), fifth(4)];
    const grownMb = median(late.map(({ rssMb }) => rssMb)) - median(early.map(({ rssMb }) => rssMb));
    const remembered = Math.max(0, median(late.map(({ outcomes }) => outcomes)) - median(early.map(({ outcomes }) => outcomes)));
    const allowedMb = RSS_GROWTH_MB_MAX + (remembered * RSS_KB_PER_OUTCOME) / 1024;
    if (grownMb > allowedMb)
      violations.push({
        invariant: "I14-bounded",
        message: `${node} grew by ${grownMb.toFixed(0)} MB between the second and the last fifth of ${seconds.toFixed(0)} s; ${allowedMb.toFixed(0)} MB go with ${remembered} more outcomes`,
      });
    const logMb = Math.max(...list.map((each) => each.logMb));
    if (logMb > LOG_MB_MAX)
      violations.push({
        invariant: "I14-bounded",
        message: `the log of ${node} took ${logMb.toFixed(0)} MB; ${LOG_MB_MAX} MB are allowed`,
      });
  }
  return { violations, judged };
}

function byNode(samples: readonly FootprintSample[]): readonly (readonly [string, readonly FootprintSample[]])[] {
  const nodes = new Map<string, FootprintSample[]>();
  for (const sample of samples) {
    const list = nodes.get(sample.node);
    if (list === undefined) nodes.set(sample.node, [sample]);
    else list.push(sample);
  }
  return [...nodes].sort(([a], [b]) => (a < b ? -1 : 1));
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) / 2)] ?? 0;
}
