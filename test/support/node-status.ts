/**
 * A NodeStatus with everything in order, for tests that care about a few fields.
 */
import { nodeId } from "../../src/base/index.js";
import type { NodeStatus } from "../../src/wire/index.js";

export function aNodeStatus(more: Partial<NodeStatus> = {}): NodeStatus {
  return {
    id: nodeId(1),
    clusterId: "test",
    version: "0.1.0",
    pid: 4711,
    uptimeMs: 7_860_000,
    role: "following",
    phase: "broadcast",
    epoch: 4,
    acceptedEpoch: 4,
    leader: nodeId(2),
    lastZxid: { epoch: 4, counter: 100 },
    committed: { epoch: 4, counter: 100 },
    applied: { epoch: 4, counter: 100 },
    checkpointed: { epoch: 4, counter: 0 },
    historyBase: { epoch: 0, counter: 0 },
    voting: true,
    findings: [],
    lastSync: undefined,
    electionsStarted: 1,
    digest: 12,
    fsyncP50Ms: 0.2,
    fsyncP99Ms: 1.94,
    logBytes: 38 * 1024 * 1024,
    logSegments: 3,
    rssBytes: 90_000_000,
    cpuMs: 1200,
    openTransactions: 0,
    inDoubt: 0,
    paused: 0,
    finishedOutcomes: 3,
    participants: [],
    clients: 1,
    loopDelayMaxMs: 4,
    ...more,
  };
}
