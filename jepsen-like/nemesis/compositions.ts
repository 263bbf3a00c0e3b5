/**
 * The named compositions of faults.
 */
import { runEpisodes, sleep, type Composition, type Ground } from "./composition.js";
import { leaderIsolated, majorityRing, oneWay, resets, slowNetwork, splitBrainBait } from "./network-faults.js";
import { handOver, killStorm, pause, powerCut } from "./process-faults.js";

const SINGLE: readonly Composition[] = [
  leaderIsolated,
  oneWay,
  majorityRing,
  splitBrainBait,
  slowNetwork,
  resets,
  pause,
  killStorm,
  powerCut,
  handOver,
];
const REDRAW_MS = 10_000;
/** Shorter than other periods: what matters is what the cluster does when it comes to rest in the middle of a run. */
const QUIET_PERIOD_MS = 4_000;
const QUIET_CHANCE = 0.25;
/** And at the latest before every one of so many. */
const QUIET_EVERY = 3;

/** Every one is drawn once before any comes again, so that no run is all of one kind. */
const mixed: Composition = {
  name: "mixed",
  summary: "another of all these every 10 s, drawn by the seed, with quiet periods in between; felt as theirs are",
  nodesMin: 3,
  movesLeader: true,
  leavesDoubt: false,
  quietMs: 0,
  episode: async (ground: Ground): Promise<void> => {
    const fitting = SINGLE.filter((each) => each.nodesMin <= ground.test.nodes.length);
    for (const [i, drawn] of ground.prng.shuffle(fitting).entries()) {
      if (ground.stop.aborted) break;
      if (ground.prng.chance(QUIET_CHANCE) || i % QUIET_EVERY === QUIET_EVERY - 1) {
        ground.history.nemesis({ fault: "mixed", at: "draw", drew: "quiet" });
        await sleep(QUIET_PERIOD_MS, ground.stop);
      }
      ground.history.nemesis({ fault: "mixed", at: "draw", drew: drawn.name });
      await runEpisodes(drawn, ground, performance.now() + REDRAW_MS);
    }
  },
};

export const COMPOSITIONS: readonly Composition[] = [...SINGLE, mixed];

export function compositionNamed(name: string): Composition | undefined {
  return COMPOSITIONS.find((each) => each.name === name);
}
