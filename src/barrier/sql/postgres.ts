/**
 * The barrier's statements in PostgreSQL.
 *
 * A statement that fails would end the caller's transaction, so a taken slot must not be an error: ON CONFLICT DO NOTHING. It waits
 * for whoever is inserting the same key. Under READ COMMITTED the next statement then sees the winner's row; under REPEATABLE READ
 * and SERIALIZABLE PostgreSQL raises 40001 when the winner is not in the snapshot, and so never says "taken" of a row that cannot be
 * read. A committed row is visible only after its commit record is flushed, so what is read is durable.
 */
import { QuorateError } from "../../base/index.js";
import type { BarrierCall, BarrierScope } from "../contract.js";
import type { Slot, Step } from "../rules.js";
import {
  branchWhere,
  epochUpdate,
  markInsert,
  numberOf,
  sqlCodeOf,
  stateInsert,
  stateWhere,
  textOf,
  type Claim,
  type Dialect,
  type ScopeState,
  type SqlRunner,
  type Tables,
} from "./dialect.js";

const NO_ACTIVE_TRANSACTION = "25P01";
const FAILED_TRANSACTION = "25P02";
const UNDEFINED_TABLE = "42P01";
/** Serialization failure, deadlock, lock not available. */
const CONFLICTS = new Set(["40001", "40P01", "55P03"]);
/** The vote of a session whose role defaults to asynchronous commit would not survive a crash. Ends with the transaction. */
const DURABLE = "case when current_setting('synchronous_commit') = 'off' then set_config('synchronous_commit', 'on', true) end";

export const postgresDialect: Dialect = {
  name: "postgres",

  tables(schema = "public") {
    if (!/^[a-z_][a-z0-9_]{0,62}$/.test(schema))
      throw new QuorateError(
        "QUORATE_INVALID_ARGUMENT",
        `schema ${JSON.stringify(schema)} must be a-z, 0-9 and "_", at most 63 characters`,
      );
    return { barrier: `"${schema}".quorate_barrier`, state: `"${schema}".quorate_barrier_state` };
  },

  createSql: (tables) => [
    `create table if not exists ${tables.barrier} (
  cluster text not null,
  participant text not null,
  gid_ms bigint not null,
  gid text not null,
  branch text not null,
  slot text not null check (slot in ('start', 'end', 'once')),
  phase text not null check (phase in ('try', 'confirm', 'cancel', 'once')),
  epoch bigint not null,
  primary key (cluster, participant, gid_ms, gid, branch, slot)
)`,
    `create table if not exists ${tables.state} (
  cluster text not null,
  participant text not null,
  kind text not null check (kind in ('epoch', 'floor')),
  value bigint not null default 0,
  primary key (cluster, participant, kind)
)`,
  ],

  async inTransaction(runner, tables) {
    if (runner.inTransaction !== undefined) return runner.inTransaction;
    try {
      // Refused outside of a transaction block, and inside it takes the lock that the insert takes anyway.
      await runner.run(`lock table ${tables.barrier} in access share mode`);
      return true;
    } catch (error) {
      if (sqlCodeOf(error) === NO_ACTIVE_TRANSACTION) return false;
      throw error;
    }
  },

  async claim(runner, tables, call, slot, step): Promise<Claim | undefined> {
    const sql = `${markInsert(tables, call, slot, step)} on conflict do nothing returning pg_current_xact_id()::text as transaction, ${DURABLE} as durable`;
    const [row] = (await runner.run(sql)).rows;
    return row === undefined ? undefined : { transaction: textOf(row, "transaction") ?? "" };
  },

  async readMark(runner, tables, call, slot) {
    const [row] = (await runner.run(`select phase from ${tables.barrier} where ${branchWhere(call, slot)}`)).rows;
    return row === undefined ? undefined : (textOf(row, "phase") as Step);
  },

  async readState(runner, tables, scope): Promise<ScopeState> {
    const read = (kind: "epoch" | "floor"): string => `(select value::text from ${tables.state} where ${stateWhere(scope, kind)})`;
    const sql = `select current_setting('transaction_isolation') as isolation, ${read("epoch")} as epoch, ${read("floor")} as floor`;
    let [row = {}] = (await runner.run(sql)).rows;
    if (textOf(row, "floor") === undefined) {
      await postgresDialect.openScope(runner, tables, scope);
      [row = {}] = (await runner.run(sql)).rows;
    }
    // A snapshot may be older than the floor. A lock on a row that has changed since the snapshot is refused with 40001.
    if (textOf(row, "isolation") !== "read committed")
      await runner.run(`select value::text as value from ${tables.state} where ${stateWhere(scope, "floor")} for share`);
    return { epoch: numberOf(row, "epoch") ?? 0, floorMs: numberOf(row, "floor") ?? 0 };
  },

  async openScope(runner, tables, scope) {
    for (const kind of ["epoch", "floor"] as const) await runner.run(`${stateInsert(tables, scope, kind)} on conflict do nothing`);
  },

  async raiseEpoch(runner: SqlRunner, tables: Tables, scope: BarrierScope, epoch: number) {
    await runner.run(epochUpdate(tables, scope, epoch));
  },

  async stillOpen(runner: SqlRunner, _tables: Tables, _call: BarrierCall, _slot: Slot, claim: Claim) {
    try {
      const [row] = (await runner.run("select pg_current_xact_id_if_assigned()::text as transaction")).rows;
      return row?.["transaction"] === claim.transaction
        ? undefined
        : "the function ended the transaction it was given, by COMMIT or ROLLBACK";
    } catch (error) {
      if (sqlCodeOf(error) !== FAILED_TRANSACTION) throw error;
      return "a statement failed inside the function, which caught the error; PostgreSQL commits nothing of such a transaction";
    }
  },

  harden: () => Promise.resolve(),

  isConflict: (error) => CONFLICTS.has(sqlCodeOf(error) ?? ""),
  isMissingTable: (error) => sqlCodeOf(error) === UNDEFINED_TABLE,
};
