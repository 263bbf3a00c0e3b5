/**
 * Dropping the marks of gids that the cluster has forgotten.
 *
 * The floor is committed before the first row goes. New work inserts its mark and then reads the floor as committed by then. If it
 * could insert because a mark of the same key had been dropped, the floor was committed even earlier: it sees it and is refused. That
 * reading is never of an old snapshot: READ COMMITTED takes a new one for each statement; in the stricter levels of PostgreSQL the
 * row of the floor is locked, which fails when it has changed since the snapshot; InnoDB's locking reads show what is committed.
 */
import { messageOf, QuorateError } from "../../base/index.js";
import type { BarrierScope } from "../contract.js";
import { numberOf, stateWhere, type Dialect, type Tables } from "./dialect.js";
import type { Connection } from "./pool.js";

/** Rows per transaction: bounds its locks and its share of the log. */
const DROP_SLICE = 2000;
/** How long new work in flight may keep the floor from being raised, and newer work behind it, s. */
const WAIT_S = 1;

export async function forgetBelow(
  connection: Connection,
  dialect: Dialect,
  tables: Tables,
  scope: BarrierScope,
  floorMs: number,
): Promise<void> {
  const { runner } = connection;
  const restore = await boundWaits(connection, dialect);
  try {
    await dialect.openScope(runner, tables, scope);
    await runner.run(`update ${tables.state} set value = ${floorMs} where ${stateWhere(scope, "floor")} and value < ${floorMs}`);
    // A later call with a lower floor drops what the higher one allows.
    while ((await dropSlice(connection, dialect, tables, scope, floorMs)) === DROP_SLICE);
  } catch (error) {
    if (!dialect.isConflict(error)) throw error;
    const what = `the floor of participant "${scope.participant}" is held by work in flight: ${messageOf(error)}`;
    throw new QuorateError("QUORATE_PARTICIPANT", what, { retry: "safe", cause: error });
  } finally {
    await restore();
  }
}

/** Each statement is a transaction of its own here, so the settings are the session's, and are put back. */
async function boundWaits(connection: Connection, dialect: Dialect): Promise<() => Promise<void>> {
  const { runner } = connection;
  if (dialect.name === "postgres") {
    // Durability: waited for whatever the role's default; the floor must not fall back after rows below it are gone.
    const read = "select current_setting('lock_timeout') as wait, current_setting('synchronous_commit') as durable";
    const [before] = (await runner.run(read)).rows as unknown as readonly { readonly wait: string; readonly durable: string }[];
    await runner.run(`select set_config('lock_timeout', '${WAIT_S}s', false), set_config('synchronous_commit', 'on', false)`);
    return async () => {
      await runner.run(
        `select set_config('lock_timeout', '${before?.wait ?? "0"}', false), set_config('synchronous_commit', '${before?.durable ?? "on"}', false)`,
      );
    };
  }
  await runner.run(`set @quorate_wait = @@session.innodb_lock_wait_timeout, session innodb_lock_wait_timeout = ${WAIT_S}`);
  return async () => {
    await runner.run("set session innodb_lock_wait_timeout = @quorate_wait");
  };
}

async function dropSlice(connection: Connection, dialect: Dialect, tables: Tables, scope: BarrierScope, floorMs: number): Promise<number> {
  const { runner } = connection;
  const where = `cluster = '${scope.cluster}' and participant = '${scope.participant}' and gid_ms < ${floorMs}`;
  if (dialect.name === "postgres") {
    const key = "cluster, participant, gid_ms, gid, branch, slot";
    const { rows } = await runner.run(
      `with gone as (delete from ${tables.barrier} where (${key}) in (select ${key} from ${tables.barrier} where ${where} order by ${key} limit ${DROP_SLICE}) ` +
        "returning 1) select count(*)::int as n from gone",
    );
    return numberOf(rows[0] ?? {}, "n") ?? 0;
  }
  // Without the locks on gaps that the default isolation takes: new work must not wait for them.
  await runner.run("set transaction isolation level read committed");
  await runner.run(`delete from ${tables.barrier} where ${where} order by gid_ms, gid, branch, slot limit ${DROP_SLICE}`);
  const [row = {}] = (await runner.run("select cast(row_count() as char) as n")).rows;
  return numberOf(row, "n") ?? 0;
}
