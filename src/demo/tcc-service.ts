/**
 * The bank that reserves: try freezes or announces, confirm carries out, cancel gives back. Each in one local transaction of
 * PostgreSQL with its mark of the barrier and a row that says that it took effect.
 *
 * Neither the functions nor the tables ask whether a call is a repetition: whatever the barrier lets through happens, and is seen.
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
    confirm: (call, db) => settle(call, db, schema, "balance = balance + greatest($1::bigint, 0), frozen = frozen + least($1::bigint, 0)"),
    cancel: (call, db) => settle(call, db, schema, "balance = balance - least($1::bigint, 0), frozen = frozen + least($1::bigint, 0)"),
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
  await effect(call, db, schema, { account, delta });
}

/** Reads what the try has reserved. That it is settled once, and only after its try, is the barrier's doing alone. */
async function settle(call: TccCall, db: PoolClient, schema: string, change: string): Promise<void> {
  const tried = await db.query<{ account: number; delta: string }>(
    `select account, delta from ${schema}.effect where gid = $1 and phase = 'try'`,
    [call.gid],
  );
  const [row] = tried.rows;
  if (row === undefined) throw new Error(`${call.phase} of ${call.gid} came before its try`);
  await db.query(`update ${schema}.account set ${change}, announced = announced - greatest($1::bigint, 0) where id = $2`, [
    row.delta,
    row.account,
  ]);
  await effect(call, db, schema, { account: row.account, delta: Number(row.delta) });
}

async function effect(call: TccCall, db: PoolClient, schema: string, { account, delta }: TccWork): Promise<void> {
  await db.query(`insert into ${schema}.effect (gid, phase, account, delta) values ($1, $2, $3, $4)`, [
    call.gid,
    call.phase,
    account,
    delta,
  ]);
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
