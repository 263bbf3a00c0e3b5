/**
 * PostgreSQL for a benchmark: one real server for each participant, and pools of this process's own for the same work driven by hand.
 */
import type Pg from "pg";
import { messageOf, QuorateError } from "../../base/index.js";
import { POSTGRES_TABLE_SQL } from "../../bench/loads.js";
import { startPostgres, type PostgresServer } from "../../testing/index.js";
import { note } from "../output.js";

/** Beside the work: the participant's own questions, and an administrator. */
const SPARE_CONNECTIONS = 16;

/** Servers with the table of the benchmark in them. `connections`: of each participant, and as many again by hand. */
export async function benchPostgres(count: number, connections: number): Promise<readonly PostgresServer[]> {
  const started = await Promise.allSettled(
    Array.from({ length: count }, () =>
      startPostgres({ maxPreparedTransactions: 4 * connections + 64, maxConnections: 2 * connections + SPARE_CONNECTIONS }),
    ),
  );
  const servers = started.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
  try {
    const failed = started.find((each) => each.status === "rejected");
    if (failed !== undefined) throw failed.reason;
    for (const server of servers) {
      const [pool] = await benchPools([server.dsn], 1);
      try {
        for (const sql of POSTGRES_TABLE_SQL) await pool?.query(sql);
      } finally {
        await pool?.end();
      }
    }
  } catch (error) {
    await Promise.all(servers.map((server) => server.stop()));
    throw error;
  }
  note(`${count} PostgreSQL ${count === 1 ? "server" : "servers"} on ${servers.map((server) => server.port).join(", ")}.`);
  return servers;
}

/** One for each server; the caller ends them. */
export async function benchPools(dsns: readonly string[], connections: number): Promise<readonly Pg.Pool[]> {
  const { default: pg } = await import("pg").catch((error: unknown) => {
    throw new QuorateError("QUORATE_PARTICIPANT_SETUP", `the driver "pg" is not installed; run: npm install pg (${messageOf(error)})`, {
      cause: error,
    });
  });
  return dsns.map((connectionString) => {
    const pool = new pg.Pool({ connectionString, max: connections });
    // An idle connection that breaks is replaced at the next use; without a listener it would end the process.
    pool.on("error", () => undefined);
    return pool;
  });
}
