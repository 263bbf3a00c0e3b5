/**
 * Disks that fail, fill up, or take their time.
 *
 * The product's rule: any error of a write or a sync ends the process with a clear message, nothing is retried, and the node comes back
 * when its disk is well. A node that goes on after an error breaks the rule, and the run is invalid. A slow disk breaks nothing.
 */
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { QuorateError } from "../../src/base/index.js";
import type { NodeId } from "../../src/index.js";
import { tool } from "../disk/commands.js";
import { cutPower } from "../disk/disk-image.js";
import { rulesOf, setRules } from "../cluster/node-admin.js";
import type { TestCluster } from "../cluster/test-cluster.js";
import { fault, READY_TIMEOUT_MS, sleep, type Composition, type Ground } from "./composition.js";

const QUIET_MS = 2_000;
/** Under load a node writes many times a second; a checkpoint or a new segment may be the first to meet a full disk. */
const ENDS_WITHIN_MS = 20_000;
const STAY_DOWN_MS = 500;
const LAST_WORDS = "the node cannot go on";
/** From "hardly noticed" to "long replaced". */
const STALLS_MS = [300, 1_000, 3_000] as const;
/** Should this process die meanwhile: a frozen file system would keep the node's process for ever. */
const STALL_S_MAX = 10;
const SLOW_SYNC_MS = [5, 20, 50] as const;
const SLOW_MS = 4_000;

/** Waits until the node has ended by itself, as the rule wants. Returns its last words' truth; throws when it goes on. */
async function endsByItself(test: TestCluster, id: NodeId, why: string): Promise<boolean> {
  const exit = await Promise.race([test.cluster.exited(id), sleep(ENDS_WITHIN_MS, undefined)]);
  if (exit === undefined) throw new QuorateError("QUORATE_INTERNAL", `n${id} goes on ${ENDS_WITHIN_MS} ms after ${why}`);
  if (exit.code !== 1) throw new QuorateError("QUORATE_INTERNAL", `n${id} ended with ${exit.signal ?? `status ${exit.code}`} after ${why}`);
  const said = test.cluster.logTail(id);
  if (!said.includes(LAST_WORDS)) throw new QuorateError("QUORATE_INTERNAL", `n${id} ended after ${why} without a clear message: ${said}`);
  return true;
}

async function back(test: TestCluster, id: NodeId): Promise<void> {
  await sleep(STAY_DOWN_MS, undefined);
  test.restart(id);
  await test.cluster.ready(READY_TIMEOUT_MS);
}

function victimOf({ test, prng }: Ground, leader: NodeId, turn: number): NodeId {
  return turn % 2 === 0 ? leader : prng.pick(test.nodes.filter((node) => node !== leader));
}

function adminOf(test: TestCluster, id: NodeId): string {
  return test.cluster.node(id).adminAddress;
}

export const diskDies: Composition = {
  name: "disk-dies",
  summary:
    "every operation of one node's disk fails with EIO, and nothing more is written; every other time the leader's; felt when the process ended by itself and said why, and, on a disk of its own, could not start before the disk was well",
  nodesMin: 3,
  movesLeader: true,
  leavesDoubt: false,
  quietMs: QUIET_MS,
  wants: ["disks"],
  episode: (ground, leader, turn) => {
    const { test } = ground;
    const { disks } = test.equipment;
    const node = victimOf(ground, leader, turn);
    return fault(ground, "disk-dies", { node, by: disks === undefined ? "rule" : "file system" }, async () => {
      const disk = disks?.disk(node);
      if (disk === undefined) await setRules(adminOf(test, node), "disk.any.write=error(EIO);disk.any.sync=error(EIO)");
      else await cutPower([disk]);
      const felt = await endsByItself(test, node, "its disk died");
      const refused = disk === undefined || (await failsToStart(test, node, "on a dead disk"));
      await disk?.unmount();
      await disk?.mount();
      await back(test, node);
      return felt && refused;
    });
  },
};

export const syncFailsOnce: Composition = {
  name: "sync-fails-once",
  summary:
    "one sync of a node's log fails with EIO and loses what it should have written, and the next one would succeed: a node that tried again would acknowledge what is gone; felt when the process ended by itself and said why",
  nodesMin: 3,
  movesLeader: true,
  leavesDoubt: false,
  quietMs: QUIET_MS,
  episode: (ground, leader, turn) => {
    const { test, prng } = ground;
    const node = victimOf(ground, leader, turn);
    const hit = prng.int(1, 50);
    return fault(ground, "sync-fails-once", { node, sync: hit }, async () => {
      await setRules(adminOf(test, node), `disk.cache=hold;disk.log.sync=error(EIO)@${hit}*1`);
      const felt = await endsByItself(test, node, "a failed sync");
      await back(test, node);
      return felt;
    });
  },
};

export const diskFull: Composition = {
  name: "disk-full",
  summary:
    "no space is left for one node, every other time the leader; felt when the process ended by itself and said why, and, on a disk of its own, could not start before there was space again",
  nodesMin: 3,
  movesLeader: true,
  leavesDoubt: false,
  quietMs: QUIET_MS,
  wants: ["disks"],
  episode: (ground, leader, turn) => {
    const { test } = ground;
    const node = victimOf(ground, leader, turn);
    const disk = test.equipment.disks?.disk(node);
    return fault(ground, "disk-full", { node, by: disk === undefined ? "rule" : "file system" }, async () => {
      const filler = disk === undefined ? undefined : join(disk.path, "filler");
      if (filler === undefined) await setRules(adminOf(test, node), "disk.any.write=error(ENOSPC);disk.any.names=error(ENOSPC)");
      else await fill(filler);
      let felt = await endsByItself(test, node, "its disk was full");
      if (filler !== undefined) {
        felt &&= await failsToStart(test, node, "with a full disk");
        rmSync(filler);
      }
      await back(test, node);
      return felt;
    });
  },
};

/** Started while its disk is not well, it ends at once and says what is wrong with which folder; anything else breaks the rule. */
async function failsToStart(test: TestCluster, id: NodeId, how: string): Promise<boolean> {
  test.restart(id);
  const exit = await Promise.race([test.cluster.exited(id), sleep(ENDS_WITHIN_MS, undefined)]);
  if (exit === undefined) throw new QuorateError("QUORATE_INTERNAL", `n${id} runs ${how}`);
  const { code, message } = test.cluster.lastWords(id);
  if (code !== "QUORATE_DATA_FOLDER")
    throw new QuorateError("QUORATE_INTERNAL", `n${id}, started ${how}, ended without a clear message: ${message}`);
  return true;
}

/** Until no byte more fits. Not in this process's turn: it carries the clients, and perhaps the network. */
async function fill(path: string): Promise<void> {
  const script =
    'size=268435456; while [ $size -ge 4096 ]; do fallocate -o $(stat -c %s "$1") -l $size "$1" 2>/dev/null || size=$((size / 2)); done';
  writeFileSync(path, "");
  await tool("sh", ["-c", script, "sh", path]);
}

export const diskStall: Composition = {
  name: "disk-stall",
  summary:
    "one node's disk does nothing for 0.3, 1 or 3 s, every other time the leader's; felt when somebody else's write to it waited, or the node's syncs did",
  nodesMin: 3,
  movesLeader: false,
  leavesDoubt: false,
  quietMs: QUIET_MS,
  wants: ["disks"],
  episode: (ground, leader, turn) => {
    const { test, prng, stop } = ground;
    const node = victimOf(ground, leader, turn);
    const stallMs = prng.pick(STALLS_MS);
    const disk = test.equipment.disks?.disk(node);
    return fault(ground, "disk-stall", { node, stallMs, by: disk === undefined ? "rule" : "file system" }, async () => {
      if (disk === undefined) {
        await setRules(adminOf(test, node), `disk.any.sync=delay(${stallMs});disk.any.write=delay(${stallMs})`);
        await sleep(stallMs, stop);
        const felt = ((await rulesOf(adminOf(test, node))) ?? []).some(({ acted }) => acted > 0);
        await setRules(adminOf(test, node), "disk.any.sync=off;disk.any.write=off");
        return felt;
      }
      spawn("sh", ["-c", `sleep ${STALL_S_MAX}; fsfreeze -u "$1" 2>/dev/null`, "sh", disk.path], {
        detached: true,
        stdio: "ignore",
      }).unref();
      await disk.freeze();
      const writer = spawn("sh", ["-c", 'echo stalled >"$1/stall"', "sh", disk.path], { stdio: "ignore" });
      const written = once(writer, "exit").then(() => true);
      await sleep(stallMs, stop);
      const waited = !(await Promise.race([written, sleep(0, undefined).then(() => false)]));
      await disk.thaw();
      await written;
      return waited;
    });
  },
};

export const slowSyncs: Composition = {
  name: "slow-syncs",
  summary: "each sync of each node's log takes 5, 20 or 50 ms more, on all nodes; felt when syncs of every node were held up",
  nodesMin: 3,
  movesLeader: false,
  leavesDoubt: false,
  quietMs: QUIET_MS,
  episode: (ground) => {
    const { test, prng, stop } = ground;
    const delayMs = prng.pick(SLOW_SYNC_MS);
    return fault(ground, "slow-syncs", { delayMs }, async () => {
      await Promise.all(test.nodes.map((id) => setRules(adminOf(test, id), `disk.log.sync=delay(${delayMs})`)));
      await sleep(SLOW_MS, stop);
      const acted = await Promise.all(test.nodes.map((id) => rulesOf(adminOf(test, id))));
      await Promise.all(test.nodes.map((id) => setRules(adminOf(test, id), "disk.log.sync=off")));
      return acted.every((rules) => rules?.some((rule) => rule.acted > 0) === true);
    });
  },
};
