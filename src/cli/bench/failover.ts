/**
 * `quorate bench failover`: transactions at a fixed rate over two key-value participants; first the leader is killed again and again, then
 * leadership is handed over as often.
 *
 * `gapMs`: the longest silence between two acknowledged commits that ends after the event. `inDoubtMs`: the longest time any branch
 * knew that it had voted yes and not how it ended, measured at the participant.
 */
import { performance } from "node:perf_hooks";
import { formatNodeId, must, QuorateError, type NodeId } from "../../base/index.js";
import { transactionLoad } from "../../bench/loads.js";
import { PacedStream } from "../../bench/paced-stream.js";
import { spread, type Spread } from "../../bench/spread.js";
import type { AttachedBank } from "../../demo/bank.js";
import { InDoubtMeter } from "../../demo/in-doubt-meter.js";
import { openKvBank } from "../../demo/kv-bank.js";
import { BenchCluster } from "./cluster.js";
import { EXIT } from "../command.js";
import type { ExitCode } from "../exit-codes.js";
import { atInterrupt } from "../interrupt.js";
import type { LocalCluster } from "../local-cluster.js";
import { note, printResult, type OutputFormat } from "../output.js";
import { formatTable } from "../table.js";

const QUIET_MS = 1_500;
const AFTER_KILL_MS = 2_500;
const AFTER_HAND_OVER_MS = 500;
const READY_TIMEOUT_MS = 30_000;
const VALUE_BYTES = 64;

interface Kill {
  readonly killed: NodeId;
  readonly gapMs: number;
  readonly inDoubtMs: number;
}

interface HandOver {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly gapMs: number;
  /** Requests that failed from its beginning until the system was quiet again. */
  readonly failed: number;
}

interface Scene {
  readonly bench: BenchCluster;
  readonly cluster: LocalCluster;
  readonly stream: PacedStream;
  readonly meter: InDoubtMeter;
}

export interface FailoverSettings {
  /** Also how many hand-overs. */
  readonly kills: number;
  readonly rate: number;
  readonly nodes: number;
}

export async function failover(format: OutputFormat, settings: FailoverSettings): Promise<ExitCode> {
  const bench = await BenchCluster.open({ endpoints: undefined, nodes: settings.nodes, nodeArgs: [] });
  const banks: AttachedBank[] = [];
  try {
    const cluster = must(bench.cluster, "the cluster of this benchmark");
    const meter = new InDoubtMeter();
    for (const name of ["gap-a", "gap-b"]) banks.push(await openKvBank(name, meter));
    for (const bank of banks) atInterrupt(() => bank.discard());
    await bench.quorate.attach(...banks.map((bank) => bank.participant));
    const participants = banks.map((bank) => bank.name);
    const load = transactionLoad(bench.quorate, { participants, kind: "kv", valueBytes: VALUE_BYTES, abortShare: 0 });
    const stream = new PacedStream(load, settings.rate);
    const scene = { bench, cluster, stream, meter };
    const kills: Kill[] = [];
    for (let i = 1; i <= settings.kills; i++) kills.push(await kill(scene, i));
    const handOvers: HandOver[] = [];
    for (let i = 1; i <= settings.kills; i++) handOvers.push(await handOver(scene, i));
    await stream.stop();
    print(format, settings, stream, kills, handOvers);
    return stream.failures === 0 ? EXIT.ok : EXIT.failed;
  } finally {
    await bench.close();
    for (const bank of banks) await bank.close();
  }
}

async function kill({ bench, cluster, stream, meter }: Scene, n: number): Promise<Kill> {
  await sleep(QUIET_MS);
  meter.takeMaxMs();
  const leader = leaderOf(bench);
  const killedMs = stream.mark();
  cluster.signal(leader, "SIGKILL");
  await cluster.exited(leader);
  await sleep(AFTER_KILL_MS);
  const gapMs = stream.longestSilence(killedMs);
  const inDoubtMs = meter.takeMaxMs();
  note(`${n}: killed ${formatNodeId(leader)}, ${gapMs.toFixed(0)} ms without a commit, in doubt at most ${inDoubtMs.toFixed(0)} ms`);
  cluster.start(leader);
  await cluster.ready(READY_TIMEOUT_MS);
  return { killed: leader, gapMs, inDoubtMs };
}

async function handOver({ bench, stream }: Scene, n: number): Promise<HandOver> {
  await sleep(QUIET_MS);
  const from = leaderOf(bench);
  const failedBefore = stream.failures;
  const beganMs = stream.mark();
  const to = await bench.quorate.moveLeader();
  const tookMs = performance.now() - beganMs;
  await sleep(AFTER_HAND_OVER_MS);
  const gapMs = stream.longestSilence(beganMs);
  const failed = stream.failures - failedBefore;
  note(
    `${n}: handed over from ${formatNodeId(from)} to ${formatNodeId(to)} in ${tookMs.toFixed(0)} ms, ${gapMs.toFixed(0)} ms without a commit, ${failed} requests failed`,
  );
  return { from, to, gapMs, failed };
}

function leaderOf(bench: BenchCluster): NodeId {
  const leader = bench.quorate.view()?.leader;
  if (leader === undefined) throw new QuorateError("QUORATE_NO_QUORUM", "the cluster has no leader although nothing was done to it");
  return leader;
}

function print(
  format: OutputFormat,
  settings: FailoverSettings,
  stream: PacedStream,
  kills: readonly Kill[],
  handOvers: readonly HandOver[],
): void {
  const gapMs = spread(kills.map((each) => each.gapMs));
  const inDoubtMs = spread(kills.map((each) => each.inDoubtMs));
  const handOverGapMs = spread(handOvers.map((each) => each.gapMs));
  const failedInHandOvers = handOvers.reduce((sum, each) => sum + each.failed, 0);
  const common = { peer: "quorate", op: "failover", nodes: settings.nodes, rate: settings.rate };
  printResult(format, {
    json: {
      ...common,
      mode: "failover",
      kills: settings.kills,
      gapMs,
      inDoubtMs,
      handOver: { count: handOvers.length, gapMs: handOverGapMs, failed: failedInHandOvers },
      committed: stream.committed,
      failed: stream.failed,
    },
    lines: [
      ...kills.map((each, i) => ({ ...common, mode: "failover", rep: i + 1, ...rounded(each) })),
      ...handOvers.map((each, i) => ({ ...common, mode: "hand-over", rep: i + 1, ...rounded(each) })),
    ],
    table: () =>
      [
        formatTable(
          ["", "MIN", "MEDIAN", "MAX"],
          [
            row("leader killed: gap between commits, ms", gapMs),
            row("leader killed: longest in doubt, ms", inDoubtMs),
            row("handed over: gap between commits, ms", handOverGapMs),
          ],
        ),
        `${settings.kills} kills and ${handOvers.length} hand-overs at ${settings.rate} transactions a second: ${stream.committed} committed, ${stream.failures} failed (${failedInHandOvers} of them in hand-overs).`,
      ].join("\n"),
  });
}

function row(name: string, values: Spread | undefined): readonly (string | number)[] {
  return [name, values?.min ?? "?", values?.median ?? "?", values?.max ?? "?"];
}

function rounded<T extends object>(each: T): T {
  return Object.fromEntries(
    Object.entries(each).map(([name, value]) => [name, typeof value === "number" ? Math.round(value * 10) / 10 : (value as unknown)]),
  ) as T;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
