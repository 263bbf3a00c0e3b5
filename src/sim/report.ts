/**
 * What a run of the simulator says: in words, in JSON, and in a trace file for each failure.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { PRODUCT_VERSION } from "../base/index.js";
import type { BatchResult } from "./batch.js";
import { missingMarks } from "./marks.js";
import { commandOf, type Reduction } from "./reduction.js";
import { runSeed, type SeedResult } from "./run.js";

const MS_PER_HOUR = 3_600_000;
const NOTHING: Reduction = { without: [] };

/** The commit of this checkout, or the version of an installed package. Seeds mean something only together with it. */
export function sourceVersion(): string {
  const git = (...args: string[]): string =>
    execFileSync("git", args, {
      cwd: dirname(fileURLToPath(import.meta.url)),
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
  try {
    const changed = git("status", "--porcelain", "--untracked-files=no", "--", ".") === "" ? "" : " and uncommitted changes";
    return `commit ${git("rev-parse", "--short=12", "HEAD")}${changed}`;
  } catch {
    return `version ${PRODUCT_VERSION}`;
  }
}

/** Runs a failed seed again with its trace, and writes that to a file. Returns its path. */
export function writeTrace(seed: number, reduction: Reduction, version: string, folder: string | undefined): string {
  const result = runSeed(seed, { reduction, trace: true });
  const path = join(folder ?? join(tmpdir(), "quorate-sim"), `seed-${seed}${isWhole(reduction) ? "" : "-reduced"}.trace`);
  mkdirSync(dirname(path), { recursive: true });
  const head = [
    `seed ${seed}, ${version}, Node ${process.version}`,
    `replay with: ${commandOf(seed, reduction)}`,
    result.violation === undefined ? "holds" : `${result.violation.invariant}: ${result.violation.message}`,
    `faults that struck: ${result.struck.join(" ")}`,
    `swarm: ${JSON.stringify(result.swarm)}`,
    "",
    "simulated ms, who, what; ~> and => are messages as they leave",
  ];
  writeFileSync(path, `${head.join("\n")}\n${result.trace.join("\n")}\n`);
  return path;
}

export function isWhole(reduction: Reduction): boolean {
  return reduction.without.length === 0 && Object.values(reduction).every((value) => value === undefined || Array.isArray(value));
}

// ---- one seed

export function seedJson({ seed, ok, violation, traceHash, simulatedMs, events, decisions, commits, leaderChanges }: SeedResult): object {
  return { seed, ok, violation, traceHash, simulatedMs, events, decisions, commits, leaderChanges };
}

export function describeSeed(result: SeedResult, version: string, reduction: Reduction = NOTHING, tracePath?: string): string {
  const { seed, ok, violation, traceHash, simulatedMs, events, decisions, commits, leaderChanges } = result;
  const facts = `${(simulatedMs / 1000).toFixed(1)} simulated s, ${events} events, ${decisions} decisions, ${commits} commits, ${leaderChanges} leader changes, trace ${traceHash}`;
  if (ok) return `seed ${seed} holds: ${facts}\n`;
  return [
    `seed ${seed} FAILED: ${violation?.invariant ?? "?"}`,
    violation?.message ?? "",
    facts,
    `of ${version}`,
    ...(tracePath === undefined ? [] : [`trace: ${tracePath}`]),
    `replay with: ${commandOf(seed, reduction)}`,
    "",
  ].join("\n");
}

/** What is left of a reduced run, for somebody who starts to think about it. */
export function describeReduced({ swarm, struck, simulatedMs }: SeedResult, runs: number): string {
  const { nodes, clients, lanes, resources, instances } = swarm;
  return [
    `after ${runs} runs, left: ${nodes} nodes, ${clients} clients with ${lanes} lanes, participants ${resources.join(" ")} with ${instances} instances, ${(simulatedMs / 1000).toFixed(1)} s`,
    `faults that struck: ${struck.length === 0 ? "none" : struck.join(" ")}`,
    "",
  ].join("\n");
}

// ---- a batch

export function batchJson(result: BatchResult, version: string, traces: ReadonlyMap<number, string>): object {
  const { coverage, failures, ...totals } = result;
  return {
    ...totals,
    version,
    simulatedHours: result.simulatedMs / MS_PER_HOUR,
    simulatedHoursPerRealMinute: hoursPerMinute(result),
    coverage: Object.fromEntries([...coverage].sort(([a], [b]) => (a < b ? -1 : 1))),
    marksMissing: missingMarks(coverage),
    failures: failures.map((failure) => ({
      ...seedJson(failure),
      replay: commandOf(failure.seed, NOTHING),
      trace: traces.get(failure.seed) ?? null,
    })),
  };
}

/** Situations first: the totals stand at the end, where they are looked for. */
export function describeBatch(result: BatchResult, version: string): string {
  const { seeds, failures, simulatedMs, realMs, decisions, commits, leaderChanges, unjudged, thin, coverage, from } = result;
  const lines = [
    "situations reached:",
    ...[...coverage].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, times]) => `  ${String(times).padStart(9)}  ${name}`),
    `${decisions} decisions, ${commits} commits, ${leaderChanges} leader changes, ${unjudged} registers too much work to judge`,
    `${(simulatedMs / MS_PER_HOUR).toFixed(2)} simulated hours in ${(realMs / 60_000).toFixed(2)} minutes: ${hoursPerMinute(result).toFixed(1)} simulated hours per real minute`,
    `${seeds} seeds from ${from}, ${version}: ${failures.length} failed, ${thin.length} too thin to say much${thin.length === 0 ? "" : ` (${thin.slice(0, 10).join(", ")})`}`,
  ];
  return `${lines.join("\n")}\n`;
}

function hoursPerMinute({ simulatedMs, realMs }: BatchResult): number {
  return realMs === 0 ? 0 : simulatedMs / MS_PER_HOUR / (realMs / 60_000);
}
