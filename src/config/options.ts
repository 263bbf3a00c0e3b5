/**
 * Settings turned into the options objects of the rooms. The only place where a setting's key meets an option's name.
 */
import { nodeId, QuorateError, type NodeId } from "../base/index.js";
import type { CoordinatorOptions } from "../coordinator/index.js";
import type { ReplicaOptions } from "../replica/index.js";
import type { Member, ZabOptions } from "../zab/index.js";
import { environmentName, flagName } from "./names.js";
import { memberOf, parseMembers, splitAddress } from "./members.js";
import type { SettingKey, Settings, Tunables } from "./table.js";

export function zabOptions(settings: Tunables): ZabOptions {
  return {
    finalizeWaitMs: settings.finalizeWaitMs,
    notifyResendMsMin: settings.notifyResendMsMin,
    notifyResendMsMax: settings.notifyResendMsMax,
    initLimitMs: settings.initLimitMs,
    pingIntervalMs: settings.pingIntervalMs,
    followerSilenceMsMin: settings.followerSilenceMsMin,
    followerSilenceMsMax: settings.followerSilenceMsMax,
    quorumLossMs: settings.quorumLossMs,
    redialGraceMs: settings.redialGraceMs,
    batchBytesMax: settings.batchBytesMax,
    uncommittedBytesMax: settings.uncommittedBytesMax,
    uncommittedEntriesMax: settings.uncommittedEntriesMax,
    historyEntriesKeep: settings.historyEntriesKeep,
    historyBytesKeep: settings.historyBytesKeep,
    transferTimeoutMs: settings.transferTimeoutMs,
    deliverEntriesMax: settings.deliverEntriesMax,
  };
}

/** What the rooms of a replica are made of: every tunable, and what is not a number. */
export type ReplicaSettings = Tunables & Pick<Settings, "delegation">;

export function coordinatorOptions(settings: ReplicaSettings): CoordinatorOptions {
  return {
    transactionTimeoutMs: settings.transactionTimeoutMs,
    clientLostMs: settings.clientLostMs,
    inquiryMarginMs: settings.inquiryMarginMs,
    retryDelayMsMin: settings.retryDelayMsMin,
    retryDelayMsMax: settings.retryDelayMsMax,
    attemptsBeforePause: settings.attemptsBeforePause,
    callTimeoutMs: settings.callTimeoutMs,
    breakerFailures: settings.breakerFailures,
    breakerOpenMs: settings.breakerOpenMs,
    retentionMs: settings.retentionMs,
    floorIntervalMs: settings.floorIntervalMs,
    doneBatchMax: settings.doneBatchMax,
    doneDelayMs: settings.doneDelayMs,
    forgetBatchMax: settings.forgetBatchMax,
    openTransactionsMax: settings.openTransactionsMax,
    delegation: settings.delegation,
  };
}

export function replicaOptions(id: NodeId, clusterId: string, settings: ReplicaSettings): ReplicaOptions {
  return {
    id,
    clusterId,
    zab: zabOptions(settings),
    coordinator: coordinatorOptions(settings),
    clockSkewMs: settings.clockSkewMs,
    checkpointEntries: settings.checkpointEntries,
    checkpointBytes: settings.checkpointBytes,
    viewIntervalMs: settings.viewIntervalMs,
  };
}

/** Who this node is and where it listens. */
export interface NodeIdentity {
  readonly id: NodeId;
  readonly clusterId: string;
  readonly dataDir: string;
  readonly members: readonly Member[];
  readonly peerListen: string;
  readonly clientListen: string;
  readonly adminListen: string;
}

const ADMIN_PORT_FIRST = 7600;

/** Throws QUORATE_CONFIG naming what is missing and the three ways to give it. */
export function nodeIdentity(settings: Settings): NodeIdentity {
  const id = Number(required(settings, "id"));
  const dataDir = required(settings, "dataDir");
  const members = parseMembers(required(settings, "members"));
  if (id > 255) throw new QuorateError("QUORATE_CONFIG", `id is ${id}, but must be an integer from 1 to 255`);
  const self = memberOf(members, nodeId(id));
  const identity: NodeIdentity = {
    id: self.id,
    clusterId: settings.clusterId,
    dataDir,
    members,
    peerListen: settings.peerListen ?? self.peerAddress,
    clientListen: settings.clientListen ?? self.clientAddress,
    adminListen: settings.adminListen ?? `127.0.0.1:${ADMIN_PORT_FIRST + id - 1}`,
  };
  for (const key of ["peerListen", "clientListen", "adminListen"] as const) splitAddress(identity[key], key);
  return identity;
}

function required(settings: Settings, key: SettingKey & ("id" | "dataDir" | "members")): string {
  const value = settings[key];
  if (value !== undefined) return value;
  throw new QuorateError(
    "QUORATE_CONFIG",
    `${key} is required: give --${flagName(key)}, ${environmentName(key)}, or ${key} in the file of --config`,
  );
}
