import { MysqlDialect } from "kysely";
import { createPool as createCallbackPool } from "mysql2";
import { createConnection } from "mysql2/promise";
import { withMariadb } from "../testing/with-mariadb.js";
import { mariadbStore } from "./mariadb-store.js";
import { describeWithin, type WithinStore } from "./within.js";

async function open(): Promise<WithinStore> {
  const store = await mariadbStore();
  const { pool, server } = store;
  return {
    ...store,
    knexOptions: { client: "mysql2", connection: server.dsn },
    kyselyDialect: () => new MysqlDialect({ pool: createCallbackPool({ uri: server.dsn, connectionLimit: 20 }) }),
    async transaction(task) {
      const connection = await pool.getConnection();
      try {
        await connection.beginTransaction();
        const result = await task(connection, (sql) => connection.query(sql));
        await connection.commit();
        return result;
      } catch (error) {
        await connection.rollback();
        throw error;
      } finally {
        connection.release();
      }
    },
    async noTransaction(task) {
      const connection = await createConnection(server.dsn);
      await task(connection);
      await connection.end();
    },
  };
}

withMariadb(() => describeWithin("MariaDB", open));
