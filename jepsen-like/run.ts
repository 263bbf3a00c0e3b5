/**
 * One run of a named composition: quiet start, faults under load, heal, final reads, verdict.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { TestCluster } from "./cluster/test-cluster.js";
import { HistoryWriter } from "./history-writer.js";
import type { Composition } from "./nemesis/compositions.js";
import { judgeRun, type Verdict } from "./verdict.js";
import { fund, TransferWorkload } from "./workload/transfers.js";

export { COMPOSITIONS, compositionNamed, type Composition } from "./nemesis/compositions.js";

export interface RunOptions {
  readonly nodes: number;
  readonly seconds: number;
  readonly workers: number;
  /** Where history.jsonl and verdict.json go; undefined: nowhere. */
  readonly outputDir: string | undefined;
  readonly onProgress: (line: string) => void;
}

export interface RunReport extends Verdict {
  readonly composition: string;
  readonly seconds: number;
  readonly nodes: number;
  readonly faultsFelt: number;
  readonly leaderChanges: number;
  readonly epochBefore: number;
  readonly epochAfter: number;
  readonly history: string | undefined;
}

const CLIENTS = 3;
/** Outcomes must outlive the run, or the final reads would find them forgotten. */
const NODE_ARGS = ["--retention-ms", "3600000"];

export async function runComposition(composition: Composition, options: RunOptions): Promise<RunReport> {
  const history = new HistoryWriter();
  const test = await TestCluster.open(options.nodes, CLIENTS, NODE_ARGS);
  try {
    await fund(test);
    const epochBefore = test.leader()?.epoch ?? 0;
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), options.seconds * 1000);
    options.onProgress(
      `${composition.name}: ${composition.summary}; ${options.seconds} s, ${options.workers} clients, leader n${test.leader()?.id ?? "?"}`,
    );
    const load = new TransferWorkload(test, history).run(options.workers, stop.signal);
    const faultsFelt = await composition.run(test, history, stop.signal);
    await load;
    clearTimeout(timer);
    options.onProgress("healing, waiting for rest, reading everything back");
    await test.healed();
    const verdict = await judgeRun(test, history);
    const epochAfter = test.leader()?.epoch ?? 0;
    const report: RunReport = {
      composition: composition.name,
      seconds: options.seconds,
      nodes: options.nodes,
      faultsFelt,
      leaderChanges: epochAfter - epochBefore,
      epochBefore,
      epochAfter,
      history: options.outputDir === undefined ? undefined : join(options.outputDir, "history.jsonl"),
      ...verdict,
    };
    if (options.outputDir !== undefined) {
      mkdirSync(options.outputDir, { recursive: true });
      history.save(join(options.outputDir, "history.jsonl"));
      writeFileSync(join(options.outputDir, "verdict.json"), `${JSON.stringify(report, undefined, 2)}\n`);
    }
    return report;
  } finally {
    await test.close();
  }
}
