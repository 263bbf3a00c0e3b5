/**
 * A leader whose clock ran ahead was replaced by one with the right time. Its clients kept the old time, and the cluster refused all
 * their new transactions as coming from the far future, for as long as the first clock had been ahead.
 */
import { expect, test } from "vitest";
import { gidTimeMs, newGid, nodeId } from "../../src/base/index.js";
import { ClusterClock } from "../../src/client/cluster-clock.js";
import { createStateMachine } from "../../src/txn/index.js";

const NOW_MS = 1_700_000_000_000;
const HOUR_MS = 3_600_000;

test("a gid made after a newer leader put the time right is not refused for its time", () => {
  const clock = new ClusterClock(
    () => 0,
    () => NOW_MS,
  );
  const heard = (epoch: number, clusterTimeMs: number): void =>
    clock.observe({
      clusterId: "c",
      node: nodeId(1),
      role: "leading",
      established: true,
      epoch,
      leader: nodeId(1),
      leaderAddress: "",
      clusterTimeMs,
      members: [],
      forgottenBelowMs: 0,
    });
  const state = createStateMachine();
  const opened = (counter: number): string => {
    const gid = newGid(clock.nowMs(), () => counter);
    const result = state.apply(
      { stampMs: NOW_MS, command: { kind: "OPEN", gid, client: "", timeoutMs: 10_000, branches: [] } },
      { epoch: 2, counter },
    );
    return result.kind === "refused" ? result.reason : result.kind;
  };
  heard(1, NOW_MS + HOUR_MS);
  expect(opened(1)).toBe("future");
  heard(2, NOW_MS);
  expect(gidTimeMs(newGid(clock.nowMs(), () => 2))).toBe(NOW_MS);
  expect(opened(2)).toBe("opened");
});
