/**
 * `quorate bench restart`: a cluster that has decided many transactions, of which a follower is killed and started again.
 *
 * `restartMs`: from the start of its process until its own probe says that it serves as a follower. `caughtUpMs`: until it has applied
 * all that the leader has committed. No load runs meanwhile: what is measured is the recovery of what is on its disk.
 */
import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { compareZxid, formatNodeId, must, QuorateError, type NodeId } from "../../base/index.js";
import { transactionLoad, type ParticipantKind } from "../../bench/loads.js";
import { spread } from "../../bench/spread.js";
import { Endpoint } from "../../client/endpoint.js";
import { nodeStatus } from "../../client/node-calls.js";
import type { NodeStatus } from "../../wire/index.js";
import { BenchCluster } from "./cluster.js";
import { fill, type Filled } from "./fill.js";
import { EXIT } from "../command.js";
import type { ExitCode } from "../exit-codes.js";
import type { LocalCluster } from "../local-cluster.js";
import { formatBytes, note, printResult, type OutputFormat } from "../output.js";
import { formatTable } from "../table.js";

const READY_TIMEOUT_MS = 120_000;
/** For the last acknowledgements of the filling. */
const SETTLE_TIMEOUT_MS = 60_000;
/** The others notice the loss, and go on, before it comes back. */
const DOWN_MS = 1_000;
const BETWEEN_MS = 2_000;
const POLL_MS = 5;
const STATUS_TIMEOUT_MS = 2_000;

export interface RestartSettings {
  readonly transactions: number;
  readonly fillSeconds: number;
  readonly kills: number;
  readonly nodes: number;
  readonly kind: ParticipantKind;
  readonly participants: number;
  readonly valueBytes: number;
}

interface Restart {
  readonly node: NodeId;
  readonly restartMs: number;
  readonly caughtUpMs: number;
  readonly rssMiB: number;
}

interface NodeFigures {
  readonly node: string;
  readonly leads: boolean;
  readonly rssMiB: number;
  readonly logBytes: number;
  readonly stateBytes: number;
}

export async function restart(format: OutputFormat, settings: RestartSettings): Promise<ExitCode> {
  const bench = await BenchCluster.open({ endpoints: undefined, nodes: settings.nodes, nodeArgs: [] });
  try {
    const cluster = must(bench.cluster, "the cluster of this benchmark");
    const { kind, valueBytes } = settings;
    const participants = await bench.participants(kind, settings.participants);
    const load = transactionLoad(bench.quorate, { participants, kind, valueBytes, abortShare: 0 });
    const filled = await fill(load, settings.transactions, settings.fillSeconds, "decided");
    await settled(bench);
    const before = await statuses(cluster);
    const restarts: Restart[] = [];
    for (let i = 0; i < settings.kills; i++) {
      if (i > 0) await sleep(BETWEEN_MS);
      restarts.push(await restartOne(cluster, i));
    }
    const nodes = figures(cluster, await statuses(cluster));
    print(format, settings, filled, Math.max(0, ...before.map((status) => status.finishedOutcomes)), restarts, nodes);
    return filled.done === settings.transactions ? EXIT.ok : EXIT.failed;
  } finally {
    await bench.close();
  }
}

/** Resolves when everybody has acknowledged every decision. */
async function settled({ quorate }: BenchCluster): Promise<void> {
  const untilMs = performance.now() + SETTLE_TIMEOUT_MS;
  for (;;) {
    const leading = (await quorate.status()).find((node) => node.status?.role === "leading")?.status;
    if (leading?.openTransactions === 0) return;
    if (performance.now() > untilMs)
      throw new QuorateError(
        "QUORATE_TIMEOUT",
        `${leading?.openTransactions ?? "?"} transactions are not finished after ${SETTLE_TIMEOUT_MS} ms`,
      );
    await sleep(100);
  }
}

async function restartOne(cluster: LocalCluster, n: number): Promise<Restart> {
  const { leader } = await cluster.ready(READY_TIMEOUT_MS);
  const followers = cluster.nodes.map((node) => node.id).filter((id) => id !== leader);
  const victim = must(followers[n % followers.length], "a follower");
  cluster.signal(victim, "SIGKILL");
  await cluster.exited(victim);
  await sleep(DOWN_MS);
  const startedMs = performance.now();
  cluster.start(victim);
  const restartMs = await until(startedMs, `${formatNodeId(victim)} did not serve`, async () => {
    const probe = await cluster.readiness(victim);
    return probe?.ready === true && probe.established && probe.role === "following";
  });
  const caughtUpMs = await until(startedMs, `${formatNodeId(victim)} did not catch up`, async () => {
    const [own, theirs] = await Promise.all([statusOf(cluster, victim), statusOf(cluster, leader)]);
    return own !== undefined && theirs !== undefined && compareZxid(own.applied, theirs.committed) >= 0;
  });
  const rssMiB = Math.round(((await statusOf(cluster, victim))?.rssBytes ?? 0) / (1 << 20));
  note(
    `${n + 1}: ${formatNodeId(victim)} serves after ${restartMs.toFixed(0)} ms, has caught up after ${caughtUpMs.toFixed(0)} ms, ${rssMiB} MiB`,
  );
  return { node: victim, restartMs, caughtUpMs, rssMiB };
}

/** Milliseconds since `startedMs` when `holds` first did. */
async function until(startedMs: number, otherwise: string, holds: () => Promise<boolean>): Promise<number> {
  for (;;) {
    if (await holds()) return performance.now() - startedMs;
    if (performance.now() - startedMs > READY_TIMEOUT_MS)
      throw new QuorateError("QUORATE_TIMEOUT", `${otherwise} within ${READY_TIMEOUT_MS} ms`);
    await sleep(POLL_MS);
  }
}

/** Over a connection of its own: one that broke with the node would first wait before it dials again. */
async function statusOf(cluster: LocalCluster, id: NodeId): Promise<NodeStatus | undefined> {
  const endpoint = new Endpoint(cluster.node(id).clientAddress);
  try {
    return (await nodeStatus(endpoint, STATUS_TIMEOUT_MS)).status;
  } finally {
    endpoint.close();
  }
}

async function statuses(cluster: LocalCluster): Promise<readonly NodeStatus[]> {
  const all = await Promise.all(cluster.nodes.map((node) => statusOf(cluster, node.id)));
  return all.flatMap((status) => (status === undefined ? [] : [status]));
}

function figures(cluster: LocalCluster, all: readonly NodeStatus[]): readonly NodeFigures[] {
  return all.map((status) => {
    const { dataDir } = cluster.node(status.id);
    return {
      node: formatNodeId(status.id),
      leads: status.role === "leading",
      rssMiB: Math.round(status.rssBytes / (1 << 20)),
      logBytes: diskBytes(join(dataDir, "log")),
      stateBytes: diskBytes(join(dataDir, "state")),
    };
  });
}

/** Blocks that a folder takes on the disk; files that vanish meanwhile take none. */
export function diskBytes(path: string): number {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return 0;
  const own = stat.blocks * 512;
  return stat.isDirectory() ? readdirSync(path).reduce((sum, name) => sum + diskBytes(join(path, name)), own) : own;
}

function print(
  format: OutputFormat,
  settings: RestartSettings,
  filled: Filled,
  retained: number,
  restarts: readonly Restart[],
  nodes: readonly NodeFigures[],
): void {
  const restartMs = spread(restarts.map((each) => each.restartMs));
  const caughtUpMs = spread(restarts.map((each) => each.caughtUpMs));
  const common = { peer: "quorate", op: "restart", nodes: settings.nodes, transactions: filled.done };
  const fillRate = Math.round(filled.done / filled.seconds);
  printResult(format, {
    json: {
      ...common,
      mode: "restart",
      wanted: settings.transactions,
      kind: settings.kind,
      participants: settings.participants,
      valueBytes: settings.valueBytes,
      retained,
      fillSeconds: Math.round(filled.seconds * 10) / 10,
      failed: filled.failed,
      kills: settings.kills,
      restartMs,
      caughtUpMs,
      members: nodes,
    },
    lines: [
      { ...common, mode: "fill", opsPerSec: fillRate, seconds: filled.seconds, failed: filled.failed },
      ...restarts.map((each, i) => ({ ...common, mode: "restart", role: "follower", rep: i + 1, ...each, ...disk(nodes, each.node) })),
    ],
    table: () =>
      [
        `${filled.done} of ${settings.transactions} transactions decided at ${fillRate}/s, ${retained} outcomes retained.`,
        formatTable(
          ["", "MIN", "MEDIAN", "MAX"],
          [
            ["serves again, ms", restartMs?.min ?? "?", restartMs?.median ?? "?", restartMs?.max ?? "?"],
            ["has caught up, ms", caughtUpMs?.min ?? "?", caughtUpMs?.median ?? "?", caughtUpMs?.max ?? "?"],
          ],
        ),
        formatTable(
          ["NODE", "MEMORY", "LOG ON DISK", "STATE ON DISK"],
          nodes.map((each) => [
            each.leads ? `${each.node} (leads)` : each.node,
            `${each.rssMiB} MiB`,
            formatBytes(each.logBytes),
            formatBytes(each.stateBytes),
          ]),
        ),
      ].join("\n"),
  });
}

function disk(nodes: readonly NodeFigures[], id: NodeId): { readonly walMiB: number; readonly dataMiB: number } {
  const figures = nodes.find((each) => each.node === formatNodeId(id));
  const mib = (bytes: number): number => Math.round(bytes / (1 << 20));
  return { walMiB: mib(figures?.logBytes ?? 0), dataMiB: mib((figures?.logBytes ?? 0) + (figures?.stateBytes ?? 0)) };
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
