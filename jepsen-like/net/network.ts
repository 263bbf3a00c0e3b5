/**
 * The network of a cluster under test: who reaches whom, and how to break that. Two kinds stand behind one face: network namespaces
 * with a bridge between them, and proxies in this process (namespace-network.ts, proxy-network.ts).
 *
 * A partition is a list of grudges, directed: whatever a shape is, it is said in packets that are lost.
 */
import type { NodeId } from "../../src/index.js";

export type NetworkKind = "namespaces" | "proxies";

/** An end of a link: a node, or the outside. Clients and participants reach nodes on links of their own. */
export type End = NodeId | Outside;
export const OUTSIDES = ["clients", "participants"] as const;
export type Outside = (typeof OUTSIDES)[number];

/** Packets from one end to the other are lost. */
export interface Grudge {
  readonly from: End;
  readonly to: End;
  /** Of 100 packets, each on its own; 100: nothing passes. */
  readonly lossPercent: number;
}

/** What not every kind of network can do. `cable`: a node's link to the others goes down, and the node sees it. */
export const NETWORK_ABILITIES = ["delay", "cable"] as const;
export type NetworkAbility = (typeof NETWORK_ABILITIES)[number];

/** What became of the faults since they were last asked about. */
export interface Felt {
  /** Every fault was really felt, and nothing passed where nothing may pass. */
  readonly felt: boolean;
  /** For the history. Packets between namespaces, pieces of a stream at proxies. */
  readonly facts: { readonly dropped: number; readonly passed: number; readonly unfelt: readonly string[] };
}

/** How one node is started, and where it is reached. */
export interface NodeSite {
  readonly clientAddress: string;
  readonly peerAddress: string;
  readonly adminAddress: string;
  /** Command and arguments that start a program there; empty: simply start it. */
  readonly launch: readonly string[];
}

export interface Network {
  readonly kind: NetworkKind;
  readonly abilities: ReadonlySet<NetworkAbility>;
  /** Of each node, in the order of the nodes. */
  readonly sites: readonly NodeSite[];
  /** Options of `quorate start` that only this node gets. */
  nodeArgs(node: NodeId): readonly string[];
  /** Where nodes reach participants that take calls, by the link that participants reach them by if the network has such a place. */
  readonly servicesHost: string;
  /** Where clients, or participants, must dial a node's client address; an address that is absent is dialed as it is. */
  routes(side: Outside): Readonly<Record<string, string>>;
  /** These grudges from now on, all at once, and no others. */
  load(grudges: readonly Grudge[]): Promise<void>;
  /** Nothing is broken any more, and what was felt is forgotten. */
  heal(): Promise<void>;
  /** No grudge between the two, in neither direction: a lossy link does not count as connected. */
  connected(a: End, b: End): boolean;
  /** Resets every connection between the two, once. Resolves with how many there were. */
  reset(a: End, b: End): Promise<number>;
  /** Every byte between nodes waits this long, in each direction. Needs `delay`. */
  delay(ms: number): void;
  /** Pulls or plugs the cable between a node and the other nodes. Needs `cable`. */
  cable(node: NodeId, plugged: boolean): Promise<void>;
  /** Looks at, and forgets, what the faults did. Ask before they are lifted. */
  takeFelt(): Promise<Felt>;
  close(): Promise<void>;
}

export function grudgesBetween(grudges: readonly Grudge[], a: End, b: End): boolean {
  return grudges.some(({ from, to }) => (from === a && to === b) || (from === b && to === a));
}

/** Both directions between each of `a` and each of `b`. */
export function cutBetween(a: readonly End[], b: readonly End[], lossPercent = 100): readonly Grudge[] {
  return a.flatMap((x) => b.flatMap((y) => (x === y ? [] : [...oneWay([x], [y], lossPercent), ...oneWay([y], [x], lossPercent)])));
}

export function oneWay(from: readonly End[], to: readonly End[], lossPercent = 100): readonly Grudge[] {
  return from.flatMap((x) => to.flatMap((y) => (x === y ? [] : [{ from: x, to: y, lossPercent }])));
}

export function describeGrudge({ from, to, lossPercent }: Grudge): string {
  const name = (end: End): string => (typeof end === "number" ? `n${end}` : end);
  return `${name(from)}>${name(to)}${lossPercent === 100 ? "" : ` ${lossPercent} %`}`;
}
