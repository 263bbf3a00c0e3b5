/**
 * Banks in PostgreSQL and MariaDB whose work the cluster asks for, in processes of their own. Their stores also have a row for each call
 * that was carried out, so that repetitions can be counted there.
 */
import type { Pool as MysqlPool, RowDataPacket } from "mysql2/promise";
import type { Pool as PgPool } from "pg";
import { mysqlPayload, mysql } from "../participant/mysql/index.js";
import { postgres, postgresPayload } from "../participant/postgres/index.js";
import type { Participant } from "../participant/index.js";
import type { Bank } from "./bank.js";
import type { Evidence } from "./evidence.js";
import { ourPreparedXa } from "./mysql-bank.js";
import { ourPrepared, preparedLocks, type PostgresBankOptions } from "./postgres-bank.js";
import { noted } from "./unreliable.js";

/** Of each call, how often it came again. */
const REPEATED = "select coalesce(sum(n - 1), 0) as n from (select count(*) as n from carried_out group by gid, phase) as calls";
const LEDGER = "select gid, count(*) as n, sum(amount) as amount from ledger group by gid";

interface LedgerRow {
  readonly gid: string;
  readonly n: unknown;
  readonly amount: unknown;
}

/** Both databases answer the questions above alike. */
function readings(
  rows: (sql: string) => Promise<readonly LedgerRow[]>,
  count: (sql: string) => Promise<number>,
): Pick<Bank, "ledger" | "total" | "close" | "discard"> & { evidence(): Promise<Evidence> } {
  return {
    ledger: async () => new Map((await rows(LEDGER)).map((row) => [row.gid, Number(row.amount)] as const)),
    total: () => count("select coalesce(sum(balance), 0) as n from account"),
    evidence: async () => ({
      duplicates: await count(REPEATED),
      reserved: 0,
      effects: (await rows(LEDGER)).map((row) => ({ gid: row.gid, phase: "commit" as const, count: Number(row.n) })),
    }),
    close: () => Promise.resolve(),
    discard: () => undefined,
  };
}

// ---- PostgreSQL

/** Makes the tables, which must not be there yet; the pool stays the caller's. */
export async function openAskedPostgresBank(name: string, pool: PgPool, options: PostgresBankOptions): Promise<Bank> {
  await pool.query("create table account (id int primary key, balance bigint not null check (balance >= 0))");
  await pool.query("create table ledger (gid text not null, amount bigint not null)");
  await pool.query("create table carried_out (gid text not null, phase text not null)");
  await pool.query("insert into account select n, $1 from generate_series(0, $2 - 1) as n", [options.balance, options.accounts]);
  const count = async (sql: string): Promise<number> => Number((await pool.query<{ n: string }>(sql)).rows[0]?.n ?? 0);
  return {
    name,
    move: (tx, account, delta) => {
      tx.ask(
        name,
        postgresPayload([
          { sql: "update account set balance = balance + $1 where id = $2 and balance + $1 >= 0", params: [delta, account], rows: 1 },
          { sql: "insert into ledger (gid, amount) values ($1, $2)", params: [tx.gid, delta], rows: 1 },
        ]),
      );
      return Promise.resolve();
    },
    ...readings(async (sql) => (await pool.query<LedgerRow>(sql)).rows, count),
    orphans: () => count(ourPrepared),
    locks: () => count(preparedLocks),
  };
}

export function askedPostgresService(name: string, pool: PgPool): Participant {
  return noted(postgres({ name, pool }), async ({ gid }, call) => {
    await pool.query("insert into carried_out (gid, phase) values ($1, $2)", [gid, call]);
  });
}

// ---- MariaDB

/** Makes the tables, which must not be there yet; the pool stays the caller's. */
export async function openAskedMysqlBank(name: string, pool: MysqlPool, options: PostgresBankOptions): Promise<Bank> {
  const gid = "gid varchar(48) character set ascii not null";
  await pool.query("create table account (id int primary key, balance bigint not null check (balance >= 0)) engine = InnoDB");
  await pool.query(`create table ledger (${gid}, amount bigint not null) engine = InnoDB`);
  await pool.query(`create table carried_out (${gid}, phase varchar(16) not null) engine = InnoDB`);
  const accounts = Array.from({ length: options.accounts }, (_, id) => [id, options.balance]);
  await pool.query("insert into account (id, balance) values ?", [accounts]);
  const rows = async (sql: string): Promise<RowDataPacket[]> => (await pool.query<RowDataPacket[]>(sql))[0];
  const count = async (sql: string): Promise<number> => Number((await rows(sql))[0]?.["n"] ?? 0);
  return {
    name,
    move: (tx, account, delta) => {
      tx.ask(
        name,
        mysqlPayload([
          { sql: "update account set balance = balance + ? where id = ? and balance + ? >= 0", params: [delta, account, delta], rows: 1 },
          { sql: "insert into ledger (gid, amount) values (?, ?)", params: [tx.gid, delta], rows: 1 },
        ]),
      );
      return Promise.resolve();
    },
    ...readings(async (sql) => (await rows(sql)) as unknown as LedgerRow[], count),
    orphans: () => ourPreparedXa(pool, name),
    locks: () => count("select coalesce(sum(trx_rows_locked), 0) as n from information_schema.innodb_trx"),
  };
}

export function askedMysqlService(name: string, pool: MysqlPool): Participant {
  return noted(mysql({ name, pool }), async ({ gid }, call) => {
    await pool.query("insert into carried_out (gid, phase) values (?, ?)", [gid, call]);
  });
}
