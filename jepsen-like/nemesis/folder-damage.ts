/**
 * Damage to the folder of one stopped node: a flipped bit, all of it lost, an older copy in its place.
 *
 * Never more than one node at a time, and the next only when this one counts again, with no other fault in between: that is what can be
 * promised. A node that lost its folder knows that it knows nothing, and does not vote until a leader has rebuilt it (protocol.md, rule
 * 17). An older copy does not know that it is old: no node can tell by itself that it has forgotten promises it made, so the cluster
 * stays right only because all other nodes are up, have all that was decided, and stay so until the copy has caught up.
 */
import { cpSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { compareZxid, formatZxid, QuorateError, type Zxid } from "../../src/base/index.js";
import type { NodeId, NodeStatus } from "../../src/index.js";
import { healthOf } from "../cluster/node-admin.js";
import type { TestCluster } from "../cluster/test-cluster.js";
import { FLIP_TARGETS, flipBit } from "../disk/bit-flip.js";
import { fault, READY_TIMEOUT_MS, sleep, type Composition, type Ground } from "./composition.js";

const QUIET_MS = 2_000;
const STALE_MS = 3_000;
const VOTES_AGAIN_MS = 30_000;
const POLL_MS = 20;

/** Started again, it serves and is counted. Returns what it has said of its folder meanwhile. Throws when it does not come back. */
async function countsAgain(test: TestCluster, id: NodeId): Promise<{ readonly findings: readonly string[]; readonly wasSilent: boolean }> {
  test.restart(id);
  const untilMs = performance.now() + VOTES_AGAIN_MS;
  const findings = new Set<string>();
  let wasSilent = false;
  for (;;) {
    const health = await healthOf(test.cluster.node(id).adminAddress);
    for (const each of health?.findings ?? []) findings.add(each);
    if (health?.voting === false) wasSilent = true;
    if (health?.voting === true && health.ready) break;
    if (test.cluster.pid(id) === undefined) {
      const { code, message } = test.cluster.lastWords(id);
      throw new QuorateError(code, `n${id} ended instead of being rebuilt: ${message}`);
    }
    if (performance.now() > untilMs)
      throw new QuorateError(
        "QUORATE_NO_QUORUM",
        `n${id} is not counted ${VOTES_AGAIN_MS} ms after its folder was damaged: ${[...findings].join("; ")}`,
      );
    await sleep(POLL_MS, undefined);
  }
  await test.cluster.ready(READY_TIMEOUT_MS);
  return { findings: [...findings], wasSilent };
}

function victimOf({ test, prng }: Ground, leader: NodeId, turn: number): NodeId {
  return turn % 2 === 0 ? prng.pick(test.nodes.filter((node) => node !== leader)) : leader;
}

export const bitFlip: Composition = {
  name: "bit-flip",
  summary:
    "one bit of a stopped node's log, promises, marks or state store is turned round, every other time the leader's; the node must notice and be rebuilt; felt when it says so",
  nodesMin: 3,
  movesLeader: false,
  leavesDoubt: false,
  quietMs: QUIET_MS,
  episode: (ground, leader, turn) => {
    const { test, prng, history } = ground;
    const node = victimOf(ground, leader, turn);
    const target = prng.pick(FLIP_TARGETS);
    return fault(ground, "bit-flip", { node, target }, async () => {
      await test.kill(node);
      const flip = flipBit(test.cluster.node(node).dataDir, target, prng);
      if (flip !== undefined) history.nemesis({ fault: "bit-flip", at: "step", ...flip });
      const { findings, wasSilent } = await countsAgain(test, node);
      history.nemesis({ fault: "bit-flip", at: "step", found: findings.join("; "), silentUntilRebuilt: wasSilent });
      return flip !== undefined && findings.length > 0;
    });
  },
};

export const wipedFolder: Composition = {
  name: "wiped-folder",
  summary:
    "one node, every other time the leader, comes back with an empty folder; felt when it did not vote until a leader had rebuilt it",
  nodesMin: 3,
  movesLeader: false,
  leavesDoubt: false,
  quietMs: QUIET_MS,
  episode: (ground, leader, turn) => {
    const { test } = ground;
    const node = victimOf(ground, leader, turn);
    return fault(ground, "wiped-folder", { node }, async () => {
      await test.kill(node);
      empty(test.cluster.node(node).dataDir);
      return (await countsAgain(test, node)).wasSilent;
    });
  },
};

export const staleFolder: Composition = {
  name: "stale-folder",
  summary:
    "one follower comes back with a copy of its folder that is some seconds old, while all others are up and have everything; felt when the copy ended before what the node had acknowledged since",
  nodesMin: 3,
  movesLeader: false,
  leavesDoubt: false,
  quietMs: QUIET_MS,
  episode: (ground, leader) => {
    const { test, prng, stop, history } = ground;
    const node = prng.pick(test.nodes.filter((each) => each !== leader));
    return fault(ground, "stale-folder", { node, olderMs: STALE_MS }, async () => {
      const { dataDir } = test.cluster.node(node);
      const copy = `${dataDir}.copy`;
      await test.kill(node);
      cpSync(dataDir, copy, { recursive: true, dereference: true });
      await countsAgain(test, node);
      await sleep(STALE_MS, stop);
      const acknowledged = (await statusOf(test, node))?.lastZxid;
      await test.kill(node);
      empty(dataDir);
      for (const name of readdirSync(copy)) cpSync(join(copy, name), join(dataDir, name), { recursive: true });
      rmSync(copy, { recursive: true });
      await countsAgain(test, node);
      const cameBackWith = await syncedFrom(test, node);
      if (acknowledged === undefined || cameBackWith === undefined) return false;
      history.nemesis({ fault: "stale-folder", at: "step", had: formatZxid(acknowledged), has: formatZxid(cameBackWith) });
      return compareZxid(cameBackWith, acknowledged) < 0;
    });
  },
};

async function statusOf(test: TestCluster, id: NodeId): Promise<NodeStatus | undefined> {
  return (await test.clients[0]?.status())?.find(({ status }) => status?.id === id)?.status;
}

/** Where its log ended when it came back; it says so once a leader has synchronized it. */
async function syncedFrom(test: TestCluster, id: NodeId): Promise<Zxid | undefined> {
  const untilMs = performance.now() + VOTES_AGAIN_MS;
  while (performance.now() < untilMs) {
    const from = (await statusOf(test, id))?.lastSync?.from;
    if (from !== undefined) return from;
    await sleep(POLL_MS, undefined);
  }
  return undefined;
}

/** The folder itself stays: it may be a link, or a mount. */
function empty(dataDir: string): void {
  mkdirSync(dataDir, { recursive: true });
  for (const name of readdirSync(dataDir)) rmSync(join(dataDir, name), { recursive: true });
}
