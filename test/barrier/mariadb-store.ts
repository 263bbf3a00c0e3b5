import { createPool, type Pool, type PoolConnection } from "mysql2/promise";
import type { SqlBarrier } from "../../src/barrier/index.js";
import { startMariadb, type MariadbServer } from "../../src/testing/index.js";
import { poolBarrier, type Make, type SqlStore } from "./sql-fixture.js";

export interface MariadbStore extends SqlStore {
  readonly server: MariadbServer;
  readonly pool: Pool;
}

export async function mariadbStore(isolation?: string, settings: Record<string, string> = {}): Promise<MariadbStore> {
  const server = await startMariadb({ settings: { innodb_lock_wait_timeout: "5", ...settings } });
  const pool = createPool({ uri: server.dsn, connectionLimit: 30 });
  return {
    dialect: "mysql",
    server,
    pool,
    query: async (sql) => (await pool.query(sql))[0] as Record<string, unknown>[],
    newBarrier: () => poolBarrier(pool, isolation),
    async crash() {
      await server.kill9();
      await server.restart();
    },
    async dispose() {
      await pool.end();
      await server.stop();
    },
  };
}

/** The barrier opens the transaction. */
export const byPool: Make = (of, call, work) =>
  (of as SqlBarrier<PoolConnection>).call(call, (connection) => work((sql) => connection.query(sql)));
