/**
 * A run in equal steps of time: how many answers, how fast, how much was open.
 */
import { operations, type HistoryEvent } from "../../src/check/index.js";
import { decisionPoints, endNs, fields } from "./timeline.js";

export interface Step {
  /** Seconds since the history began, at the middle of the step. */
  readonly atS: number;
  readonly commitsPerS: number;
  readonly abortsPerS: number;
  /** From request to answer, of those answered in this step, ms; undefined: none was. */
  readonly p50Ms: number | undefined;
  readonly p99Ms: number | undefined;
  readonly p999Ms: number | undefined;
  /** Requests to commit sent and not answered at the end of the step. */
  readonly open: number;
}

export interface InDoubtSample {
  readonly atS: number;
  readonly inDoubt: number;
}

const STEPS_MAX = 150;
const STEP_S = [0.25, 0.5, 1, 2, 5, 10, 30, 60];
const NS = 1e9;

/** From request to decision, over a whole run, ms; undefined: nothing was decided. */
export interface Latencies {
  readonly p50Ms: number | undefined;
  readonly p99Ms: number | undefined;
  readonly p999Ms: number | undefined;
  readonly maxMs: number | undefined;
  /** Decisions told to a client that asked to commit, and how many of them a second. */
  readonly decisions: number;
  readonly perS: number;
}

export function latencies(history: readonly HistoryEvent[]): Latencies {
  const known = decisionPoints(history).filter(({ outcome, atNs }) => outcome !== "unknown" && atNs < Infinity);
  const sorted = known.map(({ invokedNs, atNs }) => (atNs - invokedNs) / 1e6).sort((a, b) => a - b);
  const of = (q: number): number | undefined => tenth(quantile(sorted, q));
  const seconds = loadEndS(history);
  return {
    p50Ms: of(0.5),
    p99Ms: of(0.99),
    p999Ms: of(0.999),
    maxMs: of(1),
    decisions: known.length,
    perS: seconds === 0 ? 0 : Math.round(known.length / seconds),
  };
}

/** Over the time in which the workload ran. */
export function series(history: readonly HistoryEvent[]): {
  readonly stepS: number;
  readonly seconds: number;
  readonly steps: readonly Step[];
} {
  const points = decisionPoints(history);
  const seconds = Math.max(loadEndS(history), 0.001);
  const stepS = STEP_S.find((each) => seconds / each <= STEPS_MAX) ?? 60;
  const count = Math.ceil(seconds / stepS);
  const latencies = Array.from({ length: count }, (): number[] => []);
  const [commits, aborts, sent, answered] = [zeros(count), zeros(count), zeros(count), zeros(count)];
  const index = (ns: number): number => Math.min(count - 1, Math.floor(ns / NS / stepS));
  for (const point of points) {
    bump(sent, index(point.invokedNs));
    if (point.atNs === Infinity) continue;
    const i = index(point.atNs);
    bump(answered, i);
    if (point.outcome === "unknown") continue;
    bump(point.outcome === "commit" ? commits : aborts, i);
    latencies[i]?.push((point.atNs - point.invokedNs) / 1e6);
  }
  let open = 0;
  const steps = latencies.map((list, i): Step => {
    list.sort((a, b) => a - b);
    open += (sent[i] ?? 0) - (answered[i] ?? 0);
    return {
      atS: (i + 0.5) * stepS,
      commitsPerS: (commits[i] ?? 0) / stepS,
      abortsPerS: (aborts[i] ?? 0) / stepS,
      p50Ms: quantile(list, 0.5),
      p99Ms: quantile(list, 0.99),
      p999Ms: quantile(list, 0.999),
      open,
    };
  });
  return { stepS, seconds, steps };
}

export function inDoubtSamples(history: readonly HistoryEvent[]): readonly InDoubtSample[] {
  return history.flatMap((event) => {
    const inDoubt = event.f === "sample" ? fields(event.value)["inDoubt"] : undefined;
    return typeof inDoubt === "number" ? [{ atS: event.time / NS, inDoubt }] : [];
  });
}

/** Of an ascending list, by nearest rank. */
export function quantile(sorted: readonly number[], q: number): number | undefined {
  return sorted[Math.max(0, Math.ceil(sorted.length * q) - 1)];
}

/** The last thing a client sent or heard; the whole history when it has no client. */
function loadEndS(history: readonly HistoryEvent[]): number {
  const last = operations(history).reduce((end, { invoke, complete }) => Math.max(end, complete?.time ?? invoke.time), 0);
  return (last === 0 ? endNs(history) : last) / NS;
}

function tenth(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : Math.round(ms * 10) / 10;
}

function zeros(count: number): number[] {
  return new Array<number>(count).fill(0);
}

function bump(list: number[], i: number): void {
  list[i] = (list[i] ?? 0) + 1;
}
