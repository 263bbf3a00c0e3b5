/**
 * The shapes of a partition, by name: from nodes and a leader to the directed links that are cut. Pure; chance comes from outside.
 */
import type { Prng } from "../../src/base/index.js";
import type { NodeId } from "../../src/index.js";
import { cutBetween, oneWay, type Grudge } from "./network.js";

export interface Shape {
  readonly name: string;
  /** One line. */
  readonly summary: string;
  readonly nodesMin: number;
  /** The leader loses its majority, whatever chance decides. */
  readonly movesLeader: boolean;
  cut(nodes: readonly NodeId[], leader: NodeId, prng: Prng): readonly Grudge[];
}

const LOSS_PERCENTS = [5, 15, 30] as const;

export const isolateOne: Shape = {
  name: "isolate-one",
  summary: "one node, any, is cut off from all others",
  nodesMin: 3,
  movesLeader: false,
  cut: (nodes, _leader, prng) => isolated(nodes, prng.pick(nodes)),
};

export const isolateLeader: Shape = {
  name: "isolate-leader",
  summary: "the leader is cut off from all others",
  nodesMin: 3,
  movesLeader: true,
  cut: (nodes, leader) => isolated(nodes, leader),
};

export const oneWayOut: Shape = {
  name: "one-way-out",
  summary: "what the leader sends to the others is lost; it still hears them",
  nodesMin: 3,
  movesLeader: true,
  cut: (nodes, leader) => oneWay([leader], nodes),
};

export const oneWayIn: Shape = {
  name: "one-way-in",
  summary: "what the others send to the leader is lost; they still hear it",
  nodesMin: 3,
  movesLeader: true,
  cut: (nodes, leader) => oneWay(nodes, [leader]),
};

export const halves: Shape = {
  name: "halves",
  summary: "a minority, as large as it can be and drawn by chance, is cut off from the majority",
  nodesMin: 3,
  movesLeader: false,
  cut: (nodes, _leader, prng) => {
    const drawn = prng.shuffle(nodes);
    const minority = Math.floor((nodes.length - 1) / 2);
    return cutBetween(drawn.slice(0, minority), drawn.slice(minority));
  },
};

export const bridge: Shape = {
  name: "bridge",
  summary: "two halves that see each other only through one node between them",
  nodesMin: 3,
  movesLeader: false,
  cut: (nodes, _leader, prng) => {
    const [, ...rest] = prng.shuffle(nodes);
    const half = Math.floor(rest.length / 2);
    return cutBetween(rest.slice(0, half), rest.slice(half));
  },
};

export const majoritiesRing: Shape = {
  name: "majorities-ring",
  summary: "each node sees a majority, and no two the same: a ring in which each hears only its two neighbours",
  nodesMin: 5,
  // The leader's own majority stays with it as long as the ring does: keeping it is right.
  movesLeader: false,
  cut: (nodes, _leader, prng) => ring(prng.shuffle(nodes)),
};

export const lossy: Shape = {
  name: "lossy",
  summary: "5, 15 or 30 of 100 packets are lost on every link between nodes, in each direction",
  nodesMin: 3,
  movesLeader: false,
  cut: (nodes, _leader, prng) => oneWay(nodes, nodes, prng.pick(LOSS_PERCENTS)),
};

export const SHAPES: readonly Shape[] = [isolateOne, isolateLeader, oneWayOut, oneWayIn, halves, bridge, majoritiesRing, lossy];

export function isolated(nodes: readonly NodeId[], node: NodeId): readonly Grudge[] {
  return cutBetween([node], nodes);
}

/** Only neighbours in this order, and the last with the first, hear each other. */
export function ring(order: readonly NodeId[]): readonly Grudge[] {
  return order.flatMap((a, i) =>
    order.slice(i + 1).flatMap((b, offset) => {
      const distance = offset + 1;
      return distance === 1 || distance === order.length - 1 ? [] : cutBetween([a], [b]);
    }),
  );
}
