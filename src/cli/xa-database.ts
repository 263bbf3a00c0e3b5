/**
 * A database named by `--dsn`, as `quorate xa` needs it: what is prepared there, and the adapter that settles it.
 */
import { QuorateError } from "../base/index.js";
import type { Participant, PreparedBranch } from "../participant/index.js";
import { clusterTag as mysqlTag, listPrepared as listMysql, mysql } from "../participant/mysql/index.js";
import { clusterTag as postgresTag, listPrepared as listPostgres, postgres } from "../participant/postgres/index.js";
import { openMysqlPool } from "./mysql-participant.js";
import { openPostgresPool } from "./postgres-participant.js";

const CONNECTIONS = 4;

export interface XaDatabase {
  readonly kind: "postgres" | "mysql";
  /** What the names of a cluster's branches hold. */
  tag(clusterId: string): string;
  list(): Promise<readonly PreparedBranch[]>;
  /** Not started yet. `schema`: of the adapter's tables; undefined: its default. */
  participant(name: string, schema: string | undefined): Participant;
  close(): Promise<void>;
}

/** Throws QUORATE_INVALID_ARGUMENT for a dsn of another kind, QUORATE_PARTICIPANT_SETUP when the database does not answer. */
export async function openXaDatabase(dsn: string): Promise<XaDatabase> {
  const scheme = /^([a-z]+):\/\//.exec(dsn)?.[1];
  switch (scheme) {
    case "postgres":
    case "postgresql": {
      const pool = await openPostgresPool(dsn, CONNECTIONS);
      return {
        kind: "postgres",
        tag: postgresTag,
        list: () => listing(listPostgres(pool)),
        participant: (name, schema) => postgres({ name, pool, ...(schema === undefined ? {} : { schema }) }),
        close: () => pool.end(),
      };
    }
    case "mysql":
    case "mariadb": {
      const pool = await openMysqlPool(dsn, CONNECTIONS);
      return {
        kind: "mysql",
        tag: mysqlTag,
        list: () => listing(listMysql(pool)),
        participant: (name, schema) => mysql({ name, pool, ...(schema === undefined ? {} : { database: schema }) }),
        close: () => pool.end(),
      };
    }
    default:
      throw new QuorateError(
        "QUORATE_INVALID_ARGUMENT",
        "--dsn must be postgres://user:password@host:port/database or mysql://user:password@host:port/database",
      );
  }
}

async function listing(list: Promise<readonly PreparedBranch[]>): Promise<readonly PreparedBranch[]> {
  try {
    return await list;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new QuorateError("QUORATE_PARTICIPANT", `the database does not list its prepared branches: ${message}`, {
      retry: "safe",
      cause: error,
    });
  }
}
