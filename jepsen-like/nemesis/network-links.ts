/**
 * Faults of links that are no partition of the coordinators: slow, reset, unplugged, and the links of clients and participants.
 */
import { cutBetween, oneWay, type Grudge, type Outside } from "../net/network.js";
import { sleep, type Composition, type Ground } from "./composition.js";
import { broken, FAULT_MS, NETWORK_QUIET_MS } from "./network-faults.js";

const SLOW_MS = 5_000;
/** Added in each direction of each link; heartbeats still arrive, every round trip of the protocol is felt. */
const SLOW_DELAYS_MS = [10, 25, 50, 80] as const;
const RESETS_MS = 4_000;
const RESET_EVERY_MS = [50, 300] as const;

export const slowNetwork: Composition = {
  name: "slow-network",
  summary: "10, 25, 50 or 80 ms more on every link in each direction; felt when a link delayed bytes",
  nodesMin: 3,
  movesLeader: false,
  leavesDoubt: false,
  networkNeeds: ["delay"],
  quietMs: NETWORK_QUIET_MS,
  episode: (ground) => {
    const { test, prng, stop } = ground;
    const delayMs = prng.pick(SLOW_DELAYS_MS);
    return broken(ground, "slow-network", { delayMs }, async () => {
      test.network.delay(delayMs);
      await sleep(SLOW_MS, stop);
      return true;
    });
  },
};

export const resets: Composition = {
  name: "resets",
  summary:
    "connections between two random nodes, of a client or of a participant are reset, every 50 to 300 ms; felt when connections were really cut",
  nodesMin: 3,
  movesLeader: false,
  leavesDoubt: false,
  quietMs: NETWORK_QUIET_MS,
  episode: (ground) => {
    const { test, prng, stop } = ground;
    return broken(ground, "resets", {}, async () => {
      const untilMs = performance.now() + RESETS_MS;
      while (performance.now() < untilMs && !stop.aborted) {
        const [node, other] = prng.shuffle(test.nodes);
        const end = prng.pick(["clients", "participants", other, other] as const);
        if (node !== undefined && end !== undefined) await test.network.reset(node, end);
        await sleep(prng.int(...RESET_EVERY_MS), stop);
      }
      return true;
    });
  },
};

export const cable: Composition = {
  name: "cable",
  summary:
    "the leader's cable to the other nodes is pulled, every third time a follower's, and plugged in again after 3 s; felt when the node saw it",
  nodesMin: 3,
  movesLeader: true,
  leavesDoubt: false,
  networkNeeds: ["cable"],
  quietMs: NETWORK_QUIET_MS,
  episode: (ground, leader, turn) => {
    const { test, prng, stop } = ground;
    const node = turn % 3 === 2 ? prng.pick(test.nodes.filter((other) => other !== leader)) : leader;
    return broken(ground, "cable", { node, wasLeader: node === leader }, async () => {
      await test.network.cable(node, false);
      await sleep(FAULT_MS, stop);
      return true;
    });
  },
};

export const outsideLinks: Composition = {
  name: "outside-links",
  summary:
    "clients, or participants, are cut off from the leader or from every node, in both directions or in one; felt when a cut dropped something and nothing passed",
  nodesMin: 3,
  movesLeader: false,
  leavesDoubt: true,
  quietMs: NETWORK_QUIET_MS,
  episode: (ground, leader, turn) => {
    const side: Outside = turn % 2 === 0 ? "participants" : "clients";
    // Every run, however short, has one in which votes arrive and decisions do not: participants must find them out from the others.
    const nodes = turn === 0 || ground.prng.chance(0.5) ? [leader] : ground.test.nodes;
    const way = turn === 0 ? "out" : ground.prng.pick(["both", "in", "out"] as const);
    const grudges: readonly Grudge[] =
      way === "both" ? cutBetween([side], nodes) : way === "in" ? oneWay([side], nodes) : oneWay(nodes, [side]);
    return held(ground, { side, nodes, way }, grudges);
  },
};

function held(ground: Ground, facts: Readonly<Record<string, string | readonly number[]>>, grudges: readonly Grudge[]): Promise<void> {
  return broken(ground, "outside-links", facts, async () => {
    await ground.test.network.load(grudges);
    await sleep(FAULT_MS, ground.stop);
    return true;
  });
}
