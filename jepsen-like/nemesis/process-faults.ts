/**
 * Faults of the coordinators' processes: kill -9, freeze.
 *
 * A kill -9 leaves the operating system's page cache alive: what a power cut loses is in disk-power-cut.ts.
 */
import { readFileSync } from "node:fs";
import { fault, READY_TIMEOUT_MS, sleep, type Composition } from "./composition.js";

const KILL_QUIET_MS = 500;
const RESTART_AFTER_MS = 500;
const PAUSE_QUIET_MS = 2_000;
/** From "hardly noticed" to "long replaced". */
const PAUSES_MS = [400, 1_200, 3_000] as const;

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
