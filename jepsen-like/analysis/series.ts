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

function zeros(count: number): number[] {
  return new Array<number>(count).fill(0);
}

function bump(list: number[], i: number): void {
  list[i] = (list[i] ?? 0) + 1;
}
