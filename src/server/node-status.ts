/**
 * One node's NodeStatus, put together from the replica, the storage and the process.
 */
import { PRODUCT_VERSION } from "../base/index.js";
import type { ReplicaStatus } from "../replica/index.js";
import type { NodeStatus, NodeView } from "../wire/index.js";

export interface LogFigures {
  readonly fsyncP50Ms: number;
  readonly fsyncP99Ms: number;
  readonly bytes: number;
  readonly segments: number;
}

export interface NodeStatusParts {
  readonly replica: ReplicaStatus;
  readonly view: NodeView;
  readonly log: LogFigures;
  readonly startedMs: number;
  /** Monotonic ms. */
  readonly nowMs: number;
  readonly loopDelayMaxMs: number;
}

const MICROSECONDS = 1000;

export function describeNode(parts: NodeStatusParts): NodeStatus {
  const { replica, view, log, nowMs } = parts;
  const { zab, counts } = replica;
  const { lastSync } = zab;
  const cpu = process.cpuUsage();
  return {
    id: view.node,
    clusterId: view.clusterId,
    version: PRODUCT_VERSION,
    pid: process.pid,
    uptimeMs: nowMs - parts.startedMs,
    role: zab.role.kind,
    phase: zab.role.kind === "looking" ? "election" : zab.role.phase,
    epoch: zab.epochs.currentEpoch,
    acceptedEpoch: zab.epochs.acceptedEpoch,
    leader: zab.role.kind === "leading" ? view.node : zab.role.kind === "following" ? zab.role.leader : undefined,
    lastZxid: zab.lastLogged,
    committed: zab.committed,
    applied: replica.applied,
    checkpointed: replica.checkpointed,
    historyBase: zab.historyBase,
    voting: zab.epochs.damage === undefined,
    findings: zab.epochs.damage === undefined ? replica.findings : [damageText(zab.epochs.damage), ...replica.findings],
    lastSync:
      lastSync === undefined
        ? undefined
        : { kind: lastSync.kind, from: lastSync.from, to: lastSync.to, agoMs: Math.max(0, nowMs - lastSync.atMs), peer: lastSync.peer },
    electionsStarted: zab.electionsStarted,
    digest: replica.digest,
    fsyncP50Ms: log.fsyncP50Ms,
    fsyncP99Ms: log.fsyncP99Ms,
    logBytes: log.bytes,
    logSegments: log.segments,
    rssBytes: process.memoryUsage.rss(),
    cpuMs: (cpu.user + cpu.system) / MICROSECONDS,
    openTransactions: counts.open + counts.sealed + counts.decidedUnfinished,
    inDoubt: counts.sealed + counts.decidedUnfinished,
    paused: replica.driver.paused,
    finishedOutcomes: counts.finished,
    participants: replica.participants,
    clients: replica.clients,
    loopDelayMaxMs: parts.loopDelayMaxMs,
  };
}

function damageText(damage: "log" | "identity"): string {
  return damage === "log"
    ? "does not vote: entries it may have acknowledged are missing, it is being filled by a leader"
    : "does not vote: its data folder is new or its promises are lost, it is being filled by a leader";
}
