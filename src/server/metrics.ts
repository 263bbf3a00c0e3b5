/**
 * /metrics in the Prometheus text format, written by hand from one NodeStatus: no registry, no state of its own besides event counts.
 */
import type { NodeStatus } from "../wire/index.js";

export interface MetricsInput {
  readonly status: NodeStatus;
  readonly established: boolean;
  /** Entries each synchronized follower is behind, on the leader. */
  readonly lags: readonly { readonly peer: number; readonly entries: number }[];
  readonly uncommittedEntries: number;
  readonly wallOffsetMs: number;
  /** How often each protocol event was seen since the start. */
  readonly events: ReadonlyMap<string, number>;
}

type Sample = readonly [labels: Readonly<Record<string, string | number>>, value: number];

export function renderMetrics(input: MetricsInput): string {
  const { status } = input;
  const out: string[] = [];
  const metric = (name: string, type: "gauge" | "counter", help: string, samples: readonly Sample[]): void => {
    out.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
    for (const [labels, value] of samples) out.push(`${name}${renderLabels(labels)} ${value}`);
  };
  const gauge = (name: string, help: string, value: number): void => metric(name, "gauge", help, [[{}, value]]);
  const counter = (name: string, help: string, value: number): void => metric(name, "counter", help, [[{}, value]]);

  metric("quorate_info", "gauge", "Constant 1.", [[{ node: status.id, cluster: status.clusterId, version: status.version }, 1]]);
  gauge("quorate_zab_epoch", "Epoch whose history is this node's.", status.epoch);
  gauge("quorate_zab_is_leader", "1 on the established leader.", status.role === "leading" && input.established ? 1 : 0);
  gauge("quorate_zab_has_quorum", "1 while this node follows or is an established leader.", input.established ? 1 : 0);
  gauge("quorate_zab_voting", "0 while this node may not vote.", status.voting ? 1 : 0);
  counter("quorate_zab_elections_total", "Elections this node has taken part in.", status.electionsStarted);
  gauge("quorate_zab_proposals_pending", "Proposed by this node and not committed.", input.uncommittedEntries);
  gauge("quorate_zab_last_zxid_counter", "Counter of the last entry of the log.", status.lastZxid.counter);
  gauge("quorate_zab_committed_counter", "Counter of the last committed entry.", status.committed.counter);
  metric(
    "quorate_zab_follower_lag_entries",
    "gauge",
    "Entries a follower is behind, on the leader.",
    input.lags.map(({ peer, entries }) => [{ peer: `n${peer}` }, entries]),
  );
  metric(
    "quorate_zab_sync_total",
    "counter",
    "Learners synchronized by this node as leader, by kind.",
    ["DIFF", "TRUNC", "SNAP"].map((kind) => [{ kind: kind.toLowerCase() }, input.events.get(`${kind.toLowerCase()}-sent`) ?? 0]),
  );
  metric("quorate_log_fsync_seconds", "gauge", "Recent syncs of the log.", [
    [{ quantile: "0.5" }, status.fsyncP50Ms / 1000],
    [{ quantile: "0.99" }, status.fsyncP99Ms / 1000],
  ]);
  gauge("quorate_log_bytes", "Size of the log on disk.", status.logBytes);
  gauge("quorate_log_segments", "Files of the log.", status.logSegments);
  gauge("quorate_txn_open", "Transactions not finished.", status.openTransactions);
  gauge("quorate_txn_in_doubt", "Sealed and undecided, or decided and not acknowledged by everybody.", status.inDoubt);
  gauge("quorate_txn_outcomes_retained", "Finished outcomes that are remembered.", status.finishedOutcomes);
  gauge("quorate_branches_paused", "Branches that wait for an operator or for their participant.", status.paused);
  metric(
    "quorate_participant_instances",
    "gauge",
    "Instances attached to this node.",
    status.participants.map((p) => [{ participant: p.name, kind: p.kind }, p.instances]),
  );
  gauge("quorate_client_streams", "Client streams on this node.", status.clients);
  gauge("quorate_clock_offset_seconds", "Wall clock against the cluster's clock.", input.wallOffsetMs / 1000);
  metric(
    "quorate_events_total",
    "counter",
    "Protocol events by name.",
    [...input.events].sort().map(([event, count]) => [{ event }, count]),
  );
  gauge("quorate_event_loop_delay_max_seconds", "Longest stall of the last 10 to 20 seconds.", status.loopDelayMaxMs / 1000);
  gauge("process_resident_memory_bytes", "Resident memory.", status.rssBytes);
  counter("process_cpu_seconds_total", "User and system time.", status.cpuMs / 1000);
  gauge("process_uptime_seconds", "Since the start.", status.uptimeMs / 1000);
  return `${out.join("\n")}\n`;
}

function renderLabels(labels: Readonly<Record<string, string | number>>): string {
  const entries = Object.entries(labels);
  if (entries.length === 0) return "";
  return `{${entries.map(([key, value]) => `${key}="${escapeLabel(String(value))}"`).join(",")}}`;
}

function escapeLabel(value: string): string {
  return value.replace(/[\\"\n]/g, (c) => (c === "\n" ? "\\n" : `\\${c}`));
}
