/**
 * A cluster of real processes whose every peer link goes through a proxy, with clients and two banks in this process.
 *
 * Clients and participants reach the nodes directly: what is tested here is the coordinators' network.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LocalCluster } from "../../src/cli/local-cluster.js";
import { findPortBlock } from "../../src/cli/ports.js";
import { metered, type DoubtSink } from "../../src/demo/in-doubt-meter.js";
import { connect, type Attachment, type NodeId, type Quorate } from "../../src/index.js";
import { kv, type KvParticipant } from "../../src/participant/kv/index.js";
import { majorityConnected } from "../analysis/majority.js";
import { LinkMesh } from "./link-mesh.js";

const READY_TIMEOUT_MS = 30_000;
/** Longer than any pause of a composition. */
const FROZEN_S_MAX = 10;
export const BANKS = ["bank-a", "bank-b"] as const;

export class TestCluster {
  readonly cluster: LocalCluster;
  readonly mesh: LinkMesh;
  /** Several clients, so that races are between different streams. */
  readonly clients: readonly Quorate[];
  readonly banks: readonly KvParticipant[];
  readonly attachment: Attachment;
  readonly #dir: string;
  readonly #frozen = new Set<NodeId>();
  /** Nodes that have answered since they were started last. */
  readonly #answered = new Set<NodeId>();

  private constructor(parts: Pick<TestCluster, "cluster" | "mesh" | "clients" | "banks" | "attachment">, dir: string) {
    this.cluster = parts.cluster;
    this.mesh = parts.mesh;
    this.clients = parts.clients;
    this.banks = parts.banks;
    this.attachment = parts.attachment;
    this.#dir = dir;
    for (const id of this.nodes) this.#answered.add(id);
  }

  /** `doubts` is told of each yes that a bank gives and of each outcome that reaches it. */
  static async open(nodes: number, clientCount: number, nodeArgs: readonly string[], doubts: DoubtSink): Promise<TestCluster> {
    const dir = mkdtempSync(join(tmpdir(), "quorate-partition-"));
    const { ports } = await findPortBlock(nodes);
    const cluster = new LocalCluster({ clusterId: "partition", dir, ports, args: nodeArgs });
    process.once("exit", () => cluster.killAll());
    const mesh = await LinkMesh.create(
      cluster.nodes.map((node) => node.id),
      ports.map((each) => each.peer),
    );
    const test = { members: (id: number): string => membersSeenBy(cluster, mesh, id) };
    for (const node of cluster.nodes) cluster.start(node.id, { args: ["--members", test.members(node.id)] });
    await cluster.ready(READY_TIMEOUT_MS);
    const clients = await Promise.all(Array.from({ length: clientCount }, () => connect(cluster.endpoints)));
    const banks = BANKS.map((name) => kv({ name, dir: join(dir, name) }));
    const [first] = clients;
    if (first === undefined) throw new RangeError("a test cluster needs a client");
    const attachment = await first.attach(...banks.map((bank) => metered(bank, doubts)));
    return new TestCluster({ cluster, mesh, clients, banks, attachment }, dir);
  }

  get nodes(): readonly NodeId[] {
    return this.cluster.nodes.map((node) => node.id);
  }

  get running(): readonly NodeId[] {
    return this.nodes.filter((id) => this.cluster.pid(id) !== undefined);
  }

  /** As the clients see it: the one with the highest epoch wins. */
  leader(): { readonly id: NodeId; readonly epoch: number } | undefined {
    const views = this.clients.flatMap((client) => {
      const view = client.view();
      return view?.leader === undefined || !view.established ? [] : [{ id: view.leader, epoch: view.epoch }];
    });
    return views.sort((a, b) => b.epoch - a.epoch)[0];
  }

  /** Up, not frozen, and connected with each other, more than half: as far as this process has broken them. */
  majorityConnected(): boolean {
    const up = this.running.filter((id) => !this.#frozen.has(id) && this.#answered.has(id));
    return majorityConnected(this.nodes, up, (a, b) => this.mesh.connected(a, b));
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
    this.#answered.delete(id);
    this.cluster.signal(id, "SIGKILL");
    await this.cluster.exited(id);
  }

  restart(id: NodeId): void {
    this.cluster.start(id, { args: ["--members", membersSeenBy(this.cluster, this.mesh, id)] });
  }

  /** Everything running and in touch again. */
  async healed(): Promise<void> {
    this.mesh.heal();
    for (const id of this.nodes) this.thaw(id);
    for (const id of this.nodes) if (this.cluster.pid(id) === undefined) this.restart(id);
    await this.cluster.ready(READY_TIMEOUT_MS);
  }

  async close(): Promise<void> {
    for (const client of this.clients) await client.close({ drainMs: 1000 });
    for (const bank of this.banks) await bank.close();
    await this.cluster.stopAll(0);
    await this.mesh.close();
    rmSync(this.#dir, { recursive: true, force: true });
  }
}

/** What `self` dials to reach each of the others: the proxy of that link. Its own addresses are the real ones. */
function membersSeenBy(cluster: LocalCluster, mesh: LinkMesh, self: number): string {
  return cluster.nodes
    .map((node) => `${node.id}=${node.id === self ? node.peerAddress : `127.0.0.1:${mesh.port(self, node.id)}`}/${node.clientAddress}`)
    .join(",");
}
