import { PostgresDialect } from "kysely";
import { Client, Pool } from "pg";
import { withPostgres } from "../testing/with-postgres.js";
import { postgresStore } from "./postgres-store.js";
import { describeWithin, type WithinStore } from "./within.js";

async function open(): Promise<WithinStore> {
  const store = await postgresStore();
  const { pool, server } = store;
  return {
    ...store,
    knexOptions: { client: "pg", connection: server.dsn },
    kyselyDialect: () => new PostgresDialect({ pool: new Pool({ connectionString: server.dsn, max: 20 }) }),
    async transaction(task) {
      const client = await pool.connect();
      try {
        await client.query("begin");
        const result = await task(client, (sql) => client.query(sql));
        await client.query("commit");
        return result;
      } catch (error) {
        await client.query("rollback");
        throw error;
      } finally {
        client.release();
      }
    },
    async noTransaction(task) {
      const client = new Client({ connectionString: server.dsn });
      await client.connect();
      await task(client);
      // As a client of an older `pg`, which does not know of the transaction by itself.
      await task({ query: (sql: string) => client.query(sql) });
      await client.end();
    },
  };
}

withPostgres(() => describeWithin("PostgreSQL", open));
