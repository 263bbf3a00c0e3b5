/**
 * A cluster of real processes whose every link can be broken, with clients in this process.
 */
import { spawn } from "node:child_process";
import { atInterrupt } from "../../src/cli/interrupt.js";
import { LocalCluster } from "../../src/cli/local-cluster.js";
import { connect, type ConnectOptions, type NodeId, type Quorate } from "../../src/index.js";
import { majorityConnected } from "../analysis/majority.js";
import type { Network } from "../net/network.js";
import { isLinked, openNetwork } from "../net/open-network.js";
import { newRunFolder, removeRunFolder } from "../run-folder.js";
import { leaderSeenBy, type ClusterUnderTest, type Leadership, type NodeSight } from "./cluster-under-test.js";
import { Equipment, type Need } from "./equipment.js";

const READY_TIMEOUT_MS = 30_000;
/** Longer than any pause of a composition. */
const FROZEN_S_MAX = 10;

export class TestCluster implements ClusterUnderTest {
  readonly cluster: LocalCluster;
  readonly network: Network;
  /** Several clients, so that races are between different streams. */
  readonly clients: readonly Quorate[];
  /** Disks and clocks of the nodes. */
  readonly equipment: Equipment;
  readonly #dir: string;
  readonly #frozen = new Set<NodeId>();
  /** Nodes that have answered since they were started last. */
  readonly #answered = new Set<NodeId>();

  private constructor(parts: Pick<TestCluster, "cluster" | "network" | "clients" | "equipment">, dir: string) {
    this.cluster = parts.cluster;
    this.network = parts.network;
    this.clients = parts.clients;
    this.equipment = parts.equipment;
    this.#dir = dir;
    for (const id of this.nodes) this.#answered.add(id);
  }

  /** `needs`: what this machine has of what the faults need. */
  static async open(nodes: number, clientCount: number, nodeArgs: readonly string[], needs: readonly Need[]): Promise<TestCluster> {
    const dir = newRunFolder("nodes");
    const network = await openNetwork(nodes);
    const cluster = new LocalCluster({ clusterId: "partition", dir, ports: network.sites, args: nodeArgs });
    process.once("exit", () => cluster.killAll());
    atInterrupt(() => cluster.killAll());
    const equipment = await Equipment.make(needs, cluster.nodes, dir);
    for (const node of cluster.nodes)
      cluster.start(node.id, { args: [...network.nodeArgs(node.id), ...equipment.args], env: equipment.env(node.id) });
    await cluster.ready(READY_TIMEOUT_MS);
    const clients = await Promise.all(
      Array.from({ length: clientCount }, () => connect(cluster.endpoints, dialing(network.routes("clients")))),
    );
    return new TestCluster({ cluster, network, clients, equipment }, dir);
  }

  get nodes(): readonly NodeId[] {
    return this.cluster.nodes.map((node) => node.id);
  }

  get running(): readonly NodeId[] {
    return this.nodes.filter((id) => this.cluster.pid(id) !== undefined);
  }

  get endpoints(): string {
    return this.cluster.endpoints;
  }

  get participantRoutes(): Readonly<Record<string, string>> {
    return this.network.routes("participants");
  }

  get servicesHost(): string {
    return this.network.servicesHost;
  }

  clientAddress(id: NodeId): string {
    const { clientAddress } = this.cluster.node(id);
    return this.network.routes("clients")[clientAddress] ?? clientAddress;
  }

  leader(): Leadership | undefined {
    return leaderSeenBy(this.clients);
  }

  sight(id: NodeId): Promise<NodeSight | undefined> {
    return this.cluster.readiness(id);
  }

  pid(id: NodeId): number | undefined {
    return this.cluster.pid(id);
  }

  dataDir(id: NodeId): string {
    return this.cluster.node(id).dataDir;
  }

  logFiles(): readonly string[] {
    return this.cluster.nodes.map((node) => node.logFile);
  }

  /** Up, not frozen, connected with each other and in touch with participants, more than half: as far as this process has broken them. */
  majorityConnected(): boolean {
    const up = this.running.filter((id) => !this.#frozen.has(id) && this.#answered.has(id));
    return majorityConnected(this.nodes, up, (a, b) => this.network.connected(a, b)) && isLinked(this.network, up, "participants");
  }

  /** This node's present process has answered: from now on it counts as up. */
  sawAnswer(id: NodeId): void {
    this.#answered.add(id);
  }

  /** SIGSTOP. A frozen process cannot see its parent die: a shell of its own thaws it later, whatever becomes of this process. */
  freeze(id: NodeId): void {
    const pid = this.cluster.pid(id);
    if (pid !== undefined)
      spawn("sh", ["-c", `sleep ${FROZEN_S_MAX}; kill -CONT ${pid} 2>/dev/null`], { detached: true, stdio: "ignore" }).unref();
    this.#frozen.add(id);
    this.cluster.signal(id, "SIGSTOP");
  }

  thaw(id: NodeId): void {
    this.cluster.signal(id, "SIGCONT");
    this.#frozen.delete(id);
  }

  async kill(id: NodeId): Promise<void> {
    this.killNow(id);
    await this.cluster.exited(id);
  }

  /** Without waiting for its end. */
  killNow(id: NodeId): void {
    this.#answered.delete(id);
    this.cluster.signal(id, "SIGKILL");
  }

  restart(id: NodeId): void {
    this.#answered.delete(id);
    const args = [...this.network.nodeArgs(id), ...this.equipment.args];
    this.cluster.start(id, { args, env: this.equipment.env(id) });
  }

  /** Everything running and in touch again. */
  async healed(): Promise<void> {
    await this.network.heal();
    for (const id of this.nodes) this.thaw(id);
    for (const id of this.nodes) if (this.cluster.pid(id) === undefined) this.restart(id);
    await this.cluster.ready(READY_TIMEOUT_MS);
  }

  async close(): Promise<void> {
    for (const client of this.clients) await client.close({ drainMs: 1000 });
    await this.cluster.stopAll(0);
    await this.network.close();
    await this.equipment.close();
    removeRunFolder(this.#dir);
  }
}

/** Options of `connect` for who reaches nodes by these routes. */
export function dialing(routes: Readonly<Record<string, string>>): Pick<ConnectOptions, "translateAddress"> {
  return { translateAddress: (address) => routes[address] ?? address };
}
