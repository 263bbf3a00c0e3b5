/**
 * A MariaDB or MySQL participant of the command line: makes the pool that a service would bring itself.
 *
 * `mysql2` is the user's own driver, an optional dependency, so it is loaded only here.
 */
import type { Pool } from "mysql2/promise";
import { messageOf, QuorateError } from "../base/index.js";
import { mysql, type MysqlParticipant } from "../participant/mysql/index.js";

/** One connection for each branch under way at once, and some for questions. */
export const MYSQL_CONNECTIONS = 20;
const CONNECT_TIMEOUT_MS = 5000;

export interface MysqlService {
  readonly participant: MysqlParticipant;
  close(): Promise<void>;
}

/** Throws QUORATE_PARTICIPANT_SETUP when the driver is missing or the database does not answer. */
export async function openMysql(name: string, dsn: string, connections = MYSQL_CONNECTIONS): Promise<MysqlService> {
  const pool = await openMysqlPool(dsn, connections);
  const participant = mysql({ name, pool });
  return {
    participant,
    close: async () => {
      await participant.close();
      await pool.end();
    },
  };
}

/** A pool that has answered once. */
export async function openMysqlPool(dsn: string, connections: number): Promise<Pool> {
  const pool = await mysqlPool(dsn, connections);
  try {
    (await pool.getConnection()).release();
    return pool;
  } catch (error) {
    await pool.end();
    throw new QuorateError("QUORATE_PARTICIPANT_SETUP", `the database of --dsn does not answer: ${messageOf(error)}`, { cause: error });
  }
}

/** Nothing is sent yet. */
export async function mysqlPool(dsn: string, connections: number): Promise<Pool> {
  const { createPool } = await import("mysql2/promise").catch((error: unknown) => {
    throw new QuorateError(
      "QUORATE_PARTICIPANT_SETUP",
      `the driver "mysql2" is not installed; run: npm install mysql2 (${messageOf(error)})`,
      {
        cause: error,
      },
    );
  });
  // mariadb:// is what some tools write; the protocol is the same.
  const uri = dsn.replace(/^mariadb:/, "mysql:");
  if (!/^mysql:\/\/[^/]+\/[^/?]+/.test(uri))
    throw new QuorateError("QUORATE_INVALID_ARGUMENT", "--dsn must be mysql://user:password@host:port/database");
  return createPool({ uri, connectionLimit: connections, connectTimeout: CONNECT_TIMEOUT_MS });
}
