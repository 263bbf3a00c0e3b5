/**
 * The statements of a barrier in one kind of database, and what their answers mean.
 *
 * All values are literals: each is of a strict alphabet (contract.ts checks it), and so the texts hold no placeholder that one
 * library writes `$1` and another `?`. No text holds a question mark.
 */
import { gidTimeMs, QuorateError, type Gid } from "../../base/index.js";
import type { BarrierCall, BarrierScope } from "../contract.js";
import type { Slot, Step } from "../rules.js";

/** Rows of one statement; of those that return none, what the driver said instead. */
export interface SqlAnswer {
  readonly rows: readonly Readonly<Record<string, unknown>>[];
  /** The server's status flags of the MySQL protocol, where the library passes them on. */
  readonly serverStatus?: number | undefined;
}

/** One transaction, however its library wraps it. */
export interface SqlRunner {
  run(sql: string): Promise<SqlAnswer>;
  /** true or false where the library knows by itself. */
  readonly inTransaction?: boolean | undefined;
}

export interface Tables {
  /** Marks. */
  readonly barrier: string;
  /** Per participant: highest epoch seen, floor. */
  readonly state: string;
}

/** Names the transaction that wrote a mark; to be shown to `stillOpen`. */
export interface Claim {
  readonly transaction: string;
}

export interface ScopeState {
  readonly epoch: number;
  readonly floorMs: number;
}

export interface Dialect {
  readonly name: "postgres" | "mysql";
  tables(schema: string | undefined): Tables;
  createSql(tables: Tables): readonly string[];
  /** Whether a transaction is open on this handle; undefined: cannot be told. */
  inTransaction(runner: SqlRunner, tables: Tables): Promise<boolean | undefined>;
  /** Inserts a mark. undefined: the slot is taken, by a row that is committed or of this transaction. Waits for whoever is inserting it. */
  claim(runner: SqlRunner, tables: Tables, call: BarrierCall, slot: Slot, step: Step): Promise<Claim | undefined>;
  /** The mark of a slot, as committed by now (not as of an older snapshot). */
  readMark(runner: SqlRunner, tables: Tables, call: BarrierCall, slot: Slot): Promise<Step | undefined>;
  /** As committed by now; the row of the floor is made when it is missing. */
  readState(runner: SqlRunner, tables: Tables, scope: BarrierScope): Promise<ScopeState>;
  /** Makes the rows of a scope where they are missing. */
  openScope(runner: SqlRunner, tables: Tables, scope: BarrierScope): Promise<void>;
  raiseEpoch(runner: SqlRunner, tables: Tables, scope: BarrierScope, epoch: number): Promise<void>;
  /** Whether the transaction that wrote this mark is the one open now, and can be committed. Says why not. */
  stillOpen(runner: SqlRunner, tables: Tables, call: BarrierCall, slot: Slot, claim: Claim): Promise<string | undefined>;
  /** Makes durable, with this transaction's commit, whatever committed row of the slot it has read. */
  harden(runner: SqlRunner, tables: Tables, call: BarrierCall): Promise<void>;
  /** A failure after which the whole transaction is run again: serialization, deadlock, lock wait. */
  isConflict(error: unknown): boolean;
  isMissingTable(error: unknown): boolean;
}

/** The columns of the primary key up to the branch, as conditions. */
export function branchWhere(call: BarrierCall, slot: Slot | "sync"): string {
  return (
    `cluster = '${call.cluster}' and participant = '${call.participant}' and gid_ms = ${gidTimeMs(call.gid as Gid)} ` +
    `and gid = '${call.gid}' and branch = '${call.branch}' and slot = '${slot}'`
  );
}

export function markInsert(tables: Tables, call: BarrierCall, slot: Slot | "sync", step: Step | "sync"): string {
  return (
    `insert into ${tables.barrier} (cluster, participant, gid_ms, gid, branch, slot, phase, epoch) values ` +
    `('${call.cluster}', '${call.participant}', ${gidTimeMs(call.gid as Gid)}, '${call.gid}', '${call.branch}', '${slot}', '${step}', ${call.epoch})`
  );
}

export function markDelete(tables: Tables, call: BarrierCall, slot: Slot | "sync"): string {
  return `delete from ${tables.barrier} where ${branchWhere(call, slot)}`;
}

export function stateWhere(scope: BarrierScope, kind: "epoch" | "floor"): string {
  return `cluster = '${scope.cluster}' and participant = '${scope.participant}' and kind = '${kind}'`;
}

export function stateInsert(tables: Tables, scope: BarrierScope, kind: "epoch" | "floor"): string {
  return `insert into ${tables.state} (cluster, participant, kind, value) values ('${scope.cluster}', '${scope.participant}', '${kind}', 0)`;
}

export function epochUpdate(tables: Tables, scope: BarrierScope, epoch: number): string {
  return `update ${tables.state} set value = ${epoch} where ${stateWhere(scope, "epoch")} and value < ${epoch}`;
}

/**
 * A column of a row as text; undefined: SQL's null. Throws when the row has no such column, as when a library was told to rename columns
 * or to give rows as lists: taking that for "nothing is there" would make up a decision.
 */
export function textOf(row: Readonly<Record<string, unknown>>, column: string): string | undefined {
  const value = row[column];
  if (value === null) return undefined;
  if (typeof value === "string" || typeof value === "number" || typeof value === "bigint" || Buffer.isBuffer(value)) return String(value);
  throw new QuorateError(
    "QUORATE_INVALID_ARGUMENT",
    `barrier: this handle gives rows without a column "${column}" (${JSON.stringify(Object.keys(row))}); it must give rows as objects and leave column names alone`,
  );
}

/** A whole number that was selected as text. */
export function numberOf(row: Readonly<Record<string, unknown>>, column: string): number | undefined {
  const text = textOf(row, column);
  return text === undefined ? undefined : Number(text);
}

/** A code of an error as drivers and the libraries around them report it: on the error itself, or on the one it wraps. */
export function sqlCodeOf(error: unknown): string | undefined {
  for (let at = error, depth = 0; at instanceof Error && depth < 4; depth++) {
    const { code, driverError, cause } = at as { readonly code?: unknown; readonly driverError?: unknown; readonly cause?: unknown };
    if (typeof code === "string" && code !== "") return code;
    at = driverError ?? cause;
  }
  return undefined;
}
