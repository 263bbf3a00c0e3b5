/**
 * What was read back when everything had come to rest, as it stands in a history: the cluster's records, the participants' ledgers and
 * balances, what was left behind. Written by the run, read by the judge, so that a history file is all it takes to judge again.
 */
import type { DecidedFact, HistoryEvent, HistoryValue, LedgerRow } from "../../src/check/index.js";
import { fields } from "./timeline.js";

/** A transaction as the cluster records it. */
export interface TransactionRecord {
  readonly gid: string;
  /** Undefined: undecided, or no record. */
  readonly decision: "commit" | "abort" | undefined;
  readonly zxid: string;
  readonly reason: string | undefined;
  /** `branch@participant`. */
  readonly yes: readonly string[];
  readonly branches: readonly string[];
}

export interface Books {
  readonly participant: string;
  readonly total: number;
  readonly lowest: number;
  readonly expected: number;
}

export interface Left {
  readonly participant: string;
  readonly orphans: number;
  readonly locks: number;
  /** Of participants that reserve. */
  readonly reserved: number | undefined;
}

export interface FinalReads {
  readonly records: ReadonlyMap<string, TransactionRecord>;
  readonly rows: readonly LedgerRow[];
  /** Participants whose ledger was read to its end. */
  readonly ledgers: readonly string[];
  readonly books: readonly Books[];
  readonly left: readonly Left[];
  /** Transactions that the cluster still works on; undefined: not asked. */
  readonly active: number | undefined;
  /** The transaction that wrote every account at the end: "commit", or what became of it. */
  readonly touched: string | undefined;
  /** Reads that failed. */
  readonly unread: readonly string[];
  readonly counts:
    | {
        readonly branches: number;
        readonly resolvedByInquiry: number;
        readonly duplicates: number;
        /** Tries that came after their cancel. */
        readonly lateTries: number;
      }
    | undefined;
}

type Row = readonly [gid: string, branch: string, effects: number];
type Recorded = readonly [
  gid: string,
  decision: "commit" | "abort" | null,
  zxid: string,
  reason: string | null,
  yes: readonly string[],
  branches: readonly string[],
];

export function recordValue(records: readonly TransactionRecord[]): HistoryValue {
  return records.map(({ gid, decision, zxid, reason, yes, branches }) => [gid, decision ?? null, zxid, reason ?? null, yes, branches]);
}

export function ledgerValue(rows: readonly LedgerRow[]): HistoryValue {
  return rows.map(({ gid, branch, effects }) => [gid, branch, effects]);
}

/** Undefined when the history holds no final reads. Throws RangeError when one has another shape. */
export function finalReads(history: readonly HistoryEvent[]): FinalReads | undefined {
  const records = new Map<string, TransactionRecord>();
  const rows: LedgerRow[] = [];
  const ledgers = new Set<string>();
  const books: Books[] = [];
  const left: Left[] = [];
  const unread: string[] = [];
  let active: number | undefined;
  let touched: string | undefined;
  let counts: FinalReads["counts"];
  let found = false;
  for (const { index, f, key, value } of history) {
    const of = fields(value);
    switch (f) {
      case "record":
        for (const [gid, decision, zxid, reason, yes, branches] of listOf<Recorded>(value, index))
          records.set(gid, { gid, decision: decision ?? undefined, zxid, reason: reason ?? undefined, yes, branches });
        break;
      case "ledger":
        ledgers.add(key);
        for (const [gid, branch, effects] of listOf<Row>(value, index)) rows.push({ participant: key, gid, branch, effects });
        break;
      case "balance":
        books.push({ participant: key, total: Number(of["total"]), lowest: Number(of["lowest"]), expected: Number(of["expected"]) });
        break;
      case "left":
        left.push({
          participant: key,
          orphans: Number(of["orphans"]),
          locks: Number(of["locks"]),
          reserved: of["reserved"] === undefined ? undefined : Number(of["reserved"]),
        });
        break;
      case "active":
        active = Number(value);
        break;
      case "touched":
        touched = String(value);
        break;
      case "unread":
        unread.push(String(value));
        break;
      case "counts":
        counts = {
          branches: Number(of["branches"]),
          resolvedByInquiry: Number(of["resolvedByInquiry"]),
          duplicates: Number(of["duplicates"]),
          lateTries: Number(of["lateTries"] ?? 0),
        };
        break;
      default:
        continue;
    }
    found = true;
  }
  return found ? { records, rows, ledgers: [...ledgers], books, left, active, touched, unread, counts } : undefined;
}

/** In the form of the ledger's checkers. */
export function factsOf(records: ReadonlyMap<string, TransactionRecord>): ReadonlyMap<string, DecidedFact> {
  const facts = new Map<string, DecidedFact>();
  for (const { gid, decision, zxid, reason, yes } of records.values()) {
    if (decision === undefined) continue;
    facts.set(gid, { gid, decision, zxid, reason, yes: yes.map(branchAt) });
  }
  return facts;
}

function branchAt(name: string): { readonly branch: string; readonly participant: string } {
  const [branch = "", participant = ""] = name.split("@");
  return { branch, participant };
}

function listOf<T extends readonly unknown[]>(value: HistoryValue, index: number): readonly T[] {
  if (!Array.isArray(value) || value.some((each) => !Array.isArray(each) || each.length < 3))
    throw new RangeError(`event ${index}: a record or a ledger is a list of lists`);
  return value as unknown as readonly T[];
}
