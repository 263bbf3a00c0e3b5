/**
 * A bank on PostgreSQL: tables `account` and `ledger` in a database of its own, reached through an ordinary `pg` pool.
 */
import type { Pool } from "pg";
import type { Transaction } from "../client/index.js";
import { postgres } from "../participant/postgres/index.js";
import type { AttachedBank } from "./bank.js";
import { meteredBrought, type InDoubtMeter } from "./in-doubt-meter.js";

const PREFIX = "quorate\\_%";

/** Prepared branches of this product in the connection's database, as `n`. */
export const ourPrepared = `select count(*) as n from pg_prepared_xacts where database = current_database() and gid like '${PREFIX}'`;
/** Locks of prepared transactions there, which have no process, as `n`. */
export const preparedLocks =
  "select count(*) as n from pg_locks where pid is null and database = (select oid from pg_database where datname = current_database())";

export interface PostgresBankOptions {
  readonly accounts: number;
  readonly balance: number;
}

/** Makes the tables anew in the pool's database; the pool stays the caller's. */
export async function openPostgresBank(name: string, pool: Pool, meter: InDoubtMeter, options: PostgresBankOptions): Promise<AttachedBank> {
  await pool.query("create table if not exists account (id int primary key, balance bigint not null check (balance >= 0))");
  await pool.query("create table if not exists ledger (gid text primary key, amount bigint not null)");
  await pool.query("truncate account, ledger");
  await pool.query("insert into account select n, $1 from generate_series(0, $2 - 1) as n", [options.balance, options.accounts]);
  const participant = meteredBrought(postgres({ name, pool }), meter);
  const count = async (sql: string): Promise<number> => Number((await pool.query<{ n: string }>(sql)).rows[0]?.n ?? 0);
  return {
    name,
    participant,
    move: async (tx: Transaction, account: number, delta: number): Promise<void> => {
      await tx.on(participant, async (db) => {
        await db.query("update account set balance = balance + $1 where id = $2", [delta, account]);
        await db.query("insert into ledger (gid, amount) values ($1, $2)", [tx.gid, delta]);
      });
    },
    ledger: async () => {
      const { rows } = await pool.query<{ gid: string; amount: string }>("select gid, amount from ledger");
      return new Map(rows.map((row) => [row.gid, Number(row.amount)] as const));
    },
    total: () => count("select coalesce(sum(balance), 0) as n from account"),
    orphans: () => count(ourPrepared),
    locks: () => count(preparedLocks),
    close: () => Promise.resolve(),
    discard: () => undefined,
  };
}
