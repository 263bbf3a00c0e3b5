/**
 * One run: a named workload, quiet start, faults of a named composition under load, heal, final reads, verdict.
 */
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { must, Prng } from "../src/base/index.js";
import { isQuorateError } from "../src/index.js";
import { judge, type Judgement } from "./analysis/judge.js";
import { latencies, type Latencies } from "./analysis/series.js";
import { leaderChangesPer20s, thinnessOf } from "./analysis/thinness.js";
import { faultBands, type FaultBand } from "./analysis/timeline.js";
import { faultTimes, summarize, type FaultSummary } from "./analysis/times.js";
import type { ClusterUnderTest } from "./cluster/cluster-under-test.js";
import { ForeignCluster } from "./cluster/foreign-cluster.js";
import { availableOf } from "./cluster/equipment.js";
import { TestCluster } from "./cluster/test-cluster.js";
import { readBack, settle, touchAll } from "./collect.js";
import { DoubtProbe } from "./doubt-probe.js";
import { HistoryWriter } from "./history-writer.js";
import { hasVictims, runEpisodes, type Composition, type Ground } from "./nemesis/composition.js";
import { Observer } from "./participants/observer.js";
import { openParticipants, type Participants } from "./participants/open-participants.js";
import { writeReport } from "./report/write-report.js";
import { Watch } from "./watch.js";
import { NodeVoice } from "./workload/node-voice.js";
import { runParts, type Stage, type Workload } from "./workload/stage.js";

export { checkHistory, type HistoryReport } from "./analysis/check-history.js";
export type { Latencies } from "./analysis/series.js";
export { readHistory } from "./analysis/read-history.js";
export type { FaultSummary } from "./analysis/times.js";
export type { Composition } from "./nemesis/composition.js";
export { ANYWHERE, COMPOSITIONS, compositionNamed, SHAPES_ALONE } from "./nemesis/compositions.js";
export { writeReport } from "./report/write-report.js";
export { WORKLOAD_DEFAULT, workloadNamed, WORKLOADS } from "./workload/workloads.js";
export type { Workload } from "./workload/stage.js";

export interface RunOptions {
  readonly workload: Workload;
  readonly seconds: number;
  readonly workers: number;
  /** Makes the fault injector's choices. The machine makes the timing: a seed repeats the faults, not the interleaving. */
  readonly seed: string;
  /** Where history.jsonl, verdict.json, report.html and the processes' logs go; undefined: nowhere. */
  readonly outputDir: string | undefined;
  readonly onProgress: (line: string) => void;
}

export interface RunReport extends Judgement {
  readonly composition: string;
  readonly workload: string;
  readonly summary: string;
  readonly seed: string;
  /** Repeats the run. */
  readonly command: string;
  readonly seconds: number;
  readonly workers: number;
  readonly nodes: number;
  /** Of somebody's own cluster: what this run could not see. */
  readonly notChecked: readonly string[];
  readonly faultsInjected: number;
  readonly faultsFelt: number;
  readonly faultSeconds: number;
  readonly leaderChanges: number;
  readonly leaderChangesPer20s: number;
  readonly epochBefore: number;
  readonly epochAfter: number;
  readonly latencies: Latencies;
  readonly times: readonly FaultSummary[];
  readonly history: string | undefined;
}

const CLIENTS = 3;
/** Outcomes must outlive the run, or the final reads would find them forgotten. */
const RETENTION_MS_MIN = 3_600_000;
const NS_PER_S = 1e9;

/** Against a cluster of its own. Throws RangeError when the composition does not fit. */
export async function runComposition(composition: Composition, nodes: number, options: RunOptions): Promise<RunReport> {
  if (nodes < composition.nodesMin) throw new RangeError(`${composition.name} needs ${composition.nodesMin} nodes`);
  const retentionMs = Math.max(RETENTION_MS_MIN, 2 * options.seconds * 1000);
  const needs = await availableOf(composition, options.onProgress);
  const test = await TestCluster.open(nodes, CLIENTS, ["--retention-ms", String(retentionMs)], needs);
  const command = commandOf(composition.name, options, `--nodes ${nodes} --network ${test.network.kind}`);
  return closing(test, () => new Run(test, composition, options, { command, suffix: "", notChecked: [] }).run());
}

/** Against somebody's own cluster, which whoever likes may break meanwhile. */
export async function runForeign(composition: Composition<ClusterUnderTest>, endpoints: string, options: RunOptions): Promise<RunReport> {
  const test = await ForeignCluster.open(endpoints, CLIENTS);
  const command = commandOf(composition.name, options, `--endpoints ${endpoints}`);
  // A store serves one participant for ever: names of this run alone.
  const suffix = `-${new Prng(`${options.seed}/${process.pid}/${Date.now()}`).uint32().toString(36)}`;
  const notChecked = [
    "I5: whether a majority was connected while branches were in doubt is not known here",
    "I3 beyond a crash of processes: whether its machines lose power is up to whoever runs it",
    "outcomes older than the cluster's retention: keep the run shorter than that",
    "data folders, logs and processors of the nodes",
  ];
  return closing(test, () => new Run(test, composition, options, { command, suffix, notChecked }).run());
}

async function closing<T>(test: ClusterUnderTest, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } finally {
    await test.close();
  }
}

interface Circumstances {
  readonly command: string;
  readonly suffix: string;
  readonly notChecked: readonly string[];
}

class Run<Cluster extends ClusterUnderTest> {
  readonly #test: Cluster;
  readonly #composition: Composition<Cluster>;
  readonly #options: RunOptions;
  readonly #circumstances: Circumstances;
  readonly #history = new HistoryWriter();
  readonly #probe = new DoubtProbe(this.#history);
  readonly #observer = new Observer(this.#history, this.#probe);

  constructor(test: Cluster, composition: Composition<Cluster>, options: RunOptions, circumstances: Circumstances) {
    this.#test = test;
    this.#composition = composition;
    this.#options = options;
    this.#circumstances = circumstances;
  }

  async run(): Promise<RunReport> {
    const { workload, seed } = this.#options;
    const participants = await openParticipants({
      wishes: workload.participants,
      cluster: this.#test,
      client: must(this.#test.clients[0], "a client"),
      duplicatesSeed: workload.duplicates ? seed : undefined,
      observer: this.#observer,
      suffix: this.#circumstances.suffix,
      onProgress: this.#options.onProgress,
    });
    const voices = this.#test.nodes.map((id) => new NodeVoice(id, this.#test.clientAddress(id)));
    const stage: Stage = {
      cluster: this.#test,
      voices,
      participants: participants.list,
      history: this.#history,
      prng: new Prng(`${seed}/workload`),
    };
    try {
      if (!hasVictims(this.#composition, stage.participants))
        throw new RangeError(`${this.#composition.name} breaks ${this.#composition.breaks}, and the workload ${workload.name} has none`);
      const epochBefore = this.#test.leader()?.epoch ?? 0;
      await this.#faults(stage);
      const report = await this.#report(stage, epochBefore);
      this.#save(report, participants);
      return report;
    } finally {
      for (const voice of voices) voice.close();
      await participants.close();
    }
  }

  /** Faults under load; afterwards everything is in touch again and nothing is under way. */
  async #faults(stage: Stage): Promise<void> {
    const { workload, seconds, workers, seed, onProgress } = this.#options;
    const composition = this.#composition;
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), seconds * 1000);
    onProgress(`${composition.name}: ${composition.summary}`);
    onProgress(
      `${workload.name}: ${workload.summary}; ${seconds} s, ${workers} clients, leader n${this.#test.leader()?.id ?? "?"}, seed ${seed}`,
    );
    const watch = new Watch(this.#test, stage.participants, this.#history, this.#probe);
    watch.start();
    const load = runParts(workload, stage, workers, stop.signal);
    const ground: Ground<Cluster> = {
      test: this.#test,
      participants: stage.participants,
      history: this.#history,
      prng: new Prng(seed),
      stop: stop.signal,
    };
    try {
      await this.#recovers(Promise.race([runEpisodes(composition, ground), load.then(() => undefined)]));
      stop.abort();
      await load;
      onProgress("healing, waiting for rest, reading everything back");
      await this.#recovers(this.#test.healed());
      const own = gidsOf(this.#history);
      await this.#attempt("the end of the work", () => settle(stage, own));
      await touchAll(stage);
      await watch.states(true);
      await readBack(stage, own);
    } finally {
      stop.abort();
      clearTimeout(timer);
      await watch.stop();
    }
    this.#probe.writeOpen();
    const { resolvedByInquiry, duplicates, lateTries } = this.#observer;
    this.#say("counts", { branches: this.#probe.resolved + this.#probe.open, resolvedByInquiry, duplicates, lateTries });
  }

  async #report(stage: Stage, epochBefore: number): Promise<RunReport> {
    const { workload, seed, seconds, workers, outputDir } = this.#options;
    const { events } = this.#history;
    const judgement = judge(events);
    const bands = faultBands(events);
    const epochAfter = this.#test.leader()?.epoch ?? 0;
    const faultSeconds = secondsUnderFaults(bands);
    const leaderChanges = epochAfter - epochBefore;
    const figures = {
      faultSeconds,
      leaderChanges,
      leaderChangesPer20s: leaderChangesPer20s({ faultSeconds, leaderChanges }),
      faultsInjected: bands.length,
      faultsFelt: bands.filter(({ verified }) => verified).length,
    };
    const asks = stage.participants.some(({ branchKind }) => branchKind === "2pc");
    const thin = thinnessOf({ ...figures, ...judgement }, { ...this.#composition, ...workload, asks });
    const why = [...(judgement.why === undefined ? [] : [judgement.why]), ...(thin.length > 0 ? [`too thin: ${thin.join("; ")}`] : [])];
    return {
      composition: this.#composition.name,
      workload: workload.name,
      summary: this.#composition.summary,
      seed,
      command: this.#circumstances.command,
      seconds,
      workers,
      nodes: stage.cluster.nodes.length,
      notChecked: this.#circumstances.notChecked,
      epochBefore,
      epochAfter,
      latencies: latencies(events),
      times: summarize(faultTimes(events)),
      history: outputDir === undefined ? undefined : join(outputDir, "history.jsonl"),
      ...judgement,
      ...figures,
      ...(judgement.verdict !== "invalid" && why.length > 0 ? { verdict: "unknown", why: why.join("; ") } : {}),
    };
  }

  /** A cluster that does not come back is a verdict of its own. */
  async #recovers(what: Promise<void>): Promise<void> {
    const faults = faultBands(this.#history.events).length;
    try {
      await what;
      for (let i = Math.max(1, faultBands(this.#history.events).length - faults); i > 0; i--) this.#say("recovery", true);
    } catch (error) {
      if (!isQuorateError(error)) throw error;
      this.#say("recovery", error.message);
      this.#history.nemesis({ fault: "unrecovered", at: "seen", message: error.message });
    }
  }

  async #attempt(what: string, step: () => Promise<void>): Promise<void> {
    try {
      await step();
    } catch (error) {
      if (!isQuorateError(error)) throw error;
      this.#say("unread", `${what}: ${error.message}`);
    }
  }

  #say(f: string, value: Parameters<HistoryWriter["nemesis"]>[0]): void {
    this.#history.add({ process: -1, type: "info", f, key: "", value });
  }

  #save(report: RunReport, participants: Participants): void {
    const { outputDir } = this.#options;
    if (outputDir === undefined) return;
    mkdirSync(outputDir, { recursive: true });
    for (const file of [...this.#test.logFiles(), ...participants.logFiles]) copyFileSync(file, join(outputDir, basename(file)));
    this.#history.save(join(outputDir, "history.jsonl"));
    writeFileSync(join(outputDir, "verdict.json"), `${JSON.stringify(report, undefined, 2)}\n`);
    writeReport(outputDir);
  }
}

/** Every transaction that a client of this run asked for. */
function gidsOf({ events }: HistoryWriter): ReadonlySet<string> {
  return new Set(events.flatMap(({ type, f, key }) => (type === "invoke" && (f === "decide" || f === "txn") ? [key] : [])));
}

/** From the beginning of the first to the end of the last. */
function secondsUnderFaults(bands: readonly FaultBand[]): number {
  const from = bands[0]?.fromNs ?? 0;
  return (bands.reduce((end, { toNs }) => Math.max(end, toNs), from) - from) / NS_PER_S;
}

function commandOf(composition: string, { workload, seconds, workers, seed }: RunOptions, where: string): string {
  return `npx quorate partition run ${composition} --workload ${workload.name} --seconds ${seconds} --workers ${workers} ${where} --seed ${seed}`;
}
