/**
 * What PostgreSQL must be able to do, and the two tables of the adapter.
 *
 * `quorate_outcomes`: one row per branch. A committed row is written inside the branch (the witness: it is there exactly when the
 * branch committed); a rolled-back row is written by a roll back (the mark: whoever comes later to prepare the branch finds it).
 * Its key decides between the two, so rows are inserted and never updated.
 * `quorate_participants`: per participant the highest epoch seen and the floor below which no new work is taken.
 */
import { QuorateError } from "../../base/index.js";
import { Session, SQLSTATE, sqlMessage, sqlStateOf, type PgPool } from "./session.js";

/** pg_current_xact_id_if_assigned, which tells a branch that only read, is as old as this. */
const SERVER_VERSION_MIN = 130_000;
const PREPARED_TRANSACTIONS_ADVICE = 64;

export interface Tables {
  readonly outcomes: string;
  readonly participants: string;
}

/** Names of the tables, quoted. They are always qualified: a user's statement may have moved the search path. */
export function tablesIn(schema: string): Tables {
  if (!/^[a-z_][a-z0-9_]{0,62}$/.test(schema))
    throw new QuorateError("QUORATE_INVALID_ARGUMENT", `schema ${JSON.stringify(schema)} must be a-z, 0-9 and "_", at most 63 characters`);
  return { outcomes: `"${schema}".quorate_outcomes`, participants: `"${schema}".quorate_participants` };
}

export function createTablesSql(tables: Tables): string {
  return `create table if not exists ${tables.outcomes} (
  gid_ms bigint not null,
  gid text not null,
  branch text not null,
  participant text not null,
  outcome text not null check (outcome in ('committed', 'rolled-back')),
  primary key (gid_ms, gid, branch)
);
create table if not exists ${tables.participants} (
  participant text primary key,
  epoch bigint not null default 0,
  floor_ms bigint not null default 0
);`;
}

export interface ParticipantRow {
  readonly epoch: number;
  readonly floorMs: number;
}

/** Checks the server, makes the tables where they are missing, and reads the participant's row. Throws QUORATE_PARTICIPANT_SETUP. */
export async function setUp(pool: PgPool, tables: Tables, participant: string): Promise<ParticipantRow> {
  let session: Session;
  try {
    session = await Session.open(pool);
  } catch (error) {
    throw new QuorateError("QUORATE_PARTICIPANT", `participant "${participant}": cannot connect to PostgreSQL: ${sqlMessage(error)}`, {
      retry: "safe",
      cause: error,
    });
  }
  try {
    await checkServer(session, participant);
    await createTables(session, tables, participant);
    return await openRow(session, tables, participant);
  } catch (error) {
    if (error instanceof QuorateError) throw error;
    throw new QuorateError("QUORATE_PARTICIPANT", `participant "${participant}": ${sqlMessage(error)}`, { retry: "safe", cause: error });
  } finally {
    session.release();
  }
}

async function checkServer(session: Session, participant: string): Promise<void> {
  const { rows } = await session.query(
    `select current_setting('server_version_num')::int as version, current_setting('server_version') as "versionText",
            current_setting('max_prepared_transactions')::int as prepared, current_setting('fsync') as fsync,
            pg_is_in_recovery() as standby, current_database() as database`,
  );
  const server = rows[0] as { version: number; versionText: string; prepared: number; fsync: string; standby: boolean; database: string };
  const refuse = (problem: string): never => {
    throw new QuorateError("QUORATE_PARTICIPANT_SETUP", `participant "${participant}", database "${server.database}": ${problem}`);
  };
  if (server.version < SERVER_VERSION_MIN) refuse(`PostgreSQL ${server.versionText} is too old; 13 or newer is needed`);
  if (server.standby) refuse("this server is a standby and takes no writes; connect to the primary");
  if (server.prepared === 0)
    refuse(
      `max_prepared_transactions is 0, so PostgreSQL refuses PREPARE TRANSACTION; set it to at least ${PREPARED_TRANSACTIONS_ADVICE} ` +
        `(no less than the branches in flight at once), for example "alter system set max_prepared_transactions = ${PREPARED_TRANSACTIONS_ADVICE}", ` +
        "and restart the server: a reload is not enough",
    );
  if (server.fsync !== "on") refuse("fsync is off, so a vote would not survive a crash; set fsync = on and reload the server");
}

async function createTables(session: Session, tables: Tables, participant: string): Promise<void> {
  const sql = createTablesSql(tables);
  try {
    const { rows } = await session.query("select to_regclass($1) is not null and to_regclass($2) is not null as there", [
      tables.outcomes,
      tables.participants,
    ]);
    // Asked first, because `create table if not exists` needs the right to create even where the tables exist.
    if ((rows[0] as { there: boolean }).there) return;
    // Instances start together, and `if not exists` alone fails when two of them create at once.
    await session.run(`select pg_advisory_xact_lock(hashtext('quorate_outcomes')); ${sql}`);
  } catch (error) {
    if (sqlStateOf(error) !== SQLSTATE.insufficientPrivilege && sqlStateOf(error) !== "3F000") throw error;
    throw new QuorateError(
      "QUORATE_PARTICIPANT_SETUP",
      `participant "${participant}": the tables of Quorate are missing and this role may not create them (${sqlMessage(error)}); ` +
        `let the owner of the schema run:\n${sql}\ngrant select, insert, delete on ${tables.outcomes} to <this role>;\n` +
        `grant select, insert, update on ${tables.participants} to <this role>;`,
      { cause: error },
    );
  }
}

async function openRow(session: Session, tables: Tables, participant: string): Promise<ParticipantRow> {
  try {
    await session.query(`insert into ${tables.participants} (participant) values ($1) on conflict do nothing`, [participant]);
    // A role that may read but not write its witness would find out at its first commit.
    await session.query("select 1 / (has_table_privilege($1, 'select') and has_table_privilege($1, 'insert'))::int", [tables.outcomes]);
    return await readRow(session, tables, participant);
  } catch (error) {
    const state = sqlStateOf(error);
    if (state !== SQLSTATE.insufficientPrivilege && state !== "22012") throw error;
    throw new QuorateError(
      "QUORATE_PARTICIPANT_SETUP",
      `participant "${participant}": this role may not use the tables of Quorate; let their owner run:\n` +
        `grant select, insert, delete on ${tables.outcomes} to <this role>;\ngrant select, insert, update on ${tables.participants} to <this role>;`,
      { cause: error },
    );
  }
}

async function readRow(session: Session, tables: Tables, participant: string): Promise<ParticipantRow> {
  const { rows } = await session.query(participantRowSql(tables, participant));
  return parseParticipantRow(rows[0]);
}

/** As text: a pool may parse bigint in its own way. `participant` is of a strict alphabet. */
export function participantRowSql(tables: Tables, participant: string): string {
  return `select epoch::text as epoch, floor_ms::text as "floorMs" from ${tables.participants} where participant = '${participant}'`;
}

export function parseParticipantRow(row: unknown): ParticipantRow {
  const { epoch, floorMs } = (row ?? { epoch: "0", floorMs: "0" }) as { readonly epoch: string; readonly floorMs: string };
  return { epoch: Number(epoch), floorMs: Number(floorMs) };
}
