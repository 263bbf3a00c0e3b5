/**
 * Faults of the network between coordinators, by which leaders are lost and made. What counts as felt is the network's own word.
 */
import type { HistoryValue } from "../../src/check/index.js";
import type { NodeId } from "../../src/index.js";
import { isolated, isolateLeader, oneWayIn, oneWayOut, ring, type Shape } from "../net/shapes.js";
import { fault, sleep, until, type Composition, type Ground } from "./composition.js";

export const NETWORK_QUIET_MS = 2_000;
export const FAULT_MS = 3_000;
/** Longer than a frozen leader's replacement takes. */
export const NEW_LEADER_MS_MAX = 4_000;
const RINGS = 2;
const RING_MS = 2_000;
const BOTH_ISOLATED_MS = 1_500;
const ONE_BACK_MS = 2_500;

/** Holds a fault of the network, asks whether it was felt, and heals it. `hold` resolves with false when more was meant to happen. */
export function broken(
  ground: Ground,
  name: string,
  facts: Readonly<Record<string, HistoryValue>>,
  hold: () => Promise<boolean>,
): Promise<void> {
  const { network } = ground.test;
  return fault(ground, name, { network: network.kind, ...facts }, async () => {
    try {
      const asMeant = await hold();
      const { felt, facts: seen } = await network.takeFelt();
      return { verified: felt && asMeant, ...seen, unfelt: seen.unfelt.join(", ") };
    } finally {
      await network.heal();
    }
  });
}

/** One shape of a partition, for one hold. */
export function shaped(ground: Ground, name: string, shape: Shape, leader: NodeId, facts: Readonly<Record<string, HistoryValue>> = {}) {
  const grudges = shape.cut(ground.test.nodes, leader, ground.prng);
  return broken(ground, name, { ...facts, links: describe(grudges.map(({ from, to }) => `${from}>${to}`)) }, async () => {
    await ground.test.network.load(grudges);
    await sleep(FAULT_MS, ground.stop);
    return true;
  });
}

function describe(links: readonly string[]): string {
  return links.join(" ");
}

export const leaderIsolated: Composition = {
  name: "leader-isolated",
  summary:
    "the leader is cut off from every other node, in silence; clients and participants still reach it; felt when each cut dropped something and nothing passed",
  nodesMin: 3,
  movesLeader: true,
  leavesDoubt: false,
  quietMs: NETWORK_QUIET_MS,
  episode: (ground, leader) => shaped(ground, "leader-isolated", isolateLeader, leader, { node: leader }),
};

export const oneWay: Composition = {
  name: "one-way",
  summary:
    "packets from the leader are lost, or packets to it, in turns; the other direction works; felt when each cut dropped something and nothing passed",
  nodesMin: 3,
  movesLeader: true,
  leavesDoubt: false,
  quietMs: NETWORK_QUIET_MS,
  episode: (ground, leader, turn) => {
    const outward = turn % 2 === 0;
    const direction = outward ? "from the leader" : "to the leader";
    return shaped(ground, "one-way", outward ? oneWayOut : oneWayIn, leader, { node: leader, direction });
  },
};

export const majorityRing: Composition = {
  name: "majority-ring",
  summary:
    "five nodes in a ring, each hears only its two neighbours: every node sees a different majority; another ring every 2 s; felt when each cut dropped something and nothing passed",
  nodesMin: 5,
  // The leader's own majority stays with it as long as the ring does: keeping it is right, and so is losing it to the next ring.
  movesLeader: false,
  leavesDoubt: false,
  quietMs: NETWORK_QUIET_MS,
  episode: (ground) => {
    const { test, prng, stop } = ground;
    const rings = Array.from({ length: RINGS }, () => prng.shuffle(test.nodes));
    return broken(ground, "majority-ring", { rings: rings.map((order) => order.join("-")).join(" then ") }, async () => {
      for (const order of rings) {
        await test.network.load(ring(order));
        await sleep(RING_MS, stop);
      }
      return true;
    });
  },
};

export const splitBrainBait: Composition = {
  name: "split-brain-bait",
  summary:
    "the leader is isolated, then the new leader too, then the first comes back while the second is away; felt when both were leaders and each cut dropped something",
  nodesMin: 3,
  movesLeader: true,
  leavesDoubt: false,
  quietMs: NETWORK_QUIET_MS,
  episode: (ground, first) => {
    const { test, history, stop } = ground;
    const { network, nodes } = test;
    return broken(ground, "split-brain-bait", { node: first }, async () => {
      await network.load(isolated(nodes, first));
      const replaced = await until(() => ![undefined, first].includes(test.leader()?.id), NEW_LEADER_MS_MAX, stop);
      const second = test.leader()?.id;
      if (!replaced || second === undefined) return false;
      await network.load([...isolated(nodes, first), ...isolated(withoutNode(nodes, first), second)]);
      history.nemesis({ fault: "split-brain-bait", at: "step", isolated: [first, second] });
      await sleep(BOTH_ISOLATED_MS, stop);
      await network.load(isolated(nodes, second));
      history.nemesis({ fault: "split-brain-bait", at: "step", isolated: [second] });
      await sleep(ONE_BACK_MS, stop);
      return true;
    });
  },
};

function withoutNode(nodes: readonly NodeId[], node: NodeId): readonly NodeId[] {
  return nodes.filter((other) => other !== node);
}
