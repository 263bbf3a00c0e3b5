/**
 * The two tables of the adapter.
 *
 * `quorate_outcomes`: one row per branch. A committed row is written inside the branch (the witness: it is there exactly when the
 * branch committed); a rolled-back row is written by a roll back (the mark: whoever comes later to prepare the branch finds it).
 * Its key decides between the two, so rows are inserted and never updated.
 * `quorate_participants`: per participant the highest epoch seen and the floor below which no new work is taken.
 */
import { QuorateError } from "../../base/index.js";
import { ERRNO, errnoOf, Session, sqlMessage, type MysqlPromisePool } from "./session.js";
import { checkServer } from "./server-check.js";
import type { Flavour } from "./context.js";

export interface Tables {
  readonly database: string;
  readonly outcomes: string;
  readonly participants: string;
}

const DATABASE_PATTERN = /^[A-Za-z0-9_$-]{1,64}$/;

/** Names of the tables, quoted. They are always qualified: a user's statement may have changed the connection's database. */
export function tablesIn(database: string): Tables {
  if (!DATABASE_PATTERN.test(database))
    throw new QuorateError(
      "QUORATE_INVALID_ARGUMENT",
      `database ${JSON.stringify(database)} must be letters, digits, "_", "$" and "-", at most 64 characters`,
    );
  return { database, outcomes: `\`${database}\`.quorate_outcomes`, participants: `\`${database}\`.quorate_participants` };
}

/** The statements, each to be run by itself. InnoDB whatever the server's default engine: the witness must roll back with its branch. */
export function createTablesSql(tables: Tables): readonly string[] {
  return [
    `create table if not exists ${tables.outcomes} (
  gid_ms bigint not null,
  gid varchar(48) not null,
  branch varchar(48) not null,
  participant varchar(48) not null,
  outcome varchar(11) not null,
  primary key (gid_ms, gid, branch)
) engine = InnoDB default charset = ascii collate = ascii_bin`,
    `create table if not exists ${tables.participants} (
  participant varchar(48) not null primary key,
  epoch bigint not null default 0,
  floor_ms bigint not null default 0
) engine = InnoDB default charset = ascii collate = ascii_bin`,
  ];
}

export interface ParticipantRow {
  readonly epoch: number;
  readonly floorMs: number;
}

export interface SetUp extends ParticipantRow {
  readonly flavour: Flavour;
  readonly tables: Tables;
}

/** Checks the server, makes the tables where they are missing, and reads the participant's row. Throws QUORATE_PARTICIPANT_SETUP. */
export async function setUp(
  pool: MysqlPromisePool,
  participant: string,
  options: { readonly database: string | undefined; readonly isolation: string | undefined },
): Promise<SetUp> {
  let session: Session;
  try {
    session = await Session.open(pool);
  } catch (error) {
    throw new QuorateError("QUORATE_PARTICIPANT", `participant "${participant}": cannot connect to the database: ${sqlMessage(error)}`, {
      retry: "safe",
      cause: error,
    });
  }
  try {
    const server = await checkServer(session, participant, options.isolation);
    const database = options.database ?? server.database;
    if (database === undefined)
      throw new QuorateError(
        "QUORATE_PARTICIPANT_SETUP",
        `participant "${participant}": the pool names no database; set "database" of the pool, or of the participant, for Quorate's two tables`,
      );
    const tables = tablesIn(database);
    await createTables(session, tables, participant);
    return { flavour: server.flavour, tables, ...(await openRow(session, tables, participant)) };
  } catch (error) {
    if (error instanceof QuorateError) throw error;
    throw new QuorateError("QUORATE_PARTICIPANT", `participant "${participant}": ${sqlMessage(error)}`, { retry: "safe", cause: error });
  } finally {
    session.release();
  }
}

async function createTables(session: Session, tables: Tables, participant: string): Promise<void> {
  const engines = await session.rows(
    "select table_name as name, engine as engine from information_schema.tables " +
      `where table_schema = '${tables.database}' and table_name in ('quorate_outcomes', 'quorate_participants')`,
  );
  const wrong = engines.find((row) => String(row["engine"]).toLowerCase() !== "innodb");
  if (wrong !== undefined)
    throw new QuorateError(
      "QUORATE_PARTICIPANT_SETUP",
      `participant "${participant}": table ${tables.database}.${String(wrong["name"])} has engine ${String(wrong["engine"])}; ` +
        "only InnoDB rolls the outcome of a branch back with it: alter table ... engine = InnoDB",
    );
  // Asked first, because `create table if not exists` needs the right to create even where the tables exist.
  if (engines.length === 2) return;
  const statements = createTablesSql(tables);
  try {
    for (const sql of statements) await session.run(sql);
  } catch (error) {
    if (!isAboutRights(error)) throw error;
    throw new QuorateError(
      "QUORATE_PARTICIPANT_SETUP",
      `participant "${participant}": the tables of Quorate are missing and this user may not create them (${sqlMessage(error)}); ` +
        `let the owner of the database run:\n${statements.join(";\n")};\n${grants(tables)}`,
      { cause: error },
    );
  }
}

/** Statements that need each right and change nothing: a user who may read but not write the witness would find out at the first commit. */
async function openRow(session: Session, tables: Tables, participant: string): Promise<ParticipantRow> {
  try {
    await session.runCommitted(
      `insert into ${tables.participants} (participant) values ('${participant}') on duplicate key update participant = participant`,
    );
    await session.runCommitted(`insert into ${tables.outcomes} select * from ${tables.outcomes} where gid_ms = -1`);
    await session.runCommitted(`delete from ${tables.outcomes} where gid_ms = -1`);
    const [row] = await session.rows(participantRowSql(tables, participant));
    return parseParticipantRow(row);
  } catch (error) {
    if (!isAboutRights(error)) throw error;
    throw new QuorateError(
      "QUORATE_PARTICIPANT_SETUP",
      `participant "${participant}": this user may not use the tables of Quorate (${sqlMessage(error)}); let their owner run:\n${grants(tables)}`,
      { cause: error },
    );
  }
}

function grants(tables: Tables): string {
  return (
    `grant select, insert, delete on ${tables.outcomes} to <this user>;\n` +
    `grant select, insert, update on ${tables.participants} to <this user>;`
  );
}

const RIGHTS: ReadonlySet<number> = new Set([
  ERRNO.accessDenied,
  ERRNO.tableAccessDenied,
  ERRNO.columnAccessDenied,
  ERRNO.specificAccessDenied,
]);

function isAboutRights(error: unknown): boolean {
  return RIGHTS.has(errnoOf(error) ?? 0);
}

/** As text: a pool may parse bigint in its own way. `participant` is of a strict alphabet. */
export function participantRowSql(tables: Tables, participant: string): string {
  return `select cast(epoch as char) as epoch, cast(floor_ms as char) as floor_ms from ${tables.participants} where participant = '${participant}'`;
}

export function parseParticipantRow(row: Readonly<Record<string, unknown>> | undefined): ParticipantRow {
  return { epoch: Number(row?.["epoch"] ?? 0), floorMs: Number(row?.["floor_ms"] ?? 0) };
}
