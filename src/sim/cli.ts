/**
 * `quorate sim`: a batch of seeds with a report, or one seed with its trace.
 */
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { performance } from "node:perf_hooks";
import { runBatch, type BatchResult } from "./batch.js";
import { judgeMarks, missingMarks } from "./marks.js";
import { runSeed, SAFETY_MS, type SeedResult } from "./run.js";
import { judgeVacuity } from "./vacuity.js";

export interface SimOptions {
  /** One seed; replays it. */
  readonly seed?: number | undefined;
  /** First seed of a batch. Default: taken from the clock, and printed. */
  readonly from?: number | undefined;
  readonly seeds?: number | undefined;
  readonly minutes?: number | undefined;
  readonly jobs?: number | undefined;
  /** Print the readable trace of the last `traceLines` events. */
  readonly trace?: boolean | undefined;
  readonly traceLines?: number | undefined;
  readonly safetySeconds?: number | undefined;
  readonly json?: boolean | undefined;
  /** Fail a batch of MARKS_SEEDS_MIN seeds or more that did not reach every mark. */
  readonly marks?: boolean | undefined;
  readonly write?: ((text: string) => void) | undefined;
}

const TRACE_LINES = 400;
const SEEDS = 100;
/** Batches of this many seeds or more must have seen something. */
const VACUITY_SEEDS_MIN = 10;
/** A run of fresh seeds starts below this, so that a seed is short to type. */
const FIRST_SEED_MAX = 1_000_000_000;

/** Runs and prints. Returns the exit code: 0 when every seed held and, with `marks`, every mark was reached; 1 otherwise, also when the batch shows nothing. */
export async function simCommand(options: SimOptions): Promise<number> {
  const write = options.write ?? ((text: string) => void process.stdout.write(text));
  const safetyMs = options.safetySeconds === undefined ? {} : { safetyMs: options.safetySeconds * 1000 };
  if (options.seed !== undefined) {
    const result = runSeed(options.seed, { ...safetyMs, trace: options.trace ?? false });
    if (options.trace === true) for (const line of result.trace.slice(-(options.traceLines ?? TRACE_LINES))) write(`${line}\n`);
    write(options.json === true ? `${JSON.stringify(summaryOf(result))}\n` : describeSeed(result));
    return result.ok ? 0 : 1;
  }
  const from = options.from ?? Math.floor((performance.timeOrigin + performance.now()) % FIRST_SEED_MAX);
  const seeds = options.seeds ?? (options.minutes === undefined ? SEEDS : Number.MAX_SAFE_INTEGER - from);
  const jobs = Math.max(1, Math.min(options.jobs ?? 1, seeds));
  write(`simulating ${options.seeds ?? "fresh"} seeds from ${from}${jobs > 1 ? ` in ${jobs} processes` : ""}\n`);
  const results = jobs === 1 ? [runHere(from, seeds, options, write)] : await runJobs(from, seeds, jobs, options, write);
  const total = merge(results);
  write(
    options.json === true
      ? `${JSON.stringify({ ...total, coverage: Object.fromEntries(total.coverage), marksMissing: missingMarks(total.coverage), failures: total.failures.map(summaryOf) })}\n`
      : describeBatch(total),
  );
  for (const failure of total.failures) write(describeSeed(failure));
  const marks = judgeMarks(total.seeds, total.coverage);
  if (options.marks === true) write(`${marks.words}\n`);
  const vacuous = vacuityOf(total, safetyMs.safetyMs ?? SAFETY_MS);
  if (vacuous.length > 0) write(`this batch shows nothing: ${vacuous.join("; ")}\n`);
  return total.failures.length === 0 && total.seeds > 0 && vacuous.length === 0 && (options.marks !== true || marks.ok) ? 0 : 1;
}

/** A few seeds prove nothing, and need not: they are run to look at them. A failed batch has shown something already. */
function vacuityOf({ seeds, failures, decisions, commits, leaderChanges, coverage }: BatchResult, safetyMs: number): readonly string[] {
  if (seeds < VACUITY_SEEDS_MIN || failures.length > 0) return [];
  const resolvedByInquiry = coverage.get("resolved-by-inquiry") ?? 0;
  return judgeVacuity({ seeds, safetyMs, decisions, commits, leaderChanges, resolvedByInquiry });
}

function runHere(from: number, seeds: number, options: SimOptions, write: (text: string) => void): BatchResult {
  const safetyMs = options.safetySeconds === undefined ? {} : { safetyMs: options.safetySeconds * 1000 };
  let saidAt = performance.now();
  return runBatch(
    { from, seeds, ...(options.minutes === undefined ? {} : { minutes: options.minutes }), seed: safetyMs, clock: () => performance.now() },
    (result, done) => {
      if (!result.ok) write(`seed ${result.seed} FAILED: ${result.violation?.invariant ?? "?"}\n`);
      if (performance.now() - saidAt < 10_000) return;
      saidAt = performance.now();
      write(`${done} seeds done\n`);
    },
  );
}

// ---- several processes: each takes every n-th stretch of seeds and sends its result as one message

interface Job {
  readonly from: number;
  readonly seeds: number;
  readonly minutes: number | undefined;
  readonly safetySeconds: number | undefined;
}

async function runJobs(
  from: number,
  seeds: number,
  jobs: number,
  options: SimOptions,
  write: (text: string) => void,
): Promise<BatchResult[]> {
  const share = Math.ceil(seeds / jobs);
  const each = Array.from({ length: jobs }, (_, index): Job => {
    const first = from + index * share;
    return { from: first, seeds: Math.min(share, from + seeds - first), minutes: options.minutes, safetySeconds: options.safetySeconds };
  });
  return Promise.all(each.filter((job) => job.seeds > 0).map((job) => runJob(job, write)));
}

function runJob(job: Job, write: (text: string) => void): Promise<BatchResult> {
  return new Promise((resolve, reject) => {
    const child = fork(fileURLToPath(import.meta.url), [], { serialization: "advanced" });
    let result: BatchResult | undefined;
    child.on("message", (message: { text: string } | { result: BatchResult }) => {
      if ("text" in message) write(message.text);
      else result = message.result;
    });
    child.on("error", reject);
    child.on("exit", (code) => {
      if (result === undefined) reject(new Error(`a simulation process ended with code ${String(code)} and without a result`));
      else resolve(result);
    });
    child.send(job);
  });
}

function serveJob(): void {
  process.once("message", (job: Job) => {
    const say = (message: object): void => void process.send?.(message);
    const result = runHere(job.from, job.seeds, { minutes: job.minutes, safetySeconds: job.safetySeconds }, (text) => say({ text }));
    const failures = result.failures.map((failure) => ({ ...failure, history: [], trace: [] }));
    process.send?.({ result: { ...result, failures } }, () => process.disconnect());
  });
}

if (process.send !== undefined && process.argv[1] === fileURLToPath(import.meta.url)) serveJob();

function merge(results: readonly BatchResult[]): BatchResult {
  const coverage = new Map<string, number>();
  for (const result of results) for (const [name, times] of result.coverage) coverage.set(name, (coverage.get(name) ?? 0) + times);
  const sum = (of: (result: BatchResult) => number): number => results.reduce((whole, result) => whole + of(result), 0);
  return {
    from: Math.min(...results.map(({ from }) => from)),
    seeds: sum(({ seeds }) => seeds),
    failures: results.flatMap(({ failures }) => failures),
    simulatedMs: sum(({ simulatedMs }) => simulatedMs),
    realMs: Math.max(...results.map(({ realMs }) => realMs)),
    decisions: sum(({ decisions }) => decisions),
    commits: sum(({ commits }) => commits),
    leaderChanges: sum(({ leaderChanges }) => leaderChanges),
    unjudged: sum(({ unjudged }) => unjudged),
    thin: results.flatMap(({ thin }) => thin),
    coverage,
  };
}

// ---- words

function summaryOf({ seed, ok, violation, traceHash, simulatedMs, events, decisions, commits, leaderChanges }: SeedResult): object {
  return { seed, ok, violation, traceHash, simulatedMs, events, decisions, commits, leaderChanges };
}

function describeSeed(result: SeedResult): string {
  const { seed, ok, violation, traceHash, simulatedMs, events, decisions, commits, leaderChanges } = result;
  const facts = `${(simulatedMs / 1000).toFixed(1)} simulated s, ${events} events, ${decisions} decisions, ${commits} commits, ${leaderChanges} leader changes, trace ${traceHash}`;
  if (ok) return `seed ${seed} holds: ${facts}\n`;
  return [
    `seed ${seed} FAILED: ${violation?.invariant ?? "?"}`,
    violation?.message ?? "",
    facts,
    `replay with: quorate sim --seed ${seed} --trace`,
    "",
  ].join("\n");
}

function describeBatch(result: BatchResult): string {
  const { seeds, failures, simulatedMs, realMs, decisions, commits, leaderChanges, unjudged, thin, coverage, from } = result;
  const rate = realMs === 0 ? 0 : simulatedMs / realMs;
  const lines = [
    `${seeds} seeds from ${from}: ${failures.length} failed, ${thin.length} too thin to say much${thin.length === 0 ? "" : ` (${thin.slice(0, 10).join(", ")})`}`,
    `${(simulatedMs / 1000).toFixed(0)} simulated s in ${(realMs / 1000).toFixed(1)} s (${rate.toFixed(0)} times real time, ${(rate / 60).toFixed(1)} simulated hours per real minute)`,
    `${decisions} decisions, ${commits} commits, ${leaderChanges} leader changes, ${unjudged} registers too much work to judge`,
    "situations reached:",
    ...[...coverage].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, times]) => `  ${String(times).padStart(9)}  ${name}`),
  ];
  return `${lines.join("\n")}\n`;
}
