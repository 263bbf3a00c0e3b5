/**
 * Power cuts: what was not synced is lost. All nodes at once, or one.
 *
 * A kill -9 alone leaves the kernel's page cache alive and never finds a missing sync. Two kinds of cut do, and each run says which it
 * had. "file system": each node's folder lies on a disk of its own, which is shut down under it (disk-image.ts); this loses what LevelDB
 * did not sync, too, and needs root. "process cache": the node holds back what it has not synced, in its own memory, and dies with it; it
 * needs nothing, tears writes at sectors and reorders them, and does not reach LevelDB's files (src/server/volatile-cache.ts).
 */
import { readFileSync } from "node:fs";
import { isQuorateError, type NodeId } from "../../src/index.js";
import { setRules } from "../cluster/node-admin.js";
import type { TestCluster } from "../cluster/test-cluster.js";
import { fault, READY_TIMEOUT_MS, sleep, until, type Composition, type Ground } from "./composition.js";

const QUIET_MS = 3_000;
const DARK_MS = 300;
/** With its cache on, before the cut. */
const HELD_MS = 1_000;
const CANARY_MS_MAX = 5_000;
const CANARY_BYTES = 64 * 512;

type Cut = "file system" | "process cache";

/** True when all are gone, and each has lost what was not synced and kept what was. */
async function cutFileSystems(test: TestCluster, victims: readonly NodeId[]): Promise<boolean> {
  const { disks } = test.equipment;
  if (disks === undefined) return false;
  const findings = await disks.cut(
    victims,
    () => victims.forEach((id) => test.killNow(id)),
    () => Promise.all(victims.map((id) => test.cluster.exited(id))),
  );
  return findings.every(({ kept, lost }) => kept && lost);
}

async function cutProcessCaches(test: TestCluster, victims: readonly NodeId[]): Promise<boolean> {
  const admin = (id: NodeId): string => test.cluster.node(id).adminAddress;
  await Promise.all(victims.map((id) => setRules(admin(id), "disk.cache=hold")));
  await sleep(HELD_MS, undefined);
  await Promise.all(victims.map((id) => setRules(admin(id), "disk.canary=write")));
  const canary = (id: NodeId, which: "synced" | "unsynced"): Buffer => contentOf(`${test.cluster.node(id).dataDir}.canary-${which}`);
  const planted = await until(() => victims.every((id) => isWhole(canary(id, "synced"))), CANARY_MS_MAX, undefined);
  victims.forEach((id) => test.killNow(id));
  await Promise.all(victims.map((id) => test.cluster.exited(id)));
  return planted && victims.every((id) => isWhole(canary(id, "synced")) && !isWhole(canary(id, "unsynced")));
}

async function cut(ground: Ground, name: string, kind: Cut, victims: readonly NodeId[]): Promise<void> {
  const { test } = ground;
  const facts = { cut: kind, ...(victims.length === 1 ? { node: victims[0] ?? 0 } : {}) };
  await fault(ground, name, facts, async () => {
    let lost = false;
    try {
      lost = await (kind === "file system" ? cutFileSystems(test, victims) : cutProcessCaches(test, victims));
    } catch (error) {
      // A node that died before its rule was set: the cut did not happen, and does not count.
      if (isQuorateError(error) || kind === "file system") throw error;
    }
    const dark = victims.every((id) => test.cluster.pid(id) === undefined);
    await sleep(DARK_MS, undefined);
    for (const id of victims) if (test.cluster.pid(id) === undefined) test.restart(id);
    await test.cluster.ready(READY_TIMEOUT_MS);
    return lost && dark;
  });
}

/** The best kind of cut that this run can have. */
function bestCut(test: TestCluster): Cut {
  return test.equipment.has("disks") ? "file system" : "process cache";
}

export const powerCut: Composition = {
  name: "power-cut",
  summary:
    "all nodes lose their power in the same moment under load, and what was not synced with it; every decision that was acknowledged must still be there; felt when a canary on each disk has lost its unsynced bytes and kept its synced ones",
  nodesMin: 3,
  movesLeader: true,
  leavesDoubt: false,
  quietMs: QUIET_MS,
  wants: ["disks"],
  episode: (ground) => cut(ground, "power-cut", bestCut(ground.test), ground.test.nodes),
};

export const powerCutOne: Composition = {
  name: "power-cut-one",
  summary:
    "one node loses its power and what it had not synced, every other time the leader; felt when its canary has lost its unsynced bytes only",
  nodesMin: 3,
  movesLeader: true,
  leavesDoubt: false,
  quietMs: QUIET_MS,
  wants: ["disks"],
  episode: (ground, leader, turn) =>
    cut(ground, "power-cut-one", bestCut(ground.test), [turn % 2 === 0 ? leader : ground.prng.pick(ground.test.nodes)]),
};

export const tornPowerCut: Composition = {
  name: "torn-power-cut",
  summary:
    "all nodes lose their power at once; of what was not synced a random half of the sectors is on disk all the same: torn and reordered writes; felt when each canary's synced file is whole and its unsynced one is not",
  nodesMin: 3,
  movesLeader: true,
  leavesDoubt: false,
  quietMs: QUIET_MS,
  episode: (ground) => cut(ground, "torn-power-cut", "process cache", ground.test.nodes),
};

function isWhole(canary: Buffer): boolean {
  return canary.length === CANARY_BYTES && canary.equals(Buffer.alloc(CANARY_BYTES, "canary "));
}

function contentOf(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return Buffer.alloc(0);
    throw error;
  }
}
