/**
 * What nodes are told of their control links: that a peer can be reached, or cannot any more. Promptly, or long after the fact.
 */
import type { Prng } from "../base/index.js";
import type { Network } from "./network.js";
import type { SimNode } from "./sim-node.js";
import type { World } from "./world.js";

export class Links {
  readonly #world: World;
  readonly #network: Network;
  readonly #nodes: readonly SimNode[];
  readonly #prng: Prng;
  /** What each life of each node was told last, by peer. */
  readonly #told = new Map<string, boolean>();
  hintMsMean: number;

  constructor(world: World, network: Network, nodes: readonly SimNode[], hintMsMean: number) {
    this.#world = world;
    this.#network = network;
    this.#nodes = nodes;
    this.#prng = world.fork("links");
    this.hintMsMean = hintMsMean;
    network.onChange = () => this.#changed();
  }

  #changed(): void {
    for (const node of this.#nodes) {
      if (!node.up) continue;
      for (const peer of this.#nodes) {
        if (peer === node || this.#wrong(node, peer) === undefined) continue;
        // A connection closed by a dying process is noticed at once; a silent network only by a keepalive.
        const silent = peer.up && this.#network.isUp(peer.host) && !this.#network.reaches(node.host, peer.host);
        const delayMs = this.#prng.exponential(silent ? this.#network.options.keepaliveMs : this.hintMsMean);
        this.#world.after(this.#network.delay() + delayMs, () => this.#tell(node, peer));
      }
    }
  }

  #tell(node: SimNode, peer: SimNode): void {
    const up = this.#wrong(node, peer);
    if (up === undefined) return;
    this.#told.set(this.#name(node, peer), up);
    this.#world.mark(node.name, up ? `link ${peer.name} up` : `link ${peer.name} down`);
    node.deliver((replica) => replica.input({ kind: "link", peer: peer.id, up }));
  }

  /** The truth, when this node was told otherwise. */
  #wrong(node: SimNode, peer: SimNode): boolean | undefined {
    if (!node.up) return undefined;
    const up = this.#network.reaches(node.host, peer.host);
    return up === (this.#told.get(this.#name(node, peer)) ?? false) ? undefined : up;
  }

  #name(node: SimNode, peer: SimNode): string {
    return `${node.name}/${node.life}/${peer.name}`;
  }
}
