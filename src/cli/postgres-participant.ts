/**
 * A PostgreSQL participant of the command line: makes the pool that a service would bring itself.
 *
 * `pg` is the user's own driver, an optional dependency, so it is loaded only here.
 */
import type { Pool } from "pg";
import { messageOf, QuorateError } from "../base/index.js";
import { postgres, type PostgresParticipant } from "../participant/postgres/index.js";

/** One connection for each branch under way at once, and some for questions. */
export const POSTGRES_CONNECTIONS = 20;
const CONNECT_TIMEOUT_MS = 5000;

export interface PostgresService {
  readonly participant: PostgresParticipant;
  close(): Promise<void>;
}

/** Throws QUORATE_PARTICIPANT_SETUP when the driver is missing or the database does not answer. */
export async function openPostgres(name: string, dsn: string, connections = POSTGRES_CONNECTIONS): Promise<PostgresService> {
  const pool = await openPostgresPool(dsn, connections);
  const participant = postgres({ name, pool });
  return {
    participant,
    close: async () => {
      await participant.close();
      await pool.end();
    },
  };
}

/** A pool that has answered once. */
export async function openPostgresPool(dsn: string, connections: number): Promise<Pool> {
  const { default: pg } = await import("pg").catch((error: unknown) => {
    throw new QuorateError("QUORATE_PARTICIPANT_SETUP", `the driver "pg" is not installed; run: npm install pg (${messageOf(error)})`, {
      cause: error,
    });
  });
  const pool = new pg.Pool({ connectionString: dsn, max: connections, connectionTimeoutMillis: CONNECT_TIMEOUT_MS });
  // An idle connection that breaks is replaced when it is next needed; without a listener it would end the process.
  pool.on("error", () => undefined);
  try {
    (await pool.connect()).release();
    return pool;
  } catch (error) {
    await pool.end();
    throw new QuorateError("QUORATE_PARTICIPANT_SETUP", `the database of --dsn does not answer: ${messageOf(error)}`, { cause: error });
  }
}
