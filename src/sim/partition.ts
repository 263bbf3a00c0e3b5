/**
 * Shapes of partitions, as directed pairs of hosts that cannot reach each other any more.
 */
import type { Prng } from "../base/index.js";
import type { Host } from "./network.js";

/**
 * one: a single node is cut off. halves: two groups. ring: every node sees another majority. one-way: packets from one group to the
 * other vanish, answers do not. bridge: two groups joined by one node. outsiders: clients and participants lose some nodes.
 */
export type Shape = "one" | "halves" | "ring" | "one-way" | "bridge" | "outsiders";

/**
 * FoundationDB's swizzle: some hosts lose their connections one after the other, and get them back in another order. Each stage is
 * the whole map of blocked pairs; the last one is empty.
 */
export function swizzledPairs(prng: Prng, nodes: readonly Host[]): readonly (readonly (readonly [Host, Host])[])[] {
  const chosen = prng.shuffle(nodes).slice(0, prng.int(1, nodes.length));
  const cutOff = new Set<Host>();
  const map = (): readonly (readonly [Host, Host])[] =>
    nodes.flatMap((a) => nodes.filter((b) => a !== b && (cutOff.has(a) || cutOff.has(b))).map((b) => [a, b] as const));
  const stages = [];
  for (const host of chosen) {
    cutOff.add(host);
    stages.push(map());
  }
  for (const host of prng.shuffle(chosen)) {
    cutOff.delete(host);
    stages.push(map());
  }
  return stages;
}

export function blockedPairs(
  prng: Prng,
  shape: Shape,
  nodes: readonly Host[],
  outsiders: readonly Host[],
  victim: Host | undefined,
): readonly (readonly [Host, Host])[] {
  const pairs: (readonly [Host, Host])[] = [];
  const cut = (a: Host, b: Host): void => {
    pairs.push([a, b], [b, a]);
  };
  const shuffled = prng.shuffle(nodes);
  const alone = victim ?? shuffled[0];
  // Outsiders stand with everybody, or on one side.
  const sides = new Map<Host, number>(outsiders.map((host) => [host, prng.int(0, 3)]));
  switch (shape) {
    case "one":
      for (const node of nodes) if (node !== alone && alone !== undefined) cut(alone, node);
      for (const [host, side] of sides) if (side === 0 && alone !== undefined) cut(alone, host);
      return pairs;
    case "halves": {
      const size = prng.int(1, nodes.length - 1);
      const left = shuffled.slice(0, size);
      const right = shuffled.slice(size);
      for (const a of left) for (const b of right) cut(a, b);
      for (const [host, side] of sides) for (const node of side === 0 ? left : side === 1 ? right : []) cut(host, node);
      return pairs;
    }
    case "ring": {
      const reach = Math.floor(nodes.length / 4) || 1;
      shuffled.forEach((a, i) =>
        shuffled.forEach((b, j) => {
          const distance = Math.min((i - j + nodes.length) % nodes.length, (j - i + nodes.length) % nodes.length);
          if (i < j && distance > reach) cut(a, b);
        }),
      );
      // Three nodes in a ring all see each other: open it into a chain.
      if (pairs.length === 0 && shuffled[0] !== undefined && shuffled[1] !== undefined) cut(shuffled[0], shuffled[1]);
      return pairs;
    }
    case "one-way": {
      const size = prng.int(1, nodes.length - 1);
      for (const a of shuffled.slice(0, size)) for (const b of shuffled.slice(size)) pairs.push([a, b]);
      return pairs;
    }
    case "bridge": {
      const rest = shuffled.slice(1);
      const middle = Math.floor(rest.length / 2);
      for (const a of rest.slice(0, middle)) for (const b of rest.slice(middle)) cut(a, b);
      return pairs;
    }
    case "outsiders":
      for (const [host, side] of sides) {
        if (side === 0) for (const node of shuffled.slice(0, prng.int(1, nodes.length))) cut(host, node);
      }
      return pairs;
  }
}
