/**
 * One node's state: proto/quorate/v1/coordinator.proto, NodeStatus. Asked for by people: clarity before speed.
 */
import type { NodeId, Zxid } from "../base/index.js";
import { ZXID_ZERO } from "../base/index.js";
import type { Codec } from "./codec-api.js";
import { pushBounded, readNodeId, readOptionalNodeId, readTexts, readZxid, requiredNodeId, writeZxid } from "./common-codec.js";
import { NODE_PHASE, NODE_ROLE } from "./enums.js";
import type { NodeStatus } from "./frames.js";
import type { ProtoReader } from "./proto-reader.js";
import { decodeMessage, nested } from "./proto-reader.js";
import { ProtoWriter } from "./proto-writer.js";

type LastSync = NonNullable<NodeStatus["lastSync"]>;
type Attached = NodeStatus["participants"][number];
type Mutable<T> = { -readonly [K in keyof T]: T[K] };

const writer = new ProtoWriter(16 * 1024);

function writeLastSync(w: ProtoWriter, field: number, sync: LastSync): void {
  const mark = w.mark();
  w.uint(5, sync.peer);
  w.double(4, sync.agoMs);
  writeZxid(w, 3, sync.to);
  writeZxid(w, 2, sync.from);
  w.text(1, sync.kind);
  w.message(field, mark);
}

function readLastSync(r: ProtoReader): LastSync {
  let kind = "";
  let from: Zxid = ZXID_ZERO;
  let to: Zxid = ZXID_ZERO;
  let agoMs = 0;
  let peer: NodeId | undefined;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) kind = r.text();
    else if (tag === 18) from = readZxid(r);
    else if (tag === 26) to = readZxid(r);
    else if (tag === 33) agoMs = r.double();
    else if (tag === 40) peer = readNodeId(r);
    else r.skip(tag);
  }
  return { kind, from, to, agoMs, peer: requiredNodeId(peer) };
}

function writeAttached(w: ProtoWriter, field: number, attached: Attached): void {
  const mark = w.mark();
  w.uint(3, attached.instances);
  w.text(2, attached.kind);
  w.text(1, attached.name);
  w.message(field, mark);
}

function readAttached(r: ProtoReader): Attached {
  let name = "";
  let kind = "";
  let instances = 0;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) name = r.text();
    else if (tag === 18) kind = r.text();
    else if (tag === 24) instances = r.uint32();
    else r.skip(tag);
  }
  return { name, kind, instances };
}

export function writeStatus(w: ProtoWriter, s: NodeStatus): void {
  w.double(33, s.loopDelayMaxMs);
  w.uint(32, s.clients);
  for (let i = s.participants.length - 1; i >= 0; i--) writeAttached(w, 31, s.participants[i] as Attached);
  w.uint(30, s.finishedOutcomes);
  w.uint(29, s.paused);
  w.uint(28, s.inDoubt);
  w.uint(27, s.openTransactions);
  w.double(26, s.cpuMs);
  w.uint(25, s.rssBytes);
  w.uint(24, s.logSegments);
  w.uint(23, s.logBytes);
  w.double(22, s.fsyncP99Ms);
  w.double(21, s.fsyncP50Ms);
  w.uint(20, s.digest);
  w.uint(19, s.electionsStarted);
  if (s.lastSync !== undefined) writeLastSync(w, 18, s.lastSync);
  w.texts(17, s.findings);
  w.bool(16, s.voting);
  writeZxid(w, 15, s.historyBase);
  writeZxid(w, 14, s.checkpointed);
  writeZxid(w, 13, s.applied);
  writeZxid(w, 12, s.committed);
  writeZxid(w, 11, s.lastZxid);
  w.uint(10, s.leader ?? 0);
  w.uint(9, s.acceptedEpoch);
  w.uint(8, s.epoch);
  w.uint(7, NODE_PHASE.code(s.phase));
  w.uint(6, NODE_ROLE.code(s.role));
  w.double(5, s.uptimeMs);
  w.uint(4, s.pid);
  w.text(3, s.version);
  w.text(2, s.clusterId);
  w.uint(1, s.id);
}

/** Setters by tag: a plain list beats a switch of 33 cases for reading. */
type Setter = (s: Partial<Mutable<NodeStatus>>, r: ProtoReader) => void;

const SETTERS: ReadonlyMap<number, Setter> = new Map<number, Setter>([
  [8, (s, r) => (s.id = readNodeId(r))],
  [18, (s, r) => (s.clusterId = r.text())],
  [26, (s, r) => (s.version = r.text())],
  [32, (s, r) => (s.pid = r.uint32())],
  [41, (s, r) => (s.uptimeMs = r.double())],
  [48, (s, r) => (s.role = NODE_ROLE.read(r))],
  [56, (s, r) => (s.phase = NODE_PHASE.read(r))],
  [64, (s, r) => (s.epoch = r.uint32())],
  [72, (s, r) => (s.acceptedEpoch = r.uint32())],
  [80, (s, r) => (s.leader = readOptionalNodeId(r))],
  [90, (s, r) => (s.lastZxid = readZxid(r))],
  [98, (s, r) => (s.committed = readZxid(r))],
  [106, (s, r) => (s.applied = readZxid(r))],
  [114, (s, r) => (s.checkpointed = readZxid(r))],
  [122, (s, r) => (s.historyBase = readZxid(r))],
  [128, (s, r) => (s.voting = r.bool())],
  [146, (s, r) => (s.lastSync = nested(r, readLastSync))],
  [152, (s, r) => (s.electionsStarted = r.uint())],
  [160, (s, r) => (s.digest = r.uint())],
  [169, (s, r) => (s.fsyncP50Ms = r.double())],
  [177, (s, r) => (s.fsyncP99Ms = r.double())],
  [184, (s, r) => (s.logBytes = r.uint())],
  [192, (s, r) => (s.logSegments = r.uint32())],
  [200, (s, r) => (s.rssBytes = r.uint())],
  [209, (s, r) => (s.cpuMs = r.double())],
  [216, (s, r) => (s.openTransactions = r.uint())],
  [224, (s, r) => (s.inDoubt = r.uint())],
  [232, (s, r) => (s.paused = r.uint())],
  [240, (s, r) => (s.finishedOutcomes = r.uint())],
  [256, (s, r) => (s.clients = r.uint())],
  [265, (s, r) => (s.loopDelayMaxMs = r.double())],
]);
const FINDINGS_TAG = 138;
const PARTICIPANTS_TAG = 250;

function readStatus(r: ProtoReader): NodeStatus {
  const s: Partial<Mutable<NodeStatus>> = {};
  const findings: string[] = [];
  const participants: Attached[] = [];
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    const set = SETTERS.get(tag);
    if (set !== undefined) set(s, r);
    else if (tag === FINDINGS_TAG) readTexts(findings, r);
    else if (tag === PARTICIPANTS_TAG) pushBounded(participants, nested(r, readAttached));
    else r.skip(tag);
  }
  return {
    id: requiredNodeId(s.id),
    clusterId: s.clusterId ?? "",
    version: s.version ?? "",
    pid: s.pid ?? 0,
    uptimeMs: s.uptimeMs ?? 0,
    role: NODE_ROLE.required(s.role),
    phase: NODE_PHASE.required(s.phase),
    epoch: s.epoch ?? 0,
    acceptedEpoch: s.acceptedEpoch ?? 0,
    leader: s.leader,
    lastZxid: s.lastZxid ?? ZXID_ZERO,
    committed: s.committed ?? ZXID_ZERO,
    applied: s.applied ?? ZXID_ZERO,
    checkpointed: s.checkpointed ?? ZXID_ZERO,
    historyBase: s.historyBase ?? ZXID_ZERO,
    voting: s.voting ?? false,
    findings,
    lastSync: s.lastSync,
    electionsStarted: s.electionsStarted ?? 0,
    digest: s.digest ?? 0,
    fsyncP50Ms: s.fsyncP50Ms ?? 0,
    fsyncP99Ms: s.fsyncP99Ms ?? 0,
    logBytes: s.logBytes ?? 0,
    logSegments: s.logSegments ?? 0,
    rssBytes: s.rssBytes ?? 0,
    cpuMs: s.cpuMs ?? 0,
    openTransactions: s.openTransactions ?? 0,
    inDoubt: s.inDoubt ?? 0,
    paused: s.paused ?? 0,
    finishedOutcomes: s.finishedOutcomes ?? 0,
    participants,
    clients: s.clients ?? 0,
    loopDelayMaxMs: s.loopDelayMaxMs ?? 0,
  };
}

export const nodeStatusCodec: Codec<NodeStatus> = {
  encode(value) {
    writer.begin();
    writeStatus(writer, value);
    return writer.finish();
  },
  decode: (bytes) => decodeMessage("NodeStatus", bytes, readStatus),
};
