/**
 * A bank on MariaDB or MySQL: tables `account` and `ledger` in a database of its own, reached through an ordinary `mysql2` pool.
 */
import type { Pool, ResultSetHeader, RowDataPacket } from "mysql2/promise";
import type { Transaction } from "../client/index.js";
import { mysql, parseXid, rawXid } from "../participant/mysql/index.js";
import type { AttachedBank } from "./bank.js";
import { meteredBrought, type InDoubtMeter } from "./in-doubt-meter.js";

export interface MysqlBankOptions {
  readonly accounts: number;
  readonly balance: number;
}

/** Makes the tables anew in the pool's database; the pool stays the caller's. */
export async function openMysqlBank(name: string, pool: Pool, meter: InDoubtMeter, options: MysqlBankOptions): Promise<AttachedBank> {
  await pool.query("create table if not exists account (id int primary key, balance bigint not null check (balance >= 0)) engine = InnoDB");
  await pool.query(
    "create table if not exists ledger (gid varchar(48) character set ascii primary key, amount bigint not null) engine = InnoDB",
  );
  await pool.query("delete from account");
  await pool.query("delete from ledger");
  const accounts = Array.from({ length: options.accounts }, (_, id) => [id, options.balance]);
  await pool.query("insert into account (id, balance) values ?", [accounts]);
  const participant = meteredBrought(mysql({ name, pool }), meter);
  const count = async (sql: string): Promise<number> => Number((await pool.query<RowDataPacket[]>(sql))[0][0]?.["n"] ?? 0);
  return {
    name,
    participant,
    move: async (tx: Transaction, account: number, delta: number): Promise<void> => {
      await tx.on(participant, async (db) => {
        await db.query<ResultSetHeader>("update account set balance = balance + ? where id = ?", [delta, account]);
        await db.query<ResultSetHeader>("insert into ledger (gid, amount) values (?, ?)", [tx.gid, delta]);
      });
    },
    ledger: async () => {
      const [rows] = await pool.query<RowDataPacket[]>("select gid, amount from ledger");
      return new Map(rows.map((row) => [String(row["gid"]), Number(row["amount"])] as const));
    },
    total: () => count("select coalesce(sum(balance), 0) as n from account"),
    orphans: () => ourPreparedXa(pool, name),
    // Of branches, prepared ones without a connection included: nothing else runs here when this is asked.
    locks: () => count("select coalesce(sum(trx_rows_locked), 0) as n from information_schema.innodb_trx"),
    close: () => Promise.resolve(),
    discard: () => undefined,
  };
}

/** Prepared branches of this participant. */
export async function ourPreparedXa(pool: Pool, name: string): Promise<number> {
  const [rows] = await pool.query<RowDataPacket[]>("xa recover");
  return rows.filter((row) => {
    const raw = rawXid(row);
    return raw !== undefined && parseXid(raw)?.participant === name;
  }).length;
}
