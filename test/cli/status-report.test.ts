import { describe, expect, test } from "vitest";
import { nodeId } from "../../src/base/index.js";
import { describeCluster } from "../../src/cli/status-report.js";
import type { EndpointStatus } from "../../src/client/index.js";
import type { NodeStatus, NodeView } from "../../src/wire/index.js";
import { aNodeStatus } from "../support/node-status.js";

const MEMBERS = [1, 2, 3].map((id) => ({ id: nodeId(id), clientAddress: `h:740${id - 1}` }));
const VIEW: NodeView = {
  clusterId: "bank",
  node: nodeId(1),
  role: "following",
  established: true,
  epoch: 4,
  leader: nodeId(2),
  leaderAddress: "h:7401",
  clusterTimeMs: 0,
  members: MEMBERS,
  forgottenBelowMs: 0,
};

const up = (id: number, more: Partial<NodeStatus> = {}): EndpointStatus => ({
  address: `h:740${id - 1}`,
  status: aNodeStatus({ id: nodeId(id), clusterId: "bank", ...more }),
  error: undefined,
});
const down = (id: number): EndpointStatus => ({ address: `h:740${id - 1}`, status: undefined, error: "connect ECONNREFUSED" });
const LEADING = { role: "leading", phase: "broadcast", leader: nodeId(2) } as const;

describe("status of a cluster", () => {
  test("all members, sorted by id, with the lag of each follower", () => {
    const report = describeCluster([up(3, { lastZxid: { epoch: 4, counter: 90 } }), up(2, LEADING), up(1)], VIEW);
    expect(report.hasQuorum).toBe(true);
    expect(report.json.cluster).toMatchObject({ id: "bank", epoch: 4, leader: 2, committed: "4:100", openTransactions: 0, inDoubt: 0 });
    expect(report.json.nodes.map((node) => [node.id, node.reachable, node["lag"], node["lastZxid"]])).toEqual([
      [1, true, 0, "4:100"],
      [2, true, null, "4:100"],
      [3, true, 10, "4:90"],
    ]);
  });

  test("a node that does not answer is shown with its id and why", () => {
    const report = describeCluster([up(1), up(2, LEADING), down(3)], VIEW);
    expect(report.json.nodes[2]).toEqual({ id: 3, address: "h:7402", reachable: false, error: "connect ECONNREFUSED" });
    expect(report.table()).toMatch(/n3\s+unreachable.*ECONNREFUSED/);
    expect(report.hasQuorum).toBe(true);
  });

  test("a leader whose followers do not answer has no quorum, whatever it believes", () => {
    const report = describeCluster([down(1), up(2, LEADING), down(3)], VIEW);
    expect(report.hasQuorum).toBe(false);
    expect(report.json.cluster.leader).toBeNull();
    expect(report.table()).toContain("LEADER none: no quorum");
  });

  test("of two that believe to lead only the one with followers counts", () => {
    const old = up(1, { role: "leading", phase: "broadcast", leader: nodeId(1), epoch: 3 });
    const report = describeCluster([old, up(2, LEADING), up(3)], VIEW);
    expect(report.json.cluster).toMatchObject({ leader: 2, epoch: 4 });
  });

  test("a follower of another epoch is not counted", () => {
    const report = describeCluster([up(1, { epoch: 3 }), up(2, LEADING), down(3)], VIEW);
    expect(report.hasQuorum).toBe(false);
  });

  test("the last synchronization is shown with kind, range and age", () => {
    const lastSync = { kind: "DIFF", from: { epoch: 3, counter: 17_950 }, to: { epoch: 4, counter: 0 }, agoMs: 4200, peer: nodeId(2) };
    const report = describeCluster([up(1, { lastSync }), up(2, LEADING), up(3)], VIEW);
    expect(report.json.nodes[0]?.["lastSync"]).toEqual({ kind: "DIFF", from: "3:17950", to: "4:0", agoMs: 4200, leader: 2 });
    expect(report.table()).toContain("DIFF 3:17950 to 4:0, 4s ago by n2");
  });

  test("findings and a missing vote are in the table", () => {
    const report = describeCluster([up(1, { voting: false, findings: ["does not vote: ..."] }), up(2, LEADING), up(3)], VIEW);
    expect(report.table()).toContain("broadcast, not voting");
    expect(report.table()).toContain("n1: does not vote: ...");
  });

  test("nobody answering is a table too", () => {
    const report = describeCluster([down(1)], undefined);
    expect(report.json.cluster).toEqual({
      id: null,
      epoch: null,
      leader: null,
      committed: null,
      openTransactions: null,
      inDoubt: null,
      participants: [],
    });
    expect(report.table()).toContain("h:7400");
  });
});
