/**
 * One run of a named composition: quiet start, faults under load, heal, final reads, verdict.
 */
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { Prng } from "../src/base/index.js";
import type { Violation } from "../src/check/index.js";
import { isQuorateError } from "../src/index.js";
import { faultBands, type FaultBand } from "./analysis/timeline.js";
import { leaderChangesPer20s, thinnessOf } from "./analysis/thinness.js";
import { faultTimes, summarize, type FaultSummary } from "./analysis/times.js";
import { TestCluster } from "./cluster/test-cluster.js";
import { DoubtProbe } from "./doubt-probe.js";
import { HistoryWriter } from "./history-writer.js";
import { runEpisodes, type Composition } from "./nemesis/composition.js";
import { writeReport } from "./report/write-report.js";
import { judgeRun, settle, type Verdict } from "./verdict.js";
import { Watch } from "./watch.js";
import { fund, TransferWorkload } from "./workload/transfers.js";

export { checkHistory, readHistory, type HistoryReport } from "./analysis/check-history.js";
export type { FaultSummary } from "./analysis/times.js";
export type { Composition } from "./nemesis/composition.js";
export { COMPOSITIONS, compositionNamed } from "./nemesis/compositions.js";
export { writeReport } from "./report/write-report.js";

export interface RunOptions {
  readonly nodes: number;
  readonly seconds: number;
  readonly workers: number;
  /** Makes the fault injector's choices. The machine makes the timing: a seed repeats the faults, not the interleaving. */
  readonly seed: string;
  /** Where history.jsonl, verdict.json, report.html and the nodes' logs go; undefined: nowhere. */
  readonly outputDir: string | undefined;
  readonly onProgress: (line: string) => void;
}

export interface RunReport extends Verdict {
  readonly composition: string;
  readonly summary: string;
  readonly seed: string;
  /** Repeats the run. */
  readonly command: string;
  readonly seconds: number;
  readonly workers: number;
  readonly nodes: number;
  readonly faultsInjected: number;
  readonly faultsFelt: number;
  readonly faultSeconds: number;
  readonly leaderChanges: number;
  readonly leaderChangesPer20s: number;
  readonly epochBefore: number;
  readonly epochAfter: number;
  /** Branches whose participant had to ask for the outcome. */
  readonly resolvedByInquiry: number;
  readonly times: readonly FaultSummary[];
  readonly history: string | undefined;
}

const CLIENTS = 3;
/** Outcomes must outlive the run, or the final reads would find them forgotten. */
const NODE_ARGS = ["--retention-ms", "3600000"];
const NS_PER_S = 1e9;

/** Throws RangeError when the composition needs more nodes. */
export async function runComposition(composition: Composition, options: RunOptions): Promise<RunReport> {
  if (options.nodes < composition.nodesMin) throw new RangeError(`${composition.name} needs ${composition.nodesMin} nodes`);
  const history = new HistoryWriter();
  const probe = new DoubtProbe(history);
  const test = await TestCluster.open(options.nodes, CLIENTS, NODE_ARGS, probe);
  try {
    await fund(test);
    const epochBefore = test.leader()?.epoch ?? 0;
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), options.seconds * 1000);
    options.onProgress(
      `${composition.name}: ${composition.summary}; ${options.seconds} s, ${options.workers} clients, leader n${test.leader()?.id ?? "?"}, seed ${options.seed}`,
    );
    const watch = new Watch(test, history, probe);
    watch.start();
    const load = new TransferWorkload(test, history).run(options.workers, stop.signal);
    const ground = { test, history, prng: new Prng(options.seed), stop: stop.signal };
    const unrecovered: Violation[] = [];
    const recovers = async (what: Promise<void>): Promise<void> => {
      try {
        await what;
      } catch (error) {
        if (!isQuorateError(error)) throw error;
        unrecovered.push({ invariant: "L1-recovery", message: error.message });
        history.nemesis({ fault: "unrecovered", at: "seen", message: error.message });
      }
    };
    await recovers(runEpisodes(composition, ground));
    stop.abort();
    clearTimeout(timer);
    await load;
    options.onProgress("healing, waiting for rest, reading everything back");
    await recovers(test.healed());
    const bands = faultBands(history.events);
    const { orphans, locks } = await settle(test);
    await watch.stop();
    probe.writeOpen();
    const verdict = await judgeRun(test, history.events, {
      branches: probe.resolved + probe.open,
      orphans,
      locks,
      recoveries: bands.length + 1,
      unrecovered,
    });
    const epochAfter = test.leader()?.epoch ?? 0;
    const faultSeconds = secondsUnderFaults(bands);
    const leaderChanges = epochAfter - epochBefore;
    const figures = {
      faultSeconds,
      leaderChanges,
      leaderChangesPer20s: leaderChangesPer20s({ faultSeconds, leaderChanges }),
      faultsInjected: bands.length,
      faultsFelt: bands.filter(({ verified }) => verified).length,
      resolvedByInquiry: test.attachment.stats().reduce((sum, each) => sum + each.resolvedByInquiry, 0),
    };
    const thin = thinnessOf({ ...figures, ...verdict }, composition);
    const report: RunReport = {
      composition: composition.name,
      summary: composition.summary,
      seed: options.seed,
      command: commandOf(composition, options),
      seconds: options.seconds,
      workers: options.workers,
      nodes: options.nodes,
      epochBefore,
      epochAfter,
      times: summarize(faultTimes(history.events)),
      history: options.outputDir === undefined ? undefined : join(options.outputDir, "history.jsonl"),
      ...verdict,
      ...figures,
      ...(verdict.verdict === "valid" && thin.length > 0 ? { verdict: "unknown", why: `too thin: ${thin.join("; ")}` } : {}),
    };
    if (options.outputDir !== undefined) save(report, history, test, options.outputDir);
    return report;
  } finally {
    await test.close();
  }
}

function save(report: RunReport, history: HistoryWriter, test: TestCluster, dir: string): void {
  mkdirSync(dir, { recursive: true });
  for (const { logFile } of test.cluster.nodes) copyFileSync(logFile, join(dir, basename(logFile)));
  history.save(join(dir, "history.jsonl"));
  writeFileSync(join(dir, "verdict.json"), `${JSON.stringify(report, undefined, 2)}\n`);
  writeReport(dir);
}

/** From the beginning of the first to the end of the last. */
function secondsUnderFaults(bands: readonly FaultBand[]): number {
  const from = bands[0]?.fromNs ?? 0;
  return (Math.max(...bands.map(({ toNs }) => toNs), from) - from) / NS_PER_S;
}

function commandOf(composition: Composition, options: RunOptions): string {
  return `npx quorate partition run ${composition.name} --seconds ${options.seconds} --workers ${options.workers} --nodes ${options.nodes} --seed ${options.seed}`;
}
