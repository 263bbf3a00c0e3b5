/**
 * The bank that reserves: try freezes or announces, confirm carries out, cancel gives back. Each in one local transaction of
 * PostgreSQL with its mark of the barrier and a row that says that it took effect.
 */
import type { Pool, PoolClient } from "pg";
import { barrier } from "../barrier/index.js";
import { tcc, TccRefusal, type Participant, type TccBarrier, type TccCall } from "../participant/index.js";

/** The schema has the tables of `openTccBank`. */
export function tccService(name: string, pool: Pool, schema: string): Participant {
  const marks = barrier({ pool, schema });
  const counting: TccBarrier<PoolClient> = {
    call: async (call, fn) => {
      const result = await marks.call(call, fn);
      if (result.kind === "duplicate")
        await pool.query(`insert into ${schema}.repeated (gid, phase) values ($1, $2)`, [call.gid, call.phase]);
      return result;
    },
  };
  return tcc<PoolClient>({
    name,
    barrier: counting,
    try: (call, db) => reserve(call, db, schema),
    confirm: (call, db) => settle(call, db, schema, "balance = balance + greatest(m.delta, 0), frozen = frozen + least(m.delta, 0)"),
    cancel: (call, db) => settle(call, db, schema, "balance = balance - least(m.delta, 0), frozen = frozen + least(m.delta, 0)"),
  });
}

/** What pays is taken from the balance and frozen; what receives is announced. */
async function reserve(call: TccCall, db: PoolClient, schema: string): Promise<void> {
  const { account, delta } = decode(call.payload);
  const { rowCount } = await db.query(
    `update ${schema}.account set balance = balance + least($1::bigint, 0), frozen = frozen - least($1::bigint, 0), ` +
      `announced = announced + greatest($1::bigint, 0) where id = $2 and balance + least($1::bigint, 0) >= 0`,
    [delta, account],
  );
  if (rowCount !== 1) throw new TccRefusal(`account ${account} cannot pay ${-delta}`);
  await db.query(`insert into ${schema}.reservation (gid, account, delta) values ($1, $2, $3)`, [call.gid, account, delta]);
  await db.query(`insert into ${schema}.effect (gid, phase, delta) values ($1, 'try', $2)`, [call.gid, delta]);
}

/** Rejects when nothing is reserved: the barrier lets no call come here that has nothing to settle. */
async function settle(call: TccCall, db: PoolClient, schema: string, change: string): Promise<void> {
  const { rowCount } = await db.query(
    `with m as (delete from ${schema}.reservation where gid = $1 returning account, delta), ` +
      `e as (insert into ${schema}.effect (gid, phase, delta) select $1, $2, delta from m) ` +
      `update ${schema}.account set ${change}, announced = announced - greatest(m.delta, 0) from m where id = m.account`,
    [call.gid, call.phase],
  );
  if (rowCount !== 1) throw new Error(`${call.phase} of ${call.gid} found ${rowCount ?? 0} reservations`);
}

export interface TccWork {
  readonly account: number;
  readonly delta: number;
}

export function encode(work: TccWork): Uint8Array {
  return Buffer.from(JSON.stringify(work), "utf8");
}

function decode(payload: Uint8Array): TccWork {
  const { account, delta } = JSON.parse(Buffer.from(payload).toString("utf8")) as Partial<TccWork>;
  if (!Number.isSafeInteger(account) || !Number.isSafeInteger(delta)) throw new TccRefusal("the work must be an account and a delta");
  return { account: Number(account), delta: Number(delta) };
}
