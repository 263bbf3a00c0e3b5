/**
 * `quorate sim`: a batch of seeds with a report, one seed with its trace, or a failing one made smaller.
 */
import { performance } from "node:perf_hooks";
import type { BatchResult } from "./batch.js";
import { runHere, runJobs } from "./jobs.js";
import { judgeMarks } from "./marks.js";
import { commandOf, type Reduction } from "./reduction.js";
import { batchJson, describeBatch, describeReduced, describeSeed, isWhole, seedJson, sourceVersion, writeTrace } from "./report.js";
import { runSeed, SAFETY_MS } from "./run.js";
import { shrink } from "./shrink.js";
import { judgeVacuity } from "./vacuity.js";

export interface SimOptions {
  /** One seed; replays it. */
  readonly seed?: number | undefined;
  /** What is left out of it. */
  readonly reduction?: Reduction | undefined;
  /** Make every failure as small as it goes. */
  readonly shrink?: boolean | undefined;
  /** First seed of a batch. Default: taken from the clock, and printed. */
  readonly from?: number | undefined;
  readonly seeds?: number | undefined;
  readonly minutes?: number | undefined;
  readonly jobs?: number | undefined;
  /** Print the readable trace of the last `traceLines` events. */
  readonly trace?: boolean | undefined;
  readonly traceLines?: number | undefined;
  /** Folder for the traces of failures. Default: `quorate-sim` in the system's folder for temporary files. */
  readonly traceDir?: string | undefined;
  readonly json?: boolean | undefined;
  /** Fail a batch of MARKS_SEEDS_MIN seeds or more that did not reach every mark. */
  readonly marks?: boolean | undefined;
  /** Results. */
  readonly write?: ((text: string) => void) | undefined;
  /** What goes on meanwhile. */
  readonly note?: ((text: string) => void) | undefined;
}

const TRACE_LINES = 400;
const SEEDS = 100;
/** Whole batches of this many seeds or more must have seen something (vacuity.ts). */
const VACUITY_SEEDS_MIN = 10;
/** A run of fresh seeds starts below this, so that a seed is short to type. */
const FIRST_SEED_MAX = 1_000_000_000;
const SHRINK_MS_MAX = 180_000;

interface Voice {
  readonly write: (text: string) => void;
  readonly note: (text: string) => void;
  readonly version: string;
}

/** Runs and prints. Returns the exit code: 0 when every seed held and, with `marks`, every mark was reached; 1 otherwise, also when it shows nothing. */
export async function simCommand(options: SimOptions): Promise<number> {
  const write = options.write ?? ((text: string) => void process.stdout.write(text));
  // JSON is one document: everything else goes elsewhere.
  const note = options.note ?? (options.json === true ? (text: string) => void process.stderr.write(text) : write);
  const voice = { write, note, version: sourceVersion() };
  return options.seed === undefined ? runBatches(options, voice) : runOne(options.seed, options, voice);
}

function runOne(seed: number, options: SimOptions, { write, note, version }: Voice): number {
  const reduction = options.reduction ?? { without: [] };
  const result = runSeed(seed, { reduction, trace: options.trace ?? false });
  if (options.trace === true) for (const line of result.trace.slice(-(options.traceLines ?? TRACE_LINES))) note(`${line}\n`);
  const path = result.ok ? undefined : writeTrace(seed, reduction, version, options.traceDir);
  if (options.json === true) write(`${JSON.stringify({ ...seedJson(result), version, trace: path ?? null })}\n`);
  else write(describeSeed(result, version, reduction, path));
  if (!result.ok && options.shrink === true) reduceFailure(seed, reduction, options, { write: note, note, version });
  return result.ok ? 0 : 1;
}

async function runBatches(options: SimOptions, voice: Voice): Promise<number> {
  const { write, note, version } = voice;
  const from = options.from ?? Math.floor((performance.timeOrigin + performance.now()) % FIRST_SEED_MAX);
  const seeds = options.seeds ?? (options.minutes === undefined ? SEEDS : Number.MAX_SAFE_INTEGER - from);
  const jobs = Math.max(1, Math.min(options.jobs ?? 1, seeds));
  const reduction = options.reduction ?? { without: [] };
  note(`simulating ${options.seeds ?? "fresh"} seeds from ${from}${jobs > 1 ? ` in ${jobs} processes` : ""}, ${version}\n`);
  const job = { from, seeds, minutes: options.minutes, reduction };
  const total: BatchResult = jobs === 1 ? runHere(job, note) : await runJobs(job, jobs, note);
  const traces = new Map<number, string>();
  for (const { seed } of total.failures) traces.set(seed, writeTrace(seed, reduction, version, options.traceDir));
  for (const failure of total.failures) {
    note(describeSeed(failure, version, reduction, traces.get(failure.seed)));
    if (options.shrink === true) reduceFailure(failure.seed, reduction, options, { write: note, note, version });
  }
  write(options.json === true ? `${JSON.stringify(batchJson(total, version, traces))}\n` : describeBatch(total, version));
  const marks = judgeMarks(total.seeds, total.coverage);
  if (options.marks === true) note(`${marks.words}\n`);
  const vacuous = vacuityOf(total, reduction);
  if (vacuous.length > 0) note(`this batch shows nothing: ${vacuous.join("; ")}\n`);
  return total.failures.length === 0 && total.seeds > 0 && vacuous.length === 0 && (options.marks !== true || marks.ok) ? 0 : 1;
}

/** A few seeds, or reduced ones, are run to look at them: they need not prove anything. A failed batch has shown something. */
function vacuityOf({ seeds, failures, decisions, commits, leaderChanges, coverage }: BatchResult, reduction: Reduction): readonly string[] {
  if (seeds < VACUITY_SEEDS_MIN || failures.length > 0 || !isWhole(reduction)) return [];
  const resolvedByInquiry = coverage.get("resolved-by-inquiry") ?? 0;
  return judgeVacuity({ seeds, safetyMs: SAFETY_MS, decisions, commits, leaderChanges, resolvedByInquiry });
}

function reduceFailure(seed: number, start: Reduction, options: SimOptions, { write, note, version }: Voice): void {
  note(`making seed ${seed} smaller\n`);
  const until = performance.now() + SHRINK_MS_MAX;
  const shrunk = shrink(seed, {
    start,
    late: () => performance.now() > until,
    onStep: (reduction, runs) => note(`  run ${runs}: ${commandOf(seed, reduction)}\n`),
  });
  if (shrunk === undefined) return;
  const { reduction, result, runs } = shrunk;
  write(describeReduced(result, runs));
  write(describeSeed(result, version, reduction, writeTrace(seed, reduction, version, options.traceDir)));
}
