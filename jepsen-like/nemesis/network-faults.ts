/**
 * Faults of the network between coordinators. A fault counts only when some link really held back, delayed or cut something.
 */
import type { NodeId } from "../../src/index.js";
import { fault, sleep, until, type Composition, type Ground } from "./composition.js";

const QUIET_MS = 2_000;
const FAULT_MS = 3_000;
const RINGS = 2;
const RING_MS = 2_000;
const SLOW_MS = 5_000;
/** Added in each direction of each link; heartbeats still arrive, every round trip of the protocol is felt. */
const SLOW_DELAYS_MS = [10, 25, 50, 80] as const;
const RESETS_MS = 4_000;
const RESET_EVERY_MS = [50, 300] as const;
/** Longer than a frozen leader's replacement takes. */
const NEW_LEADER_MS_MAX = 4_000;
const BOTH_ISOLATED_MS = 1_500;
const ONE_BACK_MS = 2_500;

function partition(
  name: string,
  summary: string,
  more: { readonly nodesMin: number; readonly movesLeader: boolean; readonly holdMs: number },
  inject: (ground: Ground, leader: NodeId, turn: number) => { readonly [fact: string]: string | number | readonly number[] },
): Composition {
  return {
    name,
    summary,
    nodesMin: more.nodesMin,
    movesLeader: more.movesLeader,
    leavesDoubt: false,
    quietMs: QUIET_MS,
    episode: (ground, leader, turn) => {
      const { mesh } = ground.test;
      mesh.takeBitten();
      const facts = inject(ground, leader, turn);
      return fault(ground, name, facts, async () => {
        await sleep(more.holdMs, ground.stop);
        const felt = mesh.takeBitten() > 0;
        mesh.heal();
        return felt;
      });
    },
  };
}

export const leaderIsolated = partition(
  "leader-isolated",
  "the leader is cut off from every other node, in silence; clients and participants still reach it; felt when a link held bytes back",
  { nodesMin: 3, movesLeader: true, holdMs: FAULT_MS },
  ({ test }, leader) => {
    test.mesh.isolate(leader);
    return { node: leader };
  },
);

export const oneWay = partition(
  "one-way",
  "packets from the leader are lost, or packets to it, in turns; the other direction works; felt when a link held bytes back",
  { nodesMin: 3, movesLeader: true, holdMs: FAULT_MS },
  ({ test }, leader, turn) => {
    const outward = turn % 2 === 0;
    for (const other of test.nodes) {
      if (other === leader) continue;
      if (outward) test.mesh.blockPackets(leader, other);
      else test.mesh.blockPackets(other, leader);
    }
    return { node: leader, direction: outward ? "from the leader" : "to the leader" };
  },
);

export const majorityRing: Composition = {
  name: "majority-ring",
  summary:
    "five nodes in a ring, each hears only its two neighbours: every node sees a different majority; another ring every 2 s; felt when a link held bytes back",
  nodesMin: 5,
  // The leader's own majority stays with it as long as the ring does: keeping it is right, and so is losing it to the next ring.
  movesLeader: false,
  leavesDoubt: false,
  quietMs: QUIET_MS,
  episode: (ground) => {
    const { test, prng, stop } = ground;
    const rings = Array.from({ length: RINGS }, () => prng.shuffle(test.nodes));
    test.mesh.takeBitten();
    return fault(ground, "majority-ring", { rings: rings.map((ring) => ring.join("-")).join(" then ") }, async () => {
      for (const ring of rings) {
        for (const [i, a] of ring.entries())
          for (const [j, b] of ring.entries()) {
            if (i >= j) continue;
            if (j - i === 1 || j - i === ring.length - 1) test.mesh.rejoin(a, [b]);
            else test.mesh.partition([a], [b]);
          }
        await sleep(RING_MS, stop);
      }
      const felt = test.mesh.takeBitten() > 0;
      test.mesh.heal();
      return felt;
    });
  },
};

export const slowNetwork = partition(
  "slow-network",
  "10, 25, 50 or 80 ms more on every link in each direction; felt when a link delayed bytes",
  { nodesMin: 3, movesLeader: false, holdMs: SLOW_MS },
  ({ test, prng }) => {
    const delayMs = prng.pick(SLOW_DELAYS_MS);
    test.mesh.delayAll(delayMs);
    return { delayMs };
  },
);

export const resets: Composition = {
  name: "resets",
  summary: "connections between two random nodes are reset, every 50 to 300 ms; felt when a connection was really cut",
  nodesMin: 3,
  movesLeader: false,
  leavesDoubt: false,
  quietMs: QUIET_MS,
  episode: (ground) => {
    const { test, prng, stop } = ground;
    test.mesh.takeBitten();
    return fault(ground, "resets", {}, async () => {
      const untilMs = performance.now() + RESETS_MS;
      while (performance.now() < untilMs && !stop.aborted) {
        const [a, b] = prng.shuffle(test.nodes);
        if (a !== undefined && b !== undefined) test.mesh.reset(a, b);
        await sleep(prng.int(...RESET_EVERY_MS), stop);
      }
      return test.mesh.takeBitten() > 0;
    });
  },
};

export const splitBrainBait: Composition = {
  name: "split-brain-bait",
  summary:
    "the leader is isolated, then the new leader too, then the first comes back while the second is away; felt when both were leaders and both links held bytes back",
  nodesMin: 3,
  movesLeader: true,
  leavesDoubt: false,
  quietMs: QUIET_MS,
  episode: (ground, first) => {
    const { test, history, stop } = ground;
    const { mesh } = test;
    mesh.takeBitten();
    mesh.isolate(first);
    return fault(ground, "split-brain-bait", { node: first }, async () => {
      const replaced = await until(() => ![undefined, first].includes(test.leader()?.id), NEW_LEADER_MS_MAX, stop);
      const second = test.leader()?.id;
      let felt = mesh.takeBitten() > 0 && replaced;
      if (felt && second !== undefined) {
        mesh.isolate(second);
        history.nemesis({ fault: "split-brain-bait", at: "step", isolated: [first, second] });
        await sleep(BOTH_ISOLATED_MS, stop);
        felt = mesh.takeBitten() > 0;
        mesh.rejoin(
          first,
          test.nodes.filter((node) => node !== second),
        );
        history.nemesis({ fault: "split-brain-bait", at: "step", isolated: [second] });
        await sleep(ONE_BACK_MS, stop);
      }
      mesh.heal();
      return felt;
    });
  },
};
