/**
 * Every command, one line each, in the order of `quorate --help`.
 */
import type { CommandEntry } from "./command.js";

export const COMMANDS: readonly CommandEntry[] = [
  { name: "dev", summary: "a cluster on this machine: one process per node", load: () => import("./commands/dev.js") },
  { name: "start", summary: "one node", load: () => import("./commands/start.js") },
  { name: "status", summary: "every node and what the cluster is doing", load: () => import("./commands/status.js") },
  { name: "health", summary: "prove that a proposal commits", load: () => import("./commands/health.js") },
  { name: "leader", summary: "hand leadership over", load: () => import("./commands/leader.js") },
  { name: "txn", summary: "begin, commit, look at and repair transactions", load: () => import("./commands/txn.js") },
  { name: "participant", summary: "a database as a participant, in a process of its own", load: () => import("./commands/participant.js") },
  {
    name: "service",
    summary: "services that take part without a library: called by HTTP or gRPC",
    load: () => import("./commands/service.js"),
  },
  { name: "xa", summary: "a database's prepared branches beside the cluster's records", load: () => import("./commands/xa.js") },
  { name: "demo", summary: "transfers between two banks while coordinators are killed", load: () => import("./commands/demo.js") },
  { name: "bench", summary: "measure writes, transactions, failover and restart", load: () => import("./commands/bench.js") },
  { name: "config", summary: "settings and where they come from", load: () => import("./commands/config.js") },
  { name: "partition", summary: "break the network on purpose and check every transaction", load: () => import("./commands/partition.js") },
  { name: "sim", summary: "the cluster in a deterministic simulator", load: () => import("./commands/sim.js") },
];
