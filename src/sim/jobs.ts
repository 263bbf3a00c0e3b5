/**
 * A batch in this process, or in several: each takes a stretch of the seeds and sends its result as one message.
 */
import { fork } from "node:child_process";
import { performance } from "node:perf_hooks";
import { fileURLToPath } from "node:url";
import { runBatch, type BatchResult } from "./batch.js";
import type { Reduction } from "./reduction.js";

export interface Job {
  readonly from: number;
  readonly seeds: number;
  /** No further seed after this many. */
  readonly minutes: number | undefined;
  readonly reduction: Reduction;
}

const PROGRESS_MS = 10_000;
/** A seed makes much garbage and keeps little: a large nursery saves most of the copying. */
const HEAP = ["--max-semi-space-size=64"];

/** `afterSeed`: called after each seed, whatever came of it. */
export function runHere(
  { from, seeds, minutes, reduction }: Job,
  note: (text: string) => void,
  afterSeed: () => void = () => undefined,
): BatchResult {
  let saidAt = performance.now();
  return runBatch(
    { from, seeds, ...(minutes === undefined ? {} : { minutes }), seed: { reduction }, clock: () => performance.now() },
    (result, done) => {
      afterSeed();
      if (!result.ok) note(`seed ${result.seed} FAILED: ${result.violation?.invariant ?? "?"}\n`);
      if (performance.now() - saidAt < PROGRESS_MS) return;
      saidAt = performance.now();
      note(`${done} seeds done\n`);
    },
  );
}

export async function runJobs(job: Job, processes: number, note: (text: string) => void): Promise<BatchResult> {
  const share = Math.ceil(job.seeds / processes);
  const jobs = Array.from({ length: processes }, (_, index): Job => {
    const from = job.from + index * share;
    return { ...job, from, seeds: Math.min(share, job.from + job.seeds - from) };
  });
  return merge(await Promise.all(jobs.filter(({ seeds }) => seeds > 0).map((one) => runElsewhere(one, note))));
}

function runElsewhere(job: Job, note: (text: string) => void): Promise<BatchResult> {
  return new Promise((resolve, reject) => {
    const child = fork(fileURLToPath(import.meta.url), [], { serialization: "advanced", execArgv: HEAP });
    let result: BatchResult | undefined;
    child.on("message", (message: { text: string } | { result: BatchResult }) => {
      if ("text" in message) note(message.text);
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
    const parent = process.ppid;
    // Nobody waits any more: whoever asked was killed. A batch never comes back to the event loop, so it cannot be told.
    const alone = (): void => {
      if (process.ppid !== parent) process.exit(1);
    };
    const result = runHere(job, (text) => say({ text }), alone);
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
