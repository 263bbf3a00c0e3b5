/**
 * What a benchmark runs on: a cluster of its own unless one is named, participants in processes of their own, and an account of what all
 * of them and this process spend.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { formatNodeId, messageOf, QuorateError } from "../../base/index.js";
import type { ParticipantKind } from "../../bench/loads.js";
import { UsageMeter, type Watched } from "../../bench/usage-meter.js";
import { connect, type EndpointStatus, type Quorate } from "../../client/index.js";
import type { PostgresServer } from "../../testing/index.js";
import { benchPostgres } from "./postgres.js";
import { BenchProcesses } from "./processes.js";
import { atInterrupt } from "../interrupt.js";
import { LocalCluster } from "../local-cluster.js";
import { note } from "../output.js";
import { findPortBlock } from "../ports.js";
import { POSTGRES_CONNECTIONS } from "../postgres-participant.js";

const READY_TIMEOUT_MS = 30_000;
const ATTACH_TIMEOUT_MS = 30_000;
const START_ATTEMPTS = 5;
const CONNECT = { connectTimeoutMs: 15_000 } as const;
const LOOPBACK = /^(?:127\.|localhost:|\[::1\]:)/;

export interface BenchOptions {
  readonly endpoints: string | undefined;
  readonly nodes: number;
  /** Further options of each node. */
  readonly nodeArgs: readonly string[];
  /** For nodes and participants, over this process's own environment. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Those that are open: however this process ends, nothing of them stays. */
const live = new Set<BenchCluster>();
const starting = new Map<LocalCluster, string>();
let guarded = false;

export class BenchCluster {
  readonly quorate: Quorate;
  /** undefined: the cluster is somebody else's. */
  readonly cluster: LocalCluster | undefined;
  readonly #dir: string;
  readonly #processes: BenchProcesses;
  #servers: readonly PostgresServer[] = [];

  private constructor(quorate: Quorate, cluster: LocalCluster | undefined, dir: string, env?: BenchOptions["env"]) {
    this.quorate = quorate;
    this.cluster = cluster;
    this.#dir = dir;
    this.#processes = new BenchProcesses(dir, env);
    live.add(this);
  }

  /** Resolves when a leader is established. */
  static async open(options: BenchOptions): Promise<BenchCluster> {
    guard();
    for (let attempt = 1; ; attempt++) {
      const dir = mkdtempSync(join(tmpdir(), "quorate-bench-"));
      try {
        return options.endpoints === undefined
          ? await BenchCluster.#own(options, dir)
          : new BenchCluster(await connect(options.endpoints, CONNECT), undefined, dir, options.env);
      } catch (error) {
        rmSync(dir, { recursive: true, force: true });
        // Somebody took a port between the look and the bind.
        if (!messageOf(error).includes("EADDRINUSE") || attempt === START_ATTEMPTS) throw error;
      }
    }
  }

  static async #own(options: BenchOptions, dir: string): Promise<BenchCluster> {
    const block = await findPortBlock(options.nodes);
    // A name of its own, so that nobody else's cluster on these ports is taken for it.
    const clusterId = `bench-${process.pid}`;
    const cluster = new LocalCluster({ clusterId, dir, ports: block.ports, args: options.nodeArgs, env: options.env ?? {} });
    starting.set(cluster, dir);
    try {
      cluster.startAll();
      const { leader } = await cluster.ready(READY_TIMEOUT_MS);
      note(
        `Cluster of ${options.nodes} ${options.nodes === 1 ? "node" : "nodes"} on ${cluster.endpoints}, leader ${formatNodeId(leader)}.`,
      );
      const quorate = await connect(cluster.endpoints, CONNECT);
      if (quorate.clusterId !== clusterId) {
        await quorate.close();
        // The loop of the caller takes another block of ports.
        throw new QuorateError("QUORATE_CONFIG", `EADDRINUSE: cluster ${quorate.clusterId} answers on ${cluster.endpoints}`);
      }
      return new BenchCluster(quorate, cluster, dir, options.env);
    } catch (error) {
      await cluster.stopAll(0);
      throw error;
    } finally {
      starting.delete(cluster);
    }
  }

  /**
   * Starts participants of this kind, one process each, and waits until the leader has them. Returns their names. `connections`: how many
   * each one may open to its PostgreSQL server.
   */
  async participants(kind: ParticipantKind, count: number, connections = POSTGRES_CONNECTIONS): Promise<readonly string[]> {
    const names = Array.from({ length: count }, (_, i) => `bench-${kind}-${i + 1}`);
    if (kind === "postgres") this.#servers = await benchPostgres(count, connections);
    names.forEach((name, i) => {
      const args = ["participant", kind, "--name", name, "--endpoints", this.#endpoints(), "--timeout-ms", String(ATTACH_TIMEOUT_MS)];
      if (kind === "kv") args.push("--dir", join(this.#dir, name));
      if (kind === "postgres") args.push("--dsn", this.#servers[i]?.dsn ?? "", "--connections", String(connections));
      this.#processes.start(name, args);
    });
    const untilMs = performance.now() + ATTACH_TIMEOUT_MS;
    for (;;) {
      const serving = (await this.quorate.status()).flatMap((node) => (node.status?.role === "leading" ? [node.status] : []));
      const attached = (name: string): boolean =>
        serving.some((node) => node.participants.some((each) => each.name === name && each.instances > 0));
      if (names.every(attached)) return names;
      const failed = this.#processes.ended() ?? (performance.now() > untilMs ? names.find((name) => !attached(name)) : undefined);
      if (failed !== undefined)
        throw new QuorateError("QUORATE_PARTICIPANT", `participant ${failed} did not attach:\n${this.#processes.logTail(failed)}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Of the PostgreSQL participants, in their order. */
  get dsns(): readonly string[] {
    return this.#servers.map((server) => server.dsn);
  }

  /** Meters every process of this benchmark, as they are now; those of another machine's nodes cannot be. */
  async meter(): Promise<UsageMeter> {
    const nodes = this.cluster === undefined ? foreignNodes(await this.quorate.status()) : this.#ownNodes();
    const watched: Watched[] = [
      ...(nodes ?? []),
      ...this.#processes.pids().map(([name, pid]): Watched => ({ name, pid, role: "participant", family: false })),
      ...this.#servers.flatMap((server, i): Watched[] =>
        server.pid === undefined ? [] : [{ name: `postgres-${i + 1}`, pid: server.pid, role: "participant", family: true }],
      ),
      { name: "driver", pid: process.pid, role: "driver", family: false },
    ];
    return new UsageMeter(watched, nodes !== undefined);
  }

  async close(): Promise<void> {
    await this.quorate.close();
    await this.#processes.stop();
    await Promise.all(this.#servers.map((server) => server.stop()));
    await this.cluster?.stopAll(0);
    rmSync(this.#dir, { recursive: true, force: true });
    live.delete(this);
  }

  /** The same at once, for a process that is about to end. */
  discard(): void {
    this.#processes.kill();
    this.cluster?.killAll();
    rmSync(this.#dir, { recursive: true, force: true });
    for (const server of this.#servers) {
      try {
        server.stopSync();
      } catch (error) {
        // The others must go all the same; this one ends by itself when its parent is gone.
        note(messageOf(error));
      }
    }
  }

  #endpoints(): string {
    return (
      this.cluster?.endpoints ??
      this.quorate
        .view()
        ?.members.map((member) => member.clientAddress)
        .join(",") ??
      ""
    );
  }

  #ownNodes(): readonly Watched[] {
    return (this.cluster?.nodes ?? []).flatMap(({ id }): Watched[] => {
      const pid = this.cluster?.pid(id);
      return pid === undefined ? [] : [{ name: formatNodeId(id), pid, role: "node", family: false }];
    });
  }
}

/** Of a named cluster, if all its nodes run on this machine. */
function foreignNodes(nodes: readonly EndpointStatus[]): readonly Watched[] | undefined {
  const here = nodes.flatMap(({ address, status }): Watched[] =>
    status !== undefined && LOOPBACK.test(address) ? [{ name: formatNodeId(status.id), pid: status.pid, role: "node", family: false }] : [],
  );
  return here.length === nodes.length ? here : undefined;
}

function guard(): void {
  if (guarded) return;
  guarded = true;
  const discardAll = (): void => {
    for (const [cluster, dir] of starting) {
      cluster.killAll();
      rmSync(dir, { recursive: true, force: true });
    }
    for (const each of live) each.discard();
  };
  process.once("exit", discardAll);
  atInterrupt(discardAll);
}
