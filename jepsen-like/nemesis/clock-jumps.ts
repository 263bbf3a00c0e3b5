/**
 * Wall clocks that jump, of single nodes. Every timeout of the product runs on monotonic clocks, so nothing may come of it: no leader
 * may fall, no transaction may run out of time.
 */
import type { NodeId } from "../../src/index.js";
import { wallOffsetMs } from "../cluster/node-admin.js";
import type { TestCluster } from "../cluster/test-cluster.js";
import { fault, sleep, type Composition, type Ground } from "./composition.js";

const QUIET_MS = 2_000;
const SECOND = 1_000;
const HOUR = 3_600 * SECOND;
const JUMPS_MS = [-6 * HOUR, -HOUR, -60 * SECOND, -10 * SECOND, 10 * SECOND, 60 * SECOND, HOUR, 6 * HOUR] as const;
const JUMP_MS = 3_000;
const STROBE_MS = 4_000;
const STROBE_EVERY_MS = 50;
const STROBES_MIN = 5;
/** Between two looks real time passes, and the clock that a node compares its own with may move a little. */
const FELT_WITHIN_MS = 2_500;

async function offsetOf(test: TestCluster, id: NodeId): Promise<number> {
  return (await wallOffsetMs(test.cluster.node(id).adminAddress)) ?? Number.NaN;
}

/** Each clock is back when it returns. */
async function whileMoved(ground: Ground, ids: readonly NodeId[], move: () => Promise<boolean>): Promise<boolean> {
  try {
    return await move();
  } finally {
    for (const id of ids) ground.test.equipment.clock(id).set(0);
  }
}

export const clockJump: Composition = {
  name: "clock-jump",
  summary:
    "the wall clocks of some nodes, the leader's among them in turns, jump by 10 s to 6 h, back and forth, and return; felt when each node measures the jump itself",
  nodesMin: 3,
  movesLeader: false,
  leavesDoubt: false,
  quietMs: QUIET_MS,
  requires: ["clocks"],
  episode: (ground, leader, turn) => {
    const { test, prng, stop } = ground;
    const others = test.nodes.filter((id) => id !== leader);
    const ids = turn % 3 === 0 ? [leader] : turn % 3 === 1 ? [prng.pick(others)] : test.nodes;
    const jumps = new Map(ids.map((id) => [id, prng.pick(JUMPS_MS)]));
    const facts = { nodes: ids.map(Number), jumpsMs: [...jumps.values()].join(", ") };
    return fault(ground, "clock-jump", facts, () =>
      whileMoved(ground, ids, async () => {
        const before = await Promise.all(ids.map((id) => offsetOf(test, id)));
        for (const [id, jumpMs] of jumps) test.equipment.clock(id).set(jumpMs);
        const after = await Promise.all(ids.map((id) => offsetOf(test, id)));
        await sleep(JUMP_MS, stop);
        return ids.every((id, i) => Math.abs((after[i] ?? 0) - (before[i] ?? 0) - (jumps.get(id) ?? 0)) < FELT_WITHIN_MS);
      }),
    );
  },
};

export const clockStrobe: Composition = {
  name: "clock-strobe",
  summary:
    "the leader's wall clock jumps to and fro by minutes or hours, twenty times a second; felt when the node itself measured it away and back, five times at least",
  nodesMin: 3,
  movesLeader: false,
  leavesDoubt: false,
  quietMs: QUIET_MS,
  requires: ["clocks"],
  episode: (ground, leader) => {
    const { test, prng, stop } = ground;
    const jumpMs = Math.abs(prng.pick(JUMPS_MS)) + 60 * SECOND;
    return fault(ground, "clock-strobe", { node: leader, jumpMs }, () =>
      whileMoved(ground, [leader], async () => {
        const seen = { moved: 0, back: 0 };
        const before = await offsetOf(test, leader);
        const untilMs = performance.now() + STROBE_MS;
        for (let away = true; performance.now() < untilMs && !stop.aborted; away = !away) {
          test.equipment.clock(leader).set(away ? jumpMs : 0);
          const movedMs = (await offsetOf(test, leader)) - before;
          if (Math.abs(movedMs - jumpMs) < FELT_WITHIN_MS) seen.moved += 1;
          if (Math.abs(movedMs) < FELT_WITHIN_MS) seen.back += 1;
          await sleep(STROBE_EVERY_MS, stop);
        }
        test.equipment.clock(leader).set(0);
        return seen.moved >= STROBES_MIN && seen.back >= STROBES_MIN;
      }),
    );
  },
};
