/**
 * A cluster of real processes for one test: free ports, a temporary folder, everything gone at the end.
 *
 * Runs the built program (`npm run build` first; `npm test` does). Ports are taken from below the range the system hands out for
 * outgoing connections, so that a node that was killed finds its ports free when it comes back.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { get } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isQuorateError, type NodeId } from "../../src/base/index.js";
import { isFree, LocalCluster, type LocalNode, type NodeExit, type NodePorts } from "../../src/cli/index.js";

const PORT_MIN = 10_000;
const PORT_MAX = 32_000;
const PORTS_PER_NODE = 3;
const START_ATTEMPTS = 3;
const READY_MS = 20_000;

export interface ClusterOptions {
  /** Default 3. */
  readonly nodes?: number;
  /** Options of `quorate start` for every node, such as `["--client-lost-ms", "500"]`. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly clusterId?: string;
  /** Default true: resolve when a leader is established and every node serves. */
  readonly waitForLeader?: boolean;
}

export interface Leadership {
  readonly leader: NodeId;
  readonly epoch: number;
}

/** Throws when the nodes do not come up; then what their logs say is in the message. */
export async function startCluster(options: ClusterOptions = {}): Promise<TestCluster> {
  for (let attempt = 1; ; attempt++) {
    const cluster = new TestCluster(options, await freePorts(options.nodes ?? 3));
    try {
      cluster.processes.startAll();
      if (options.waitForLeader !== false) await cluster.waitForLeader();
      return cluster;
    } catch (error) {
      await cluster.dispose();
      // Another test may have taken a port between the probe and the bind.
      const collision = isQuorateError(error) && error.message.includes("EADDRINUSE");
      if (!collision || attempt === START_ATTEMPTS) throw error;
    }
  }
}

export class TestCluster implements AsyncDisposable {
  readonly dir: string;
  readonly processes: LocalCluster;
  readonly exits: NodeExit[] = [];

  constructor(options: ClusterOptions, ports: readonly NodePorts[]) {
    this.dir = mkdtempSync(join(tmpdir(), "quorate-test-cluster-"));
    this.processes = new LocalCluster({
      clusterId: options.clusterId ?? "test",
      dir: this.dir,
      ports,
      args: options.args ?? [],
      env: options.env ?? {},
      onExit: (exit) => this.exits.push(exit),
    });
  }

  /** For `connect` and `--endpoints`. */
  get endpoints(): string {
    return this.processes.endpoints;
  }

  get ids(): readonly NodeId[] {
    return this.processes.nodes.map((node) => node.id);
  }

  node(id: number): LocalNode {
    return this.processes.node(id);
  }

  pid(id: number): number | undefined {
    return this.processes.pid(id);
  }

  /** Resolves when a leader is established and each of `ids` (every running node by default) follows it. */
  waitForLeader(ids?: readonly number[], timeoutMs = READY_MS): Promise<Leadership> {
    return this.processes.ready(timeoutMs, ids);
  }

  /** Waits for one. */
  async leader(): Promise<NodeId> {
    return (await this.waitForLeader()).leader;
  }

  /** Those that run and do not lead. */
  async followers(): Promise<readonly NodeId[]> {
    const leader = await this.leader();
    return this.ids.filter((id) => id !== leader && this.pid(id) !== undefined);
  }

  /** Resolves when the process is gone. */
  async kill9(id: number): Promise<void> {
    this.processes.signal(id, "SIGKILL");
    await this.processes.exited(id);
  }

  pause(id: number): void {
    this.processes.signal(id, "SIGSTOP");
  }

  resume(id: number): void {
    this.processes.signal(id, "SIGCONT");
  }

  /** SIGTERM, and waits for the end. */
  stop(id: number, graceMs = 10_000): Promise<void> {
    return this.processes.stop(id, graceMs);
  }

  /** Starts a node that has ended; does not wait for it to be ready. */
  restart(id: number, extra: { readonly args?: readonly string[]; readonly env?: Readonly<Record<string, string>> } = {}): void {
    this.processes.start(id, extra);
  }

  /** Sets failpoints of a running node; it must have been started with QUORATE_ENABLE_FAILPOINTS=1. */
  async failpoints(id: number, rules: string): Promise<void> {
    const response = await fetch(`http://${this.node(id).adminAddress}/failpoints`, { method: "PUT", body: rules });
    if (!response.ok) throw new Error(`failpoints of n${id}: ${await response.text()}`);
  }

  /** One sample of /metrics, by its name with labels. Undefined when it is not there. */
  async metric(id: number, name: string): Promise<number | undefined> {
    const line = (await httpText(`http://${this.node(id).adminAddress}/metrics`)).split("\n").find((each) => each.startsWith(`${name} `));
    return line === undefined ? undefined : Number(line.slice(name.length + 1));
  }

  logTail(id: number, lines = 20): string {
    return this.processes.logTail(id, lines);
  }

  /** Kills every node and removes the data. */
  async dispose(): Promise<void> {
    await this.processes.stopAll(0);
    rmSync(this.dir, { recursive: true, force: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

/** Ports that are free right now, no two the same. */
export async function freePorts(nodes: number): Promise<readonly NodePorts[]> {
  const found = new Set<number>();
  while (found.size < nodes * PORTS_PER_NODE) {
    const port = PORT_MIN + Math.floor(Math.random() * (PORT_MAX - PORT_MIN));
    if (!found.has(port) && (await isFree(port))) found.add(port);
  }
  const ports = [...found];
  return Array.from({ length: nodes }, (_, i) => ({
    client: ports[i * PORTS_PER_NODE] ?? 0,
    peer: ports[i * PORTS_PER_NODE + 1] ?? 0,
    admin: ports[i * PORTS_PER_NODE + 2] ?? 0,
  }));
}

function httpText(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    get(url, { agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response
        .on("data", (chunk: string) => (text += chunk))
        .on("end", () => resolve(text))
        .on("error", reject);
    }).on("error", reject);
  });
}
