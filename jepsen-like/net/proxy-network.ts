/**
 * The network of a cluster under test as TCP proxies in this process, for whom namespaces are not to be had: one for each directed pair
 * of nodes, and one from the clients and one from the participants to each node.
 *
 * A blocked direction holds everything back in silence, as TCP does over a cable that is cut. A lossy one holds pieces back for as long
 * as TCP would take to send them again. A fault is verified by what the proxies really held back, delayed or cut.
 */
import { must } from "../../src/base/index.js";
import { nodeId, type NodeId } from "../../src/index.js";
import { LinkProxy } from "../cluster/link-proxy.js";
import {
  describeGrudge,
  grudgesBetween,
  OUTSIDES,
  type End,
  type Felt,
  type Grudge,
  type Network,
  type NetworkAbility,
  type NodeSite,
  type Outside,
} from "./network.js";

export interface LocalPorts {
  readonly client: number;
  readonly peer: number;
  readonly admin: number;
}

const HOST = "127.0.0.1";

export class ProxyNetwork implements Network {
  readonly kind = "proxies";
  readonly abilities: ReadonlySet<NetworkAbility> = new Set<NetworkAbility>(["delay"]);
  readonly sites: readonly NodeSite[];
  /** One address for all nodes, so no link that could be cut for one of them: calls to services get through every partition here. */
  readonly servicesHost = HOST;
  readonly #nodes: readonly NodeId[];
  /** By who dials and who is dialed. */
  readonly #proxies = new Map<string, LinkProxy>();
  #grudges: readonly Grudge[] = [];

  private constructor(ports: readonly LocalPorts[]) {
    this.#nodes = ports.map((_, i) => nodeId(i + 1));
    this.sites = ports.map(({ client, peer, admin }) => ({
      clientAddress: `${HOST}:${client}`,
      peerAddress: `${HOST}:${peer}`,
      adminAddress: `${HOST}:${admin}`,
      launch: [],
    }));
  }

  /** `ports[i]` are those on which node i + 1 will listen. */
  static async create(ports: readonly LocalPorts[]): Promise<ProxyNetwork> {
    const network = new ProxyNetwork(ports);
    for (const [i, { client, peer }] of ports.entries()) {
      const to = nodeId(i + 1);
      for (const from of network.#nodes) if (from !== to) network.#proxies.set(`${from}>${to}`, await LinkProxy.listen(peer));
      for (const from of OUTSIDES) network.#proxies.set(`${from}>${to}`, await LinkProxy.listen(client));
    }
    return network;
  }

  /** What a node dials to reach each of the others: the proxy of that link. Its own addresses are the real ones. */
  nodeArgs(node: NodeId): readonly string[] {
    const members = this.#nodes.map((other, i) => {
      const site = must(this.sites[i], "the site of a node");
      const peer = other === node ? site.peerAddress : `${HOST}:${this.#proxy(node, other).port}`;
      return `${other}=${peer}/${site.clientAddress}`;
    });
    return ["--members", members.join(",")];
  }

  routes(side: Outside): Readonly<Record<string, string>> {
    return Object.fromEntries(
      this.#nodes.map((node, i) => [must(this.sites[i], "the site of a node").clientAddress, `${HOST}:${this.#proxy(side, node).port}`]),
    );
  }

  load(grudges: readonly Grudge[]): Promise<void> {
    const loss = (from: End, to: End): number => grudges.find((each) => each.from === from && each.to === to)?.lossPercent ?? 0;
    for (const [link, proxy] of this.#proxies) {
      const [from, to] = endsOf(link);
      proxy.lose("forward", loss(from, to));
      proxy.lose("backward", loss(to, from));
    }
    this.#grudges = grudges;
    return Promise.resolve();
  }

  heal(): Promise<void> {
    this.#grudges = [];
    for (const proxy of this.#proxies.values()) {
      proxy.heal();
      proxy.takeCounts();
    }
    return Promise.resolve();
  }

  connected(a: End, b: End): boolean {
    return !grudgesBetween(this.#grudges, a, b);
  }

  reset(a: End, b: End): Promise<number> {
    let cut = 0;
    for (const link of [`${a}>${b}`, `${b}>${a}`]) cut += this.#proxies.get(link)?.cut() ?? 0;
    return Promise.resolve(cut);
  }

  delay(ms: number): void {
    for (const from of this.#nodes) for (const to of this.#nodes) if (from !== to) this.#proxy(from, to).delay(ms);
  }

  cable(): Promise<void> {
    return Promise.reject(new RangeError("proxies have no cables"));
  }

  takeFelt(): Promise<Felt> {
    let [dropped, passed] = [0, 0];
    for (const proxy of this.#proxies.values()) {
      const counts = proxy.takeCounts();
      dropped += counts.held;
      passed += counts.passed;
    }
    const unfelt = dropped > 0 ? [] : this.#grudges.map(describeGrudge);
    return Promise.resolve({ felt: dropped > 0, facts: { dropped, passed, unfelt } });
  }

  async close(): Promise<void> {
    await Promise.all([...this.#proxies.values()].map((proxy) => proxy.close()));
  }

  #proxy(from: End, to: NodeId): LinkProxy {
    return must(this.#proxies.get(`${from}>${to}`), `the link from ${from} to n${to}`);
  }
}

function endsOf(link: string): readonly [End, NodeId] {
  const [from = "", to = ""] = link.split(">");
  return [OUTSIDES.find((side): side is Outside => side === from) ?? nodeId(Number(from)), nodeId(Number(to))];
}
