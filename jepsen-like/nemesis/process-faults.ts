/**
 * Faults of the coordinators' processes: kill -9, freeze, all at once; and leadership handed over on purpose.
 *
 * A kill -9 leaves the operating system's page cache alive: what a machine's power cut loses is the simulator's and the storage tests' job.
 */
import { readFileSync } from "node:fs";
import { isQuorateError, type NodeId, type Quorate } from "../../src/index.js";
import { fault, READY_TIMEOUT_MS, sleep, type Composition } from "./composition.js";

const KILL_QUIET_MS = 500;
const RESTART_AFTER_MS = 500;
const PAUSE_QUIET_MS = 2_000;
/** From "hardly noticed" to "long replaced". */
const PAUSES_MS = [400, 1_200, 3_000] as const;
const HAND_OVER_QUIET_MS = 700;
const HAND_OVER_TIMEOUT_MS = 5_000;
const POWER_CUT_QUIET_MS = 3_000;
const DARK_MS = 300;

export const killStorm: Composition = {
  name: "kill-storm",
  summary:
    "kill -9 of one node about each second, every other time the leader, restarted after half a second, the next one killed when it serves again; felt when the process is gone",
  nodesMin: 3,
  movesLeader: true,
  leavesDoubt: false,
  quietMs: KILL_QUIET_MS,
  episode: (ground, leader, turn) => {
    const { test } = ground;
    // Never more than a minority at once: the promise is for a living majority.
    const victim = turn % 2 === 0 ? leader : ground.prng.pick(test.nodes);
    return fault(ground, "kill", { node: victim, wasLeader: victim === leader }, async () => {
      await test.kill(victim);
      const gone = test.cluster.pid(victim) === undefined;
      await sleep(RESTART_AFTER_MS, undefined);
      test.restart(victim);
      await test.cluster.ready(READY_TIMEOUT_MS);
      return gone;
    });
  },
};

export const pause: Composition = {
  name: "pause",
  summary:
    "SIGSTOP of the leader, every third time of a follower, for 0.4, 1.2 or 3 s, then SIGCONT; felt when the kernel shows the process stopped",
  nodesMin: 3,
  movesLeader: true,
  leavesDoubt: true,
  quietMs: PAUSE_QUIET_MS,
  episode: (ground, leader, turn) => {
    const { test, prng, stop } = ground;
    const victim = turn % 3 === 2 ? prng.pick(test.nodes.filter((node) => node !== leader)) : leader;
    // Every run, however short, has one pause that must cost the leader its place.
    const pauseMs = turn === 0 ? Math.max(...PAUSES_MS) : prng.pick(PAUSES_MS);
    return fault(ground, "pause", { node: victim, wasLeader: victim === leader, pauseMs }, async () => {
      test.freeze(victim);
      await sleep(pauseMs, stop);
      const stopped = isStopped(test.cluster.pid(victim));
      test.thaw(victim);
      return stopped;
    });
  },
};

export const powerCut: Composition = {
  name: "power-cut",
  summary:
    "every node is killed at once under load, and all are started again after 0.3 s; every decision that was acknowledged must still be there; felt when all processes are gone at once",
  nodesMin: 3,
  movesLeader: true,
  leavesDoubt: false,
  quietMs: POWER_CUT_QUIET_MS,
  episode: (ground) => {
    const { test } = ground;
    return fault(ground, "power-cut", {}, async () => {
      await Promise.all(test.nodes.map((node) => test.kill(node)));
      const dark = test.running.length === 0;
      await sleep(DARK_MS, undefined);
      for (const node of test.nodes) test.restart(node);
      await test.cluster.ready(READY_TIMEOUT_MS);
      return dark;
    });
  },
};

export const handOver: Composition = {
  name: "hand-over",
  summary: "the leader hands leadership to the next node, again and again under load; felt when the other node leads in a later epoch",
  nodesMin: 3,
  movesLeader: true,
  leavesDoubt: false,
  quietMs: HAND_OVER_QUIET_MS,
  episode: (ground, leader) => {
    const { test } = ground;
    const next = test.nodes[(test.nodes.indexOf(leader) + 1) % test.nodes.length] as NodeId;
    return fault(ground, "hand-over", { node: leader, to: next }, async () => {
      const before = test.leader()?.epoch ?? 0;
      try {
        const now = await (test.clients[0] as Quorate).moveLeader(next, { timeoutMs: HAND_OVER_TIMEOUT_MS });
        const { epoch } = await test.cluster.ready(READY_TIMEOUT_MS);
        return now === next && epoch > before;
      } catch (error) {
        // A hand-over may be refused, or overtaken by another change of leader: then it did not happen, and does not count.
        if (!isQuorateError(error)) throw error;
        ground.history.nemesis({ fault: "hand-over", at: "refused", error: error.code, message: error.message });
        return false;
      }
    });
  },
};

/** The kernel's own word: state T of /proc/PID/stat, after the parenthesised name. Where there is no /proc the fault is never felt. */
function isStopped(pid: number | undefined): boolean {
  if (pid === undefined) return false;
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat
      .slice(stat.lastIndexOf(")") + 1)
      .trim()
      .startsWith("T");
  } catch {
    return false;
  }
}
