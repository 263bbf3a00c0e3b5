/**
 * `quorate dev`: a cluster on this machine, one process per node. Ctrl-C leaves neither processes nor temporary data.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { formatNodeId, QuorateError, type NodeId } from "../../base/index.js";
import { isTunable, SETTING_KEYS, type SettingKey } from "../../config/index.js";
import { EXIT, flag, outputOf, text, type Command, type CommandArgs } from "../command.js";
import type { ExitCode } from "../exit-codes.js";
import { LocalCluster, type NodeExit } from "../local-cluster.js";
import { note, printResult } from "../output.js";
import { formatTable } from "../table.js";
import { findPortBlock, type PortBlock } from "../ports.js";
import { passOn, settingOptions } from "../settings-options.js";

const TEMP_PREFIX = "quorate-dev-";
/** Holds the pid of the `quorate dev` that owns a temporary folder. */
const OWNER_FILE = "owner";
const READY_TIMEOUT_MS = 30_000;
const WATCH_MS = 500;
const STOP_GRACE_MS = 5000;
/** A node that cannot start must not be started in a tight loop. */
const RESTART_DELAY_MS = 200;

const PASSED_ON: readonly SettingKey[] = [...SETTING_KEYS.filter(isTunable), "logLevel", "logFormat"];

export const command: Command = {
  usage: "dev",
  summary: "a cluster on this machine: one process per node",
  build: (yargs) =>
    settingOptions(yargs, PASSED_ON)
      .option("nodes", { type: "string", choices: ["1", "3", "5"], default: "3", describe: "how many nodes" })
      .option("data-dir", { type: "string", describe: "keep the data here; default: a temporary folder that is removed at the end" })
      .option("restart", { type: "boolean", default: false, describe: "start a node again when its process ends" })
      .option("cluster-id", { type: "string", default: "dev", describe: "the cluster's id" }),
  run: dev,
};

interface DataFolder {
  readonly dir: string;
  readonly temporary: boolean;
}

async function dev(args: CommandArgs): Promise<ExitCode> {
  const startedMs = performance.now();
  const nodes = Number(text(args, "nodes") ?? "3");
  const data = openData(text(args, "data-dir"), nodes);
  const stopping = new Promise<void>((done) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => done());
  });
  let cluster: LocalCluster | undefined;
  let watch: Watch | undefined;
  let ending = false;
  const end = (): void => {
    cluster?.killAll();
    if (data.temporary) rmSync(data.dir, { recursive: true, force: true });
  };
  process.once("exit", end);
  try {
    const block = await findPortBlock(nodes);
    cluster = new LocalCluster({
      clusterId: text(args, "cluster-id") ?? "dev",
      dir: data.dir,
      ports: block.ports,
      args: passOn(args, PASSED_ON),
      // Before it is ready, `ready` itself says which node ended and why.
      onExit: (exit) => {
        if (!ending) watch?.nodeEnded(exit);
      },
    });
    cluster.startAll();
    const running = cluster;
    const ready = await Promise.race([running.ready(READY_TIMEOUT_MS), stopping.then(() => undefined)]);
    if (ready !== undefined) {
      announce(args, running, ready, block, data, performance.now() - startedMs);
      watch = new Watch(running, ready.leader, ready.epoch, flag(args, "restart"));
      await stopping;
    }
  } finally {
    ending = true;
    watch?.stop();
    // A second Ctrl-C does not wait.
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(EXIT.failed));
    await cluster?.stopAll(data.temporary ? 0 : STOP_GRACE_MS);
    end();
    process.removeListener("exit", end);
  }
  return EXIT.ok;
}

function announce(
  args: CommandArgs,
  cluster: LocalCluster,
  ready: { readonly leader: NodeId; readonly epoch: number },
  block: PortBlock,
  data: DataFolder,
  tookMs: number,
): void {
  if (block.shift > 0) note(`Port ${block.taken} is in use: all ports are shifted by ${block.shift}.`);
  const exportLine = `export QUORATE_ENDPOINTS=${cluster.endpoints}`;
  const nodes = cluster.nodes.map((node) => ({
    id: node.id,
    pid: cluster.pid(node.id) ?? 0,
    role: node.id === ready.leader ? "leader" : "follower",
    endpoint: `quorate://${node.clientAddress}`,
    admin: `http://${node.adminAddress}`,
    log: node.logFile,
  }));
  printResult(outputOf(args), {
    json: {
      leader: ready.leader,
      epoch: ready.epoch,
      endpoints: cluster.endpoints,
      shiftedBy: block.shift,
      dataDir: data.dir,
      temporary: data.temporary,
      nodes,
    },
    table: () =>
      [
        `Quorate is ready after ${(tookMs / 1000).toFixed(1)} s: ${cluster.nodes.length} nodes, leader ${formatNodeId(ready.leader)}, epoch ${ready.epoch}.`,
        "",
        formatTable(
          ["NODE", "PID", "ROLE", "CLIENTS", "ADMIN AND METRICS", "LOG"],
          nodes.map((node) => [formatNodeId(node.id), node.pid, node.role, node.endpoint, node.admin, node.log]),
        ),
        "",
        data.temporary ? `Data: ${data.dir}, removed at the end.` : `Data: ${data.dir}, kept.`,
        "In another terminal:",
        `  ${exportLine}`,
        "  npx quorate status",
        "Ctrl-C stops the cluster.",
      ].join("\n"),
  });
}

/** Tells changes of leadership, and ends of processes. */
class Watch {
  readonly #cluster: LocalCluster;
  readonly #restart: boolean;
  readonly #leaderTimer: NodeJS.Timeout;
  readonly #restartTimers = new Set<NodeJS.Timeout>();
  #leader: number | undefined;
  #epoch: number;

  constructor(cluster: LocalCluster, leader: number, epoch: number, restart: boolean) {
    this.#cluster = cluster;
    this.#restart = restart;
    this.#leader = leader;
    this.#epoch = epoch;
    this.#leaderTimer = setInterval(() => void this.#look(), WATCH_MS);
  }

  nodeEnded(exit: NodeExit): void {
    const how = exit.signal === null ? `with status ${exit.code ?? "?"}: ${this.#cluster.lastWords(exit.id).message}` : `by ${exit.signal}`;
    note(`${formatNodeId(exit.id)} (pid ${exit.pid}) ended ${how}.${this.#restart ? " Starting it again." : ""}`);
    if (!this.#restart) return;
    const timer = setTimeout(() => {
      this.#restartTimers.delete(timer);
      this.#cluster.start(exit.id);
    }, RESTART_DELAY_MS);
    this.#restartTimers.add(timer);
  }

  stop(): void {
    clearInterval(this.#leaderTimer);
    for (const timer of this.#restartTimers) clearTimeout(timer);
  }

  async #look(): Promise<void> {
    const answers = await Promise.all(this.#cluster.nodes.map((node) => this.#cluster.readiness(node.id)));
    const leading = answers.find((answer) => answer?.role === "leading" && answer.established);
    if (leading === undefined) {
      if (this.#leader !== undefined) note("No leader with a majority.");
      this.#leader = undefined;
    } else if (leading.node !== this.#leader || leading.epoch !== this.#epoch) {
      note(`Leader is n${leading.node}, epoch ${leading.epoch}.`);
      this.#leader = leading.node;
      this.#epoch = leading.epoch;
    }
  }
}

/** A folder made here, or the user's; the same number of nodes as it had before. */
function openData(given: string | undefined, nodes: number): DataFolder {
  if (given === undefined) {
    sweepTemporary();
    const dir = mkdtempSync(join(tmpdir(), TEMP_PREFIX));
    writeFileSync(join(dir, OWNER_FILE), String(process.pid));
    return { dir, temporary: true };
  }
  const dir = resolve(given);
  mkdirSync(dir, { recursive: true });
  const before = readdirSync(dir).filter((name) => /^n\d+$/.test(name)).length;
  if (before > 0 && before !== nodes)
    throw new QuorateError("QUORATE_CONFIG", `${dir} holds a cluster of ${before} nodes: give --nodes ${before}, or another --data-dir`);
  return { dir, temporary: false };
}

/** Removes what a `quorate dev` that was killed by force has left behind. */
function sweepTemporary(): void {
  for (const name of readdirSync(tmpdir())) {
    if (!name.startsWith(TEMP_PREFIX)) continue;
    const dir = join(tmpdir(), name);
    try {
      const owner = Number(readFileSync(join(dir, OWNER_FILE), "utf8"));
      if (isAlive(owner)) continue;
      rmSync(dir, { recursive: true, force: true });
    } catch {
      // Not readable, or somebody else's: not ours to remove.
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
