/**
 * The named workloads.
 */
import { append } from "./append.js";
import { decideRace } from "./decide-race.js";
import { ledgerSet } from "./ledger-set.js";
import { registers } from "./registers.js";
import type { ResourceWish, Workload } from "./stage.js";
import { transfers } from "./transfers.js";

const KV: readonly ResourceWish[] = [
  { name: "bank-a", kind: "kv" },
  { name: "bank-b", kind: "kv" },
];
const POSTGRES: readonly ResourceWish[] = [
  { name: "pg-a", kind: "postgres" },
  { name: "pg-b", kind: "postgres" },
];

const base = { participants: KV, duplicates: false, decides: true } as const;

export const WORKLOADS: readonly Workload[] = [
  {
    ...base,
    name: "mix",
    summary: "all of those over the key-value store at once, and registers: the default",
    parts: [
      { part: transfers, share: 8 },
      { part: ledgerSet, share: 5 },
      { part: append, share: 5 },
      { part: decideRace, share: 4 },
      { part: registers, share: 2 },
    ],
  },
  {
    ...base,
    name: "transfers",
    summary:
      "money between two key-value banks, aborts from other clients, status reads on all nodes: conservation, one effect, one answer",
    parts: [{ part: transfers, share: 1 }],
  },
  {
    ...base,
    name: "ledger-set",
    summary:
      "one to four branches, listed, enlisted, or enlisted while the commit runs, one ledger row each: all rows or none, no branch lost",
    parts: [{ part: ledgerSet, share: 1 }],
  },
  {
    ...base,
    name: "bank",
    summary:
      "money between two real PostgreSQL servers, half of it on clients' own connections: conservation, no prepared transaction, no lock left",
    participants: POSTGRES,
    parts: [{ part: transfers, share: 1 }],
  },
  {
    ...base,
    name: "append",
    summary: "transactions that append to lists and read them, over two participants: strictly serializable",
    parts: [{ part: append, share: 1 }],
  },
  {
    ...base,
    name: "decide-race",
    summary: "three clients on three nodes, one commits, one aborts, one asks: one decision for ever",
    parts: [{ part: decideRace, share: 1 }],
  },
  {
    ...base,
    name: "duplicate-delivery",
    summary:
      "transfers and ledger rows while every call to a participant arrives up to three times more, late and out of order: one effect",
    duplicates: true,
    parts: [
      { part: transfers, share: 2 },
      { part: ledgerSet, share: 1 },
    ],
  },
  {
    ...base,
    name: "registers",
    summary: "puts, compare-and-puts and reads through every node: linearizable",
    participants: [],
    decides: false,
    parts: [{ part: registers, share: 1 }],
  },
];

export const WORKLOAD_DEFAULT = "mix";

export function workloadNamed(name: string): Workload | undefined {
  return WORKLOADS.find((each) => each.name === name);
}
