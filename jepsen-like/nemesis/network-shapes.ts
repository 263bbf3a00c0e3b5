/**
 * Partitions of every shape: each by its own name, one after the other, and two that are courses rather than shapes.
 */
import type { NodeId } from "../../src/index.js";
import { cutBetween, type Grudge } from "../net/network.js";
import { isolated, lossy as lossyShape, SHAPES, type Shape } from "../net/shapes.js";
import { sleep, until, type Composition } from "./composition.js";
import { broken, NETWORK_QUIET_MS, NEW_LEADER_MS_MAX, shaped } from "./network-faults.js";

const FELT = "felt when each cut dropped something and nothing passed";
/** Leaders isolated in one episode. */
const PRIMARIES = 3;
const LEADING_MS = 500;
const SWIZZLE_STEP_MS = [50, 400] as const;
const SWIZZLE_HOLD_MS = 1_500;

function ofShape(shape: Shape): Composition {
  return {
    name: shape.name,
    summary: `${shape.summary}; ${shape === lossyShape ? "felt when packets were lost" : FELT}`,
    nodesMin: shape.nodesMin,
    movesLeader: shape.movesLeader,
    leavesDoubt: false,
    quietMs: NETWORK_QUIET_MS,
    episode: (ground, leader) => shaped(ground, shape.name, shape, leader),
  };
}

/** A run of one shape alone, for each. */
export const SHAPE_COMPOSITIONS: readonly Composition[] = SHAPES.filter((shape) => shape !== lossyShape).map(ofShape);

export const lossy: Composition = ofShape(lossyShape);

export const partitions: Composition = {
  name: "partitions",
  summary: `every shape of a partition once, in random order, then again: ${SHAPE_COMPOSITIONS.map(({ name }) => name).join(", ")}; ${FELT}`,
  nodesMin: 3,
  movesLeader: true,
  leavesDoubt: false,
  quietMs: NETWORK_QUIET_MS,
  episode: async (ground) => {
    const fitting = SHAPES.filter((shape) => shape !== lossyShape && shape.nodesMin <= ground.test.nodes.length);
    for (const [i, shape] of ground.prng.shuffle(fitting).entries()) {
      if (i > 0) await sleep(NETWORK_QUIET_MS, ground.stop);
      const leader = ground.test.leader()?.id;
      if (ground.stop.aborted || leader === undefined) return;
      await shaped(ground, shape.name, shape, leader);
    }
  },
};

export const primaries: Composition = {
  name: "primaries",
  summary: `each new leader is isolated as soon as it leads, and the one before it comes back, three times in a row; ${FELT}, and leadership moved`,
  nodesMin: 3,
  movesLeader: true,
  leavesDoubt: false,
  quietMs: NETWORK_QUIET_MS,
  episode: (ground, first) => {
    const { test, history, stop } = ground;
    return broken(ground, "primaries", { node: first }, async () => {
      let victim: NodeId = first;
      for (let n = 0; n < PRIMARIES; n++) {
        await test.network.load(isolated(test.nodes, victim));
        history.nemesis({ fault: "primaries", at: "step", isolated: [victim] });
        const before = victim;
        const replaced = await until(() => ![undefined, before].includes(test.leader()?.id), NEW_LEADER_MS_MAX, stop);
        // The end of the run is no failure of the fault when at least one leader was replaced.
        if (!replaced) return n > 0 && stop.aborted;
        await sleep(LEADING_MS, stop);
        victim = test.leader()?.id ?? victim;
      }
      return true;
    });
  },
};

export const swizzle: Composition = {
  name: "swizzle",
  summary: `links between nodes, drawn by chance, are cut one by one and restored in another order; ${FELT}`,
  nodesMin: 3,
  movesLeader: false,
  leavesDoubt: false,
  quietMs: NETWORK_QUIET_MS,
  episode: (ground) => {
    const { test, prng, stop } = ground;
    const links = test.nodes.flatMap((a, i) => test.nodes.slice(i + 1).map((b) => [a, b] as const));
    const drawn = prng.shuffle(links).slice(0, prng.int(2, links.length));
    const back = prng.shuffle(drawn);
    const named = (list: typeof drawn): string => list.map(([a, b]) => `${a}-${b}`).join(" ");
    return broken(ground, "swizzle", { cut: named(drawn), restored: named(back) }, async () => {
      const cut = new Set<(typeof drawn)[number]>();
      const load = (): Promise<void> => test.network.load([...cut].flatMap(([a, b]): readonly Grudge[] => cutBetween([a], [b])));
      for (const link of drawn) {
        cut.add(link);
        await load();
        await sleep(prng.int(...SWIZZLE_STEP_MS), stop);
      }
      await sleep(SWIZZLE_HOLD_MS, stop);
      for (const link of back) {
        cut.delete(link);
        await load();
        await sleep(prng.int(...SWIZZLE_STEP_MS), stop);
      }
      return true;
    });
  },
};
