/**
 * Named compositions of faults: what breaks, when, and how it is seen that it really broke.
 */
import type { NodeId } from "../../src/index.js";
import type { TestCluster } from "../cluster/test-cluster.js";
import type { HistoryWriter } from "../history-writer.js";

export interface Composition {
  readonly name: string;
  readonly summary: string;
  /** Injects faults until `stop` fires; heals what it broke before it returns. Returns how many faults were really felt. */
  run(test: TestCluster, history: HistoryWriter, stop: AbortSignal): Promise<number>;
}

const FAULT_MS = 3_000;
const QUIET_MS = 2_000;
const KILL_EVERY_MS = 1_000;
const RESTART_AFTER_MS = 500;
const READY_TIMEOUT_MS = 30_000;

/** A network fault for FAULT_MS, then quiet, again and again. A fault counts only when some link really felt it. */
function networkFaults(name: string, summary: string, inject: (test: TestCluster, leader: NodeId, turn: number) => object): Composition {
  return {
    name,
    summary,
    run: async (test, history, stop) => {
      let felt = 0;
      for (let turn = 0; !stop.aborted; turn++) {
        await sleep(QUIET_MS, stop);
        const leader = test.leader()?.id;
        if (leader === undefined || stop.aborted) continue;
        test.mesh.takeBitten();
        const what = inject(test, leader, turn);
        history.nemesis({ fault: name, leader, ...what });
        await sleep(FAULT_MS, stop);
        const verified = test.mesh.takeBitten() > 0;
        if (verified) felt += 1;
        test.mesh.heal();
        history.nemesis({ fault: "healed", verified });
      }
      return felt;
    },
  };
}

export const COMPOSITIONS: readonly Composition[] = [
  networkFaults(
    "leader-isolated",
    "the leader is cut off from every other node, in silence; clients and participants still reach it",
    (test, leader) => {
      test.mesh.isolate(leader);
      return {};
    },
  ),
  networkFaults(
    "one-way",
    "packets from the leader are lost, or packets to it, in turns; the other direction works",
    (test, leader, turn) => {
      const outward = turn % 2 === 0;
      for (const other of test.nodes) {
        if (other === leader) continue;
        if (outward) test.mesh.blockPackets(leader, other);
        else test.mesh.blockPackets(other, leader);
      }
      return { direction: outward ? "from the leader" : "to the leader" };
    },
  ),
  {
    name: "kill-storm",
    summary:
      "kill -9 of one node each second, every other time the leader; restarted after half a second, the next one killed when it serves again",
    run: async (test, history, stop) => {
      let kills = 0;
      for (let turn = 0; !stop.aborted; turn++) {
        const victims = test.running;
        const leader = test.leader()?.id;
        const victim = turn % 2 === 0 && leader !== undefined ? leader : victims[turn % Math.max(1, victims.length)];
        // Never more than a minority at once: the promise is for a living majority.
        if (victim !== undefined && victims.length === test.nodes.length) {
          await test.kill(victim);
          kills += 1;
          history.nemesis({ fault: "kill", node: victim, leader: victim === leader, verified: test.cluster.pid(victim) === undefined });
          await sleep(RESTART_AFTER_MS, undefined);
          test.restart(victim);
          await test.cluster.ready(READY_TIMEOUT_MS);
        }
        await sleep(KILL_EVERY_MS - RESTART_AFTER_MS, stop);
      }
      return kills;
    },
  },
];

export function compositionNamed(name: string): Composition | undefined {
  return COMPOSITIONS.find((each) => each.name === name);
}

function sleep(ms: number, stop: AbortSignal | undefined): Promise<void> {
  if (stop?.aborted === true) return Promise.resolve();
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    function done(): void {
      clearTimeout(timer);
      stop?.removeEventListener("abort", done);
      resolve();
    }
    stop?.addEventListener("abort", done);
  });
}
