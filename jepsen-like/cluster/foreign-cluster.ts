/**
 * A cluster that somebody else runs: reached through its endpoints, never started, stopped or broken from here.
 */
import { connect, type NodeId, type Quorate } from "../../src/index.js";
import { leaderSeenBy, type ClusterUnderTest, type Leadership, type NodeSight } from "./cluster-under-test.js";

const STATUS_TIMEOUT_MS = 1_000;
const HEALED_TIMEOUT_MS = 60_000;

const LOOPBACK = /^(127\.\d+\.\d+\.\d+|localhost|\[::1\]):\d+$/;

interface Member {
  readonly id: NodeId;
  readonly address: string;
}

export class ForeignCluster implements ClusterUnderTest {
  readonly clients: readonly Quorate[];
  readonly endpoints: string;
  readonly participantRoutes = {};
  readonly #members: readonly Member[];

  private constructor(endpoints: string, clients: readonly Quorate[], members: readonly Member[]) {
    this.endpoints = endpoints;
    this.clients = clients;
    this.#members = members;
  }

  /** Throws what `connect` does; QUORATE_NO_QUORUM also when the members cannot all be seen now. */
  static async open(endpoints: string, clientCount: number): Promise<ForeignCluster> {
    const clients = await Promise.all(Array.from({ length: clientCount }, () => connect(endpoints)));
    const seen = (await clients[0]?.status({ timeoutMs: STATUS_TIMEOUT_MS })) ?? [];
    const members = seen.flatMap(({ address, status }) => (status === undefined ? [] : [{ id: status.id, address }]));
    return new ForeignCluster(
      endpoints,
      clients,
      members.sort((a, b) => a.id - b.id),
    );
  }

  get nodes(): readonly NodeId[] {
    return this.#members.map(({ id }) => id);
  }

  /** Nodes on this machine: by the addresses under which they were seen. */
  get servicesHost(): string | undefined {
    return this.#members.every(({ address }) => LOOPBACK.test(address)) ? "127.0.0.1" : undefined;
  }

  clientAddress(id: NodeId): string {
    const member = this.#members.find((each) => each.id === id);
    if (member === undefined) throw new RangeError(`n${id} is no member that was seen`);
    return member.address;
  }

  leader(): Leadership | undefined {
    return leaderSeenBy(this.clients);
  }

  async sight(id: NodeId): Promise<NodeSight | undefined> {
    const seen = (await this.clients[0]?.status({ timeoutMs: STATUS_TIMEOUT_MS })) ?? [];
    const status = seen.find((each) => each.status?.id === id)?.status;
    if (status === undefined) return undefined;
    const established = status.role !== "looking" && status.phase === "broadcast";
    return { role: status.role, phase: status.phase, epoch: status.epoch, leader: status.leader ?? null, established };
  }

  pid(): undefined {
    return undefined;
  }

  dataDir(): undefined {
    return undefined;
  }

  logFiles(): readonly string[] {
    return [];
  }

  /** Whoever breaks this cluster does not tell. */
  majorityConnected(): undefined {
    return undefined;
  }

  sawAnswer(): void {
    return undefined;
  }

  async healed(): Promise<void> {
    await this.clients[0]?.health({ timeoutMs: HEALED_TIMEOUT_MS });
  }

  async close(): Promise<void> {
    for (const client of this.clients) await client.close({ drainMs: 1000 });
  }
}
