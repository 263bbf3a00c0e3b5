import { Pool, type PoolClient } from "pg";
import type { SqlBarrier } from "../../src/barrier/index.js";
import { startPostgres, type PostgresServer } from "../../src/testing/index.js";
import { poolBarrier, type Make, type SqlStore } from "./sql-fixture.js";

export interface PostgresStore extends SqlStore {
  readonly server: PostgresServer;
  readonly pool: Pool;
}

export async function postgresStore(isolation?: string, settings: Record<string, string> = {}): Promise<PostgresStore> {
  const server = await startPostgres({ settings: { deadlock_timeout: "100ms", ...settings } });
  const pool = new Pool({ connectionString: server.dsn, max: 30 });
  // Idle connections break when the server is killed; the pool replaces them.
  pool.on("error", () => undefined);
  return {
    dialect: "postgres",
    server,
    pool,
    query: async (sql) => (await pool.query<Record<string, unknown>>(sql)).rows,
    newBarrier: () => poolBarrier(pool, isolation),
    async crash() {
      await server.kill9();
      await server.restart();
    },
    async dispose() {
      const { idleCount, totalCount } = pool;
      await pool.end();
      await server.stop();
      if (idleCount !== totalCount) throw new Error("a connection was not given back");
    },
  };
}

/** The barrier opens the transaction. */
export const byPool: Make = (of, call, work) => (of as SqlBarrier<PoolClient>).call(call, (client) => work((sql) => client.query(sql)));
