/**
 * Compositions that break nothing themselves, and so run on anybody's cluster: none at all, and leadership handed over on purpose.
 */
import { isQuorateError, type NodeId } from "../../src/index.js";
import { must } from "../../src/base/index.js";
import type { ClusterUnderTest } from "../cluster/cluster-under-test.js";
import { fault, READY_TIMEOUT_MS, sleep, until, type Composition } from "./composition.js";

const HAND_OVER_QUIET_MS = 700;
const HAND_OVER_TIMEOUT_MS = 5_000;
const CALM_MS = 500;

export const none: Composition<ClusterUnderTest> = {
  name: "none",
  summary: "nothing is broken: the workload and its judges alone; on a cluster of your own, break it yourself",
  nodesMin: 1,
  movesLeader: false,
  leavesDoubt: false,
  faultless: true,
  quietMs: 0,
  episode: ({ stop }) => sleep(CALM_MS, stop),
};

export const handOver: Composition<ClusterUnderTest> = {
  name: "hand-over",
  summary: "the leader hands leadership to the next node, again and again under load; felt when the other node leads in a later epoch",
  nodesMin: 3,
  movesLeader: true,
  leavesDoubt: false,
  quietMs: HAND_OVER_QUIET_MS,
  episode: (ground, leader) => {
    const { test, stop } = ground;
    const next = test.nodes[(test.nodes.indexOf(leader) + 1) % test.nodes.length] as NodeId;
    return fault(ground, "hand-over", { node: leader, to: next }, async () => {
      const before = test.leader()?.epoch ?? 0;
      try {
        const now = await must(test.clients[0], "a client").moveLeader(next, { timeoutMs: HAND_OVER_TIMEOUT_MS });
        const seen = await until(() => (test.leader()?.epoch ?? 0) > before, READY_TIMEOUT_MS, stop);
        return seen && now === next;
      } catch (error) {
        // A hand-over may be refused, or overtaken by another change of leader: then it did not happen, and does not count.
        if (!isQuorateError(error)) throw error;
        ground.history.nemesis({ fault: "hand-over", at: "refused", error: error.code, message: error.message });
        return false;
      }
    });
  },
};
