/**
 * The barrier's statements in MariaDB and MySQL (InnoDB).
 *
 * INSERT decides: a second one of the same key waits for the first and then fails with 1062, which leaves the transaction open. Every
 * read takes a shared lock, because a plain read under REPEATABLE READ shows an old snapshot in which the winner's row is missing.
 * Reads name whole keys, so what they lock is one record, or one gap when there is none.
 *
 * InnoDB shows a committed row before the commit is flushed to disk. An answer that rests on a row somebody else wrote must therefore
 * wait for a flush: `harden` gives the transaction something to commit, whose own flush covers everything before it.
 */
import { QuorateError } from "../../base/index.js";
import type { Step } from "../rules.js";
import {
  branchWhere,
  epochUpdate,
  markDelete,
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
} from "./dialect.js";

const DUPLICATE_KEY = "ER_DUP_ENTRY";
const CONFLICTS = new Set(["ER_LOCK_DEADLOCK", "ER_LOCK_WAIT_TIMEOUT", "ER_CHECKREAD"]);
/** SERVER_STATUS_IN_TRANS of the protocol. */
const IN_TRANSACTION = 1;
const LOCKED = "lock in share mode";

export const mysqlDialect: Dialect = {
  name: "mysql",

  tables(schema) {
    if (schema !== undefined && !/^[A-Za-z_][A-Za-z0-9_]{0,63}$/.test(schema))
      throw new QuorateError(
        "QUORATE_INVALID_ARGUMENT",
        `schema ${JSON.stringify(schema)} must be letters, digits and "_", at most 64 characters`,
      );
    const prefix = schema === undefined ? "" : `\`${schema}\`.`;
    return { barrier: `${prefix}quorate_barrier`, state: `${prefix}quorate_barrier_state` };
  },

  createSql: (tables) => [
    `create table if not exists ${tables.barrier} (
  cluster varchar(40) not null,
  participant varchar(48) not null,
  gid_ms bigint not null,
  gid varchar(48) not null,
  branch varchar(48) not null,
  slot varchar(5) not null,
  phase varchar(7) not null,
  epoch bigint not null,
  primary key (cluster, participant, gid_ms, gid, branch, slot)
) engine = InnoDB default character set ascii collate ascii_bin`,
    `create table if not exists ${tables.state} (
  cluster varchar(40) not null,
  participant varchar(48) not null,
  kind varchar(5) not null,
  value bigint not null default 0,
  primary key (cluster, participant, kind)
) engine = InnoDB default character set ascii collate ascii_bin`,
  ],

  async inTransaction(runner) {
    if (runner.inTransaction !== undefined) return runner.inTransaction;
    const open = await openByStatus(runner);
    if (open !== false) return open;
    // Without autocommit the transaction begins with the first statement that touches a table.
    const [row = {}] = (await runner.run("select @@autocommit as autocommit")).rows;
    return numberOf(row, "autocommit") === 0;
  },

  async claim(runner, tables, call, slot, step): Promise<Claim | undefined> {
    return (await inserted(runner, markInsert(tables, call, slot, step))) ? { transaction: "" } : undefined;
  },

  async readMark(runner, tables, call, slot) {
    const [row] = (await runner.run(`select phase from ${tables.barrier} where ${branchWhere(call, slot)} ${LOCKED}`)).rows;
    return row === undefined ? undefined : (textOf(row, "phase") as Step);
  },

  async readState(runner, tables, scope): Promise<ScopeState> {
    // The inner select takes no lock: whoever raises the epoch must not wait for all transactions in flight, nor they for each other.
    const epoch = `(select cast(e.value as char) from ${tables.state} e where ${stateWhere(scope, "epoch").replace(/\b(cluster|participant|kind) =/g, "e.$1 =")})`;
    const sql = `select cast(value as char) as floor, ${epoch} as epoch from ${tables.state} where ${stateWhere(scope, "floor")} ${LOCKED}`;
    let [row] = (await runner.run(sql)).rows;
    if (row === undefined) {
      await mysqlDialect.openScope(runner, tables, scope);
      [row = {}] = (await runner.run(sql)).rows;
    }
    return { epoch: numberOf(row, "epoch") ?? 0, floorMs: numberOf(row, "floor") ?? 0 };
  },

  async openScope(runner, tables, scope) {
    for (const kind of ["epoch", "floor"] as const) await inserted(runner, stateInsert(tables, scope, kind));
  },

  async raiseEpoch(runner, tables, scope, epoch) {
    await runner.run(epochUpdate(tables, scope, epoch));
  },

  async stillOpen(runner, tables, call, slot) {
    // After a deadlock InnoDB has rolled back everything, and what the function does next it does without a transaction.
    const mark = await mysqlDialect.readMark(runner, tables, call, slot);
    if (mark === undefined)
      return "the transaction was rolled back inside the function: by ROLLBACK, or by a deadlock whose error it caught; statements after that were committed one by one";
    if (runner.inTransaction === false || (await openByStatus(runner)) === false)
      return "the function ended the transaction it was given: by COMMIT, or by a statement that commits by itself (CREATE, ALTER, LOCK TABLES); what it committed stays";
    return undefined;
  },

  async harden(runner, tables, call) {
    if (await inserted(runner, markInsert(tables, call, "sync", "sync"))) await runner.run(markDelete(tables, call, "sync"));
  },

  isConflict: (error) => CONFLICTS.has(sqlCodeOf(error) ?? ""),
  isMissingTable: (error) => sqlCodeOf(error) === "ER_NO_SUCH_TABLE",
};

/** false: the key is there. */
async function inserted(runner: SqlRunner, sql: string): Promise<boolean> {
  try {
    await runner.run(sql);
    return true;
  } catch (error) {
    if (sqlCodeOf(error) === DUPLICATE_KEY) return false;
    throw error;
  }
}

/** By the status that comes with every answer without rows; undefined where the library keeps it to itself. */
async function openByStatus(runner: SqlRunner): Promise<boolean | undefined> {
  const { serverStatus } = await runner.run("do 0");
  return serverStatus === undefined ? undefined : (serverStatus & IN_TRANSACTION) !== 0;
}
