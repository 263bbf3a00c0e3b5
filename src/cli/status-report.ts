/**
 * The cluster's status put together from what each member said of itself. The JSON shape is documented in docs/status.md.
 */
import { compareZxid, formatNodeId, formatZxid, type Zxid } from "../base/index.js";
import type { EndpointStatus } from "../client/index.js";
import type { NodeStatus, NodeView } from "../wire/index.js";
import { formatBytes, formatDuration } from "./output.js";
import { formatTable } from "./table.js";

export interface ClusterJson {
  readonly id: string | null;
  readonly epoch: number | null;
  readonly leader: number | null;
  readonly committed: string | null;
  readonly openTransactions: number | null;
  readonly inDoubt: number | null;
  readonly participants: readonly { readonly name: string; readonly kind: string; readonly instances: number }[];
}

export interface NodeJson {
  readonly id: number | null;
  readonly address: string;
  readonly reachable: boolean;
  readonly [field: string]: unknown;
}

export interface StatusJson {
  readonly cluster: ClusterJson;
  readonly nodes: readonly NodeJson[];
}

export interface StatusReport {
  readonly json: StatusJson;
  readonly hasQuorum: boolean;
  readonly table: () => string;
}

export function describeCluster(answers: readonly EndpointStatus[], view: NodeView | undefined): StatusReport {
  const idOf = (answer: EndpointStatus): number | undefined =>
    answer.status?.id ?? view?.members.find((member) => member.clientAddress === answer.address)?.id;
  const sorted = [...answers].sort((a, b) => (idOf(a) ?? Infinity) - (idOf(b) ?? Infinity) || a.address.localeCompare(b.address));
  const statuses = sorted.flatMap((answer) => (answer.status === undefined ? [] : [answer.status]));
  const leader = leaderOf(statuses, view);
  const json: StatusJson = {
    cluster: clusterJson(statuses, leader, view),
    nodes: sorted.map((answer) => nodeJson(answer, idOf(answer), leader)),
  };
  return { json, hasQuorum: leader !== undefined, table: () => statusTable(json.cluster, sorted, idOf, leader) };
}

/** A leader counts only while a majority of the members follows it in its epoch: one that is cut off may not know yet that it is not one. */
function leaderOf(statuses: readonly NodeStatus[], view: NodeView | undefined): NodeStatus | undefined {
  const members = view?.members.length ?? statuses.length;
  const leaders = statuses
    .filter((status) => status.role === "leading" && status.phase === "broadcast")
    .filter((leader) => {
      const following = statuses.filter(
        (status) => status.role === "following" && status.leader === leader.id && status.epoch === leader.epoch,
      );
      return 2 * (following.length + 1) > members;
    });
  return leaders.sort((a, b) => b.epoch - a.epoch)[0];
}

function clusterJson(statuses: readonly NodeStatus[], leader: NodeStatus | undefined, view: NodeView | undefined): ClusterJson {
  const best = leader ?? [...statuses].sort((a, b) => compareZxid(b.committed, a.committed))[0];
  return {
    id: view?.clusterId ?? best?.clusterId ?? null,
    epoch: leader?.epoch ?? null,
    leader: leader?.id ?? null,
    committed: best === undefined ? null : formatZxid(best.committed),
    openTransactions: best?.openTransactions ?? null,
    inDoubt: best?.inDoubt ?? null,
    participants: best === undefined ? [] : attachedTo(best, leader),
  };
}

/** Instances are those at the leader: only they are called. */
function attachedTo(best: NodeStatus, leader: NodeStatus | undefined): ClusterJson["participants"] {
  return best.participants.map(({ name, kind, instances }) => ({ name, kind, instances: leader === undefined ? 0 : instances }));
}

/** Entries behind the leader; undefined where the two cannot be compared by counting. */
function lagOf(status: NodeStatus, leader: NodeStatus | undefined): number | undefined {
  if (leader === undefined || status.id === leader.id) return undefined;
  if (status.lastZxid.epoch !== leader.lastZxid.epoch) return undefined;
  return Math.max(0, leader.lastZxid.counter - status.lastZxid.counter);
}

function nodeJson(answer: EndpointStatus, id: number | undefined, leader: NodeStatus | undefined): NodeJson {
  const { status, address } = answer;
  if (status === undefined) return { id: id ?? null, address, reachable: false, error: answer.error ?? null };
  const { lastSync } = status;
  return {
    id: status.id,
    address,
    reachable: true,
    role: status.role,
    phase: status.phase,
    epoch: status.epoch,
    acceptedEpoch: status.acceptedEpoch,
    leader: status.leader ?? null,
    lastZxid: formatZxid(status.lastZxid),
    committed: formatZxid(status.committed),
    applied: formatZxid(status.applied),
    checkpointed: formatZxid(status.checkpointed),
    historyBase: formatZxid(status.historyBase),
    lag: lagOf(status, leader) ?? null,
    voting: status.voting,
    findings: status.findings,
    lastSync:
      lastSync === undefined
        ? null
        : {
            kind: lastSync.kind,
            from: formatZxid(lastSync.from),
            to: formatZxid(lastSync.to),
            agoMs: Math.round(lastSync.agoMs),
            leader: lastSync.peer,
          },
    electionsStarted: status.electionsStarted,
    digest: status.digest,
    fsyncP50Ms: status.fsyncP50Ms,
    fsyncP99Ms: status.fsyncP99Ms,
    logBytes: status.logBytes,
    logSegments: status.logSegments,
    rssBytes: status.rssBytes,
    cpuMs: status.cpuMs,
    openTransactions: status.openTransactions,
    inDoubt: status.inDoubt,
    paused: status.paused,
    finishedOutcomes: status.finishedOutcomes,
    participants: status.participants,
    clients: status.clients,
    loopDelayMaxMs: status.loopDelayMaxMs,
    uptimeMs: Math.round(status.uptimeMs),
    version: status.version,
    pid: status.pid,
  };
}

const HEAD = ["NODE", "ROLE", "PHASE", "EPOCH", "LAST ZXID", "COMMITTED", "LAG", "FSYNC p99", "LOG", "UP", "VERSION", "LAST SYNC"];
const RIGHT = [3, 4, 5, 6, 7, 8, 9];

function statusTable(
  cluster: ClusterJson,
  answers: readonly EndpointStatus[],
  idOf: (answer: EndpointStatus) => number | undefined,
  leader: NodeStatus | undefined,
): string {
  const head = [
    `CLUSTER ${cluster.id ?? "?"}`,
    `LEADER ${cluster.leader === null ? "none: no quorum" : `n${cluster.leader}`}`,
    `EPOCH ${cluster.epoch ?? "-"}`,
    `COMMITTED ${cluster.committed ?? "-"}`,
    `OPEN TXNS ${cluster.openTransactions ?? "-"}`,
    `IN-DOUBT ${cluster.inDoubt ?? "-"}`,
  ];
  const rows = answers.map((answer) => {
    const id = idOf(answer);
    const name = id === undefined ? answer.address : `n${id}`;
    return answer.status === undefined
      ? [
          name,
          "unreachable",
          ...Array.from({ length: HEAD.length - 3 }, () => "-"),
          shorten(`${answer.address}: ${answer.error ?? "no answer"}`),
        ]
      : nodeRow(name, answer.status, leader);
  });
  const findings = answers.flatMap(({ status }) => (status?.findings ?? []).map((finding) => `n${status?.id ?? "?"}: ${finding}`));
  const participants = cluster.participants.map(({ name, kind, instances }) => `${name} (${kind}, ${instances} attached)`);
  return [
    head.join("   "),
    formatTable(HEAD, rows, RIGHT),
    ...(participants.length === 0 ? [] : [`PARTICIPANTS ${participants.join(", ")}`]),
    ...findings,
  ].join("\n");
}

function nodeRow(name: string, status: NodeStatus, leader: NodeStatus | undefined): readonly (string | number)[] {
  const lag = lagOf(status, leader);
  return [
    name,
    status.role === "leading" ? "leader" : status.role === "following" ? "follower" : "looking",
    status.voting ? status.phase : `${status.phase}, not voting`,
    status.epoch,
    formatZxid(status.lastZxid),
    formatZxid(status.committed),
    lag ?? "-",
    `${status.fsyncP99Ms.toFixed(1)}ms`,
    formatBytes(status.logBytes),
    formatDuration(status.uptimeMs),
    status.version,
    syncText(status),
  ];
}

/** `DIFF 3:17950 to 4:18213, 4s ago by n2`. */
function syncText({ lastSync }: NodeStatus): string {
  if (lastSync === undefined) return "-";
  const zxids = (from: Zxid, to: Zxid): string => `${formatZxid(from)} to ${formatZxid(to)}`;
  return `${lastSync.kind} ${zxids(lastSync.from, lastSync.to)}, ${formatDuration(lastSync.agoMs)} ago by ${formatNodeId(lastSync.peer)}`;
}

const ERROR_CHARS_MAX = 60;

function shorten(text: string): string {
  return text.length <= ERROR_CHARS_MAX ? text : `${text.slice(0, ERROR_CHARS_MAX - 3)}...`;
}
