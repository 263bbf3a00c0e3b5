/** Every prepared transaction of a database, of Quorate or not. */
import type { PreparedBranch } from "../prepared.js";
import { Session, type PgPool } from "./session.js";
import { parseXid } from "./xid.js";

/** Of the pool's database only, oldest first. Rejects with the database's own error. */
export async function listPrepared(pool: PgPool): Promise<readonly PreparedBranch[]> {
  const { rows } = await Session.use(pool, (session) =>
    session.query(
      "select gid, floor(extract(epoch from now() - prepared) * 1000)::text as age from pg_prepared_xacts " +
        "where database = current_database() order by prepared, gid",
    ),
  );
  return (rows as { readonly gid: string; readonly age: string }[]).map(({ gid, age }) => ({
    id: gid,
    ageMs: Math.max(0, Number(age)),
    owner: parseXid(gid),
  }));
}
