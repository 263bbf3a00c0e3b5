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

/** One that is attached, and one that the coordinators call. */
const RESERVING: readonly ResourceWish[] = [
  { name: "hotel", kind: "tcc" },
  { name: "payment", kind: "tcc-service" },
];

const base = { participants: KV, duplicates: false, reorders: false, decides: true } as const;

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
    name: "bank-mariadb",
    summary:
      "money between a real PostgreSQL and a real MariaDB server, half of it on clients' own connections: conservation, no prepared transaction, no lock left",
    participants: [
      { name: "pg", kind: "postgres" },
      { name: "mdb", kind: "mariadb" },
    ],
    parts: [{ part: transfers, share: 1 }],
  },
  {
    ...base,
    name: "tcc",
    summary:
      "money between two services that try, confirm and cancel, one attached and one called over HTTP, half of the tries by clients: each confirmed once or not at all, nothing left reserved",
    participants: RESERVING,
    parts: [
      { part: transfers, share: 2 },
      { part: ledgerSet, share: 1 },
    ],
  },
  {
    ...base,
    name: "tcc-reorder",
    summary:
      "the same while calls come twice, their answers get lost or come too late, and cancels overtake tries: one effect, and no try after its cancel",
    participants: RESERVING,
    duplicates: true,
    reorders: true,
    parts: [
      { part: transfers, share: 2 },
      { part: ledgerSet, share: 1 },
    ],
  },
  {
    ...base,
    name: "all-kinds",
    summary:
      "transactions over a key-value store, PostgreSQL, MariaDB and both services, in pairs and all together: one decision for every kind, one effect each, nothing left anywhere",
    participants: [{ name: "till", kind: "kv" }, { name: "pg", kind: "postgres" }, { name: "mdb", kind: "mariadb" }, ...RESERVING],
    parts: [
      { part: transfers, share: 3 },
      { part: ledgerSet, share: 1 },
      { part: decideRace, share: 1 },
    ],
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
