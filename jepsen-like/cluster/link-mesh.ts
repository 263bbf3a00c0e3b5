/**
 * The peer network of a cluster under test: one proxy for each directed pair of nodes, and partitions in terms of packets.
 */
import { LinkProxy } from "./link-proxy.js";

export class LinkMesh {
  readonly #proxies = new Map<string, LinkProxy>();
  readonly #nodes: readonly number[];

  private constructor(nodes: readonly number[]) {
    this.#nodes = nodes;
  }

  /** `peerPorts[i]` is the port on which node `nodes[i]` listens for its peers. */
  static async create(nodes: readonly number[], peerPorts: readonly number[]): Promise<LinkMesh> {
    const mesh = new LinkMesh(nodes);
    for (const from of nodes)
      for (const [index, to] of nodes.entries()) {
        const port = peerPorts[index];
        if (from !== to && port !== undefined) mesh.#proxies.set(`${from}>${to}`, await LinkProxy.listen(port));
      }
    return mesh;
  }

  /** The port that `from` must dial to reach `to`. */
  port(from: number, to: number): number {
    return this.#link(from, to).port;
  }

  /** Packets from `from` to `to` are lost; the other way still works. */
  blockPackets(from: number, to: number): void {
    this.#link(from, to).block("forward");
    this.#link(to, from).block("backward");
  }

  /** Nothing passes between any node of `a` and any node of `b`. */
  partition(a: readonly number[], b: readonly number[]): void {
    for (const x of a)
      for (const y of b) {
        this.blockPackets(x, y);
        this.blockPackets(y, x);
      }
  }

  isolate(node: number): void {
    this.partition(
      [node],
      this.#nodes.filter((other) => other !== node),
    );
  }

  /** Packets pass again between `node` and each of `others`; what was held back arrives now. */
  rejoin(node: number, others: readonly number[]): void {
    for (const other of others) {
      if (other === node) continue;
      for (const [from, to] of [
        [node, other],
        [other, node],
      ] as const) {
        this.#link(from, to).unblock("forward");
        this.#link(to, from).unblock("backward");
      }
    }
  }

  /** Packets pass in both directions. */
  connected(a: number, b: number): boolean {
    const [there, back] = [this.#link(a, b), this.#link(b, a)];
    return ![there, back].some((link) => link.isBlocked("forward") || link.isBlocked("backward"));
  }

  /** Resets every connection between the two, once. */
  reset(a: number, b: number): void {
    this.#link(a, b).cut(false);
    this.#link(b, a).cut(false);
  }

  delayAll(ms: number): void {
    for (const proxy of this.#proxies.values()) proxy.delay(ms);
  }

  heal(): void {
    for (const proxy of this.#proxies.values()) proxy.heal();
  }

  /** How often any fault was really felt since the last call: a fault that nobody felt does not count. */
  takeBitten(): number {
    let bitten = 0;
    for (const proxy of this.#proxies.values()) bitten += proxy.takeBitten();
    return bitten;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#proxies.values()].map((proxy) => proxy.close()));
  }

  #link(from: number, to: number): LinkProxy {
    const proxy = this.#proxies.get(`${from}>${to}`);
    if (proxy === undefined) throw new Error(`no link from n${from} to n${to}`);
    return proxy;
  }
}
