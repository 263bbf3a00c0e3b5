/**
 * The store of a bank that reserves, as the verdict reads it: a schema of PostgreSQL with accounts, effects and the calls
 * that came again.
 */
import type { Pool } from "pg";
import { barrier } from "../barrier/index.js";
import type { Bank } from "./bank.js";
import type { EffectPhase } from "./evidence.js";
import type { PostgresBankOptions } from "./postgres-bank.js";
import { encode } from "./tcc-service.js";

/** Makes the schema, which must not be there yet; the pool stays the caller's. */
export async function openTccBank(name: string, pool: Pool, schema: string, options: PostgresBankOptions): Promise<Bank> {
  await pool.query(`create schema ${schema}`);
  await pool.query(
    `create table ${schema}.account (id int primary key, balance bigint not null check (balance >= 0), ` +
      `frozen bigint not null default 0, announced bigint not null default 0)`,
  );
  // No unique keys and no checks: what happened twice must be seen.
  await pool.query(`create table ${schema}.effect (gid text not null, phase text not null, account int not null, delta bigint not null)`);
  await pool.query(`create index on ${schema}.effect (gid)`);
  await pool.query(`create table ${schema}.repeated (gid text not null, phase text not null)`);
  await pool.query(`insert into ${schema}.account (id, balance) select n, $1 from generate_series(0, $2 - 1) as n`, [
    options.balance,
    options.accounts,
  ]);
  await barrier({ pool, schema }).createTable();
  const count = async (sql: string): Promise<number> => Number((await pool.query<{ n: string }>(sql)).rows[0]?.n ?? 0);
  const unsettled =
    `select count(*) as n from (select gid from ${schema}.effect group by gid ` +
    `having count(*) filter (where phase = 'try') > 0 and count(*) filter (where phase <> 'try') = 0) as tried`;
  return {
    name,
    move: (tx, account, delta) => {
      tx.ask(name, encode({ account, delta }), { kind: "tcc" });
      return Promise.resolve();
    },
    ledger: async () => {
      const sql = `select gid, sum(delta) as amount from ${schema}.effect where phase = 'confirm' group by gid`;
      const { rows } = await pool.query<{ gid: string; amount: string }>(sql);
      return new Map(rows.map((row) => [row.gid, Number(row.amount)] as const));
    },
    // What is announced is the payer's until it is confirmed.
    total: () => count(`select sum(balance + frozen) as n from ${schema}.account`),
    orphans: () => count(unsettled),
    locks: () => Promise.resolve(0),
    evidence: async () => {
      const sql = `select gid, phase, count(*) as n from ${schema}.effect group by gid, phase`;
      const { rows } = await pool.query<{ gid: string; phase: EffectPhase; n: string }>(sql);
      return {
        duplicates: await count(`select count(*) as n from ${schema}.repeated`),
        reserved: await count(`select sum(abs(frozen) + abs(announced)) as n from ${schema}.account`),
        effects: rows.map(({ gid, phase, n }) => ({ gid, phase, count: Number(n) })),
      };
    },
    close: () => Promise.resolve(),
    discard: () => undefined,
  };
}
