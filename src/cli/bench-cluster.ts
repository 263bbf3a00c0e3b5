/**
 * What a benchmark runs on: a cluster of its own unless one is named, participants in processes of their own, and an account of the CPU
 * time that all of them and this process spend.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, openSync, closeSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { machineBusySeconds, processUsage } from "../bench/process-usage.js";
import { QuorateError } from "../base/index.js";
import { connect, type Quorate } from "../client/index.js";
import { atInterrupt } from "./interrupt.js";
import { LocalCluster, PROGRAM } from "./local-cluster.js";
import { note } from "./output.js";
import { findPortBlock } from "./ports.js";

const READY_TIMEOUT_MS = 30_000;
const ATTACH_TIMEOUT_MS = 15_000;

export interface BenchOptions {
  readonly endpoints: string | undefined;
  readonly nodes: number;
  /** Further options of each node. */
  readonly nodeArgs: readonly string[];
}

interface Child {
  readonly name: string;
  readonly process: ChildProcess;
}

export interface CpuShare {
  /** Cores of this machine, by process. */
  readonly cores: Readonly<Record<string, number>>;
  /** Everything of ours together. */
  readonly total: number;
  /** Every other process of the machine; undefined where it cannot be known. */
  readonly foreign: number | undefined;
}

export class BenchCluster {
  readonly quorate: Quorate;
  readonly cluster: LocalCluster | undefined;
  readonly #dir: string;
  readonly #children: Child[] = [];

  private constructor(quorate: Quorate, cluster: LocalCluster | undefined, dir: string) {
    this.quorate = quorate;
    this.cluster = cluster;
    this.#dir = dir;
  }

  static async open(options: BenchOptions): Promise<BenchCluster> {
    const dir = mkdtempSync(join(tmpdir(), "quorate-bench-"));
    atInterrupt(() => rmSync(dir, { recursive: true, force: true }));
    if (options.endpoints !== undefined) return new BenchCluster(await connect(options.endpoints), undefined, dir);
    const block = await findPortBlock(options.nodes);
    const cluster = new LocalCluster({ clusterId: "bench", dir, ports: block.ports, args: options.nodeArgs });
    process.once("exit", () => cluster.killAll());
    atInterrupt(() => cluster.killAll());
    cluster.startAll();
    const { leader } = await cluster.ready(READY_TIMEOUT_MS);
    note(`Cluster of ${options.nodes} nodes on ${cluster.endpoints}, leader n${leader}.`);
    return new BenchCluster(await connect(cluster.endpoints), cluster, dir);
  }

  /** Starts participants of this kind, one process each, and waits until the leader has them. Returns their names. */
  async participants(kind: "kv" | "null", count: number): Promise<readonly string[]> {
    const endpoints =
      this.cluster?.endpoints ??
      this.quorate
        .view()
        ?.members.map((member) => member.clientAddress)
        .join(",") ??
      "";
    const names = Array.from({ length: count }, (_, i) => `bench-${kind}-${i + 1}`);
    for (const name of names) {
      const log = openSync(join(this.#dir, `${name}.log`), "a");
      const args = [PROGRAM, "participant", kind, "--name", name, "--endpoints", endpoints, "--exit-with-parent"];
      if (kind === "kv") args.push("--dir", join(this.#dir, name));
      const child = spawn(process.execPath, args, { stdio: ["pipe", log, log], detached: true });
      closeSync(log);
      child.stdin?.on("error", () => undefined);
      this.#children.push({ name, process: child });
      process.once("exit", () => child.kill("SIGKILL"));
      atInterrupt(() => child.kill("SIGKILL"));
    }
    const untilMs = performance.now() + ATTACH_TIMEOUT_MS;
    for (;;) {
      const nodes = await this.quorate.status();
      const serving = nodes.flatMap((node) => (node.status?.role === "leading" ? [node.status] : []));
      if (names.every((name) => serving.some((node) => node.participants.some((each) => each.name === name && each.instances > 0))))
        return names;
      const dead = this.#children.find((child) => child.process.exitCode !== null);
      if (dead !== undefined || performance.now() > untilMs) {
        const name = dead?.name ?? names[0] ?? "";
        throw new QuorateError(
          "QUORATE_PARTICIPANT",
          `participant ${name} did not attach:\n${readFileSync(join(this.#dir, `${name}.log`), "utf8").slice(-2000)}`,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Starts counting; the function returned tells each process's share of a core since then. */
  countCpu(): () => CpuShare {
    const pids = this.#pids();
    const beganMs = performance.now();
    const before = new Map(pids.map(([name, pid]) => [name, processUsage(pid)?.cpuSeconds ?? 0] as const));
    const busyBefore = machineBusySeconds();
    return () => {
      const seconds = (performance.now() - beganMs) / 1000;
      const cores = Object.fromEntries(
        pids.map(([name, pid]) => [name, round(((processUsage(pid)?.cpuSeconds ?? 0) - (before.get(name) ?? 0)) / seconds)] as const),
      );
      const total = Object.values(cores).reduce((sum, each) => sum + each, 0);
      const busy = machineBusySeconds();
      const foreign =
        busy === undefined || busyBefore === undefined ? undefined : Math.max(0, round((busy - busyBefore) / seconds - total));
      return { cores, total: round(total), foreign };
    };
  }

  rssMiB(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#pids().map(([name, pid]) => [name, Math.round(processUsage(pid)?.rssMiB ?? 0)] as const));
  }

  async close(): Promise<void> {
    await this.quorate.close();
    for (const { process: child } of this.#children) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const exited = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGKILL");
      await exited;
    }
    await this.cluster?.stopAll(0);
    rmSync(this.#dir, { recursive: true, force: true });
  }

  #pids(): readonly (readonly [string, number])[] {
    const nodes = (this.cluster?.nodes ?? []).flatMap((node): (readonly [string, number])[] => {
      const pid = this.cluster?.pid(node.id);
      return pid === undefined ? [] : [[`n${node.id}`, pid]];
    });
    const children = this.#children.flatMap((child): (readonly [string, number])[] =>
      child.process.pid === undefined ? [] : [[child.name, child.process.pid]],
    );
    return [...nodes, ...children, ["driver", process.pid]];
  }
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
