/**
 * The named compositions of faults.
 */
import type { ClusterUnderTest } from "../cluster/cluster-under-test.js";
import { handOver, none } from "./calm.js";
import { clockJump, clockStrobe } from "./clock-jumps.js";
import { hasVictims, runEpisodes, sleep, type Composition, type Ground } from "./composition.js";
import { diskDies, diskFull, diskStall, slowSyncs, syncFailsOnce } from "./disk-errors.js";
import { powerCut, powerCutOne, tornPowerCut } from "./disk-power-cut.js";
import { bitFlip, staleFolder, wipedFolder } from "./folder-damage.js";
import { leaderIsolated, majorityRing, oneWay, splitBrainBait } from "./network-faults.js";
import { cable, outsideLinks, resets, slowNetwork } from "./network-links.js";
import { lossy, partitions, primaries, SHAPE_COMPOSITIONS, swizzle } from "./network-shapes.js";
import { databaseKill, databasePause, participantKill, participantPause } from "./participant-faults.js";
import { killStorm, pause } from "./process-faults.js";

const SINGLE: readonly Composition[] = [
  leaderIsolated,
  oneWay,
  majorityRing,
  splitBrainBait,
  partitions,
  primaries,
  swizzle,
  lossy,
  slowNetwork,
  resets,
  outsideLinks,
  cable,
  pause,
  killStorm,
  powerCut,
  powerCutOne,
  tornPowerCut,
  diskDies,
  syncFailsOnce,
  diskFull,
  diskStall,
  slowSyncs,
  bitFlip,
  wipedFolder,
  staleFolder,
  clockJump,
  clockStrobe,
  handOver,
  participantKill,
  participantPause,
  databaseKill,
  databasePause,
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
  leavesDoubt: true,
  wants: ["disks", "clocks"],
  quietMs: 0,
  episode: async (ground: Ground): Promise<void> => {
    const fitting = SINGLE.filter(
      (each) => each.nodesMin <= ground.test.nodes.length && fits(each, ground) && hasVictims(each, ground.participants),
    );
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

export const COMPOSITIONS: readonly Composition[] = [...SINGLE, mixed, none];
/** Those that also run on a cluster of somebody else's. */
export const ANYWHERE: readonly Composition<ClusterUnderTest>[] = [none, handOver];

/** Each shape that `partitions` draws from, to be run alone. */
export const SHAPES_ALONE: readonly Composition[] = SHAPE_COMPOSITIONS;

export function compositionNamed(name: string): Composition | undefined {
  return [...COMPOSITIONS, ...SHAPES_ALONE].find((each) => each.name === name);
}

function fits({ networkNeeds = [], requires = [] }: Composition, { test }: Ground): boolean {
  return networkNeeds.every((need) => test.network.abilities.has(need)) && requires.every((need) => test.equipment.has(need));
}
