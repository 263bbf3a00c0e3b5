/** The suite in MariaDB, in each isolation level, and what is InnoDB's own. */
import { createPool as createCallbackPool } from "mysql2";
import { createPool, type PoolConnection } from "mysql2/promise";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { barrier, type SqlBarrier } from "../../src/barrier/index.js";
import { withMariadb } from "../testing/with-mariadb.js";
import { describeBarrier } from "./conformance.js";
import { newCall, settled } from "./fixture.js";
import { byPool, mariadbStore, type MariadbStore } from "./mariadb-store.js";
import { sqlFixture } from "./sql-fixture.js";

withMariadb(() => {
  for (const isolation of ["repeatable read", "read committed", "serializable"])
    describeBarrier(`MariaDB, ${isolation}`, async () => sqlFixture(await mariadbStore(isolation), byPool), {
      crashes: isolation === "repeatable read",
    });
  // The default of MariaDB 11.6 and later: a locking read of what changed since the snapshot is an error.
  describeBarrier(
    "MariaDB, snapshot isolation",
    async () => sqlFixture(await mariadbStore(undefined, { innodb_snapshot_isolation: "on" }), byPool),
    { crashes: false },
  );

  describe("a barrier in MariaDB", () => {
    let store: MariadbStore;
    let at: SqlBarrier<PoolConnection>;
    beforeAll(async () => {
      store = await mariadbStore();
      at = barrier({ pool: store.pool });
      await store.query("create table item (n int primary key)");
    });
    afterAll(() => store?.dispose());
    const items = async (): Promise<unknown[]> => (await store.query("select n from item order by n")).map(({ n }) => n);

    test("names the missing tables, shows their SQL, and works once they are made by it", async () => {
      const missing = {
        code: "QUORATE_PARTICIPANT_SETUP",
        message: expect.stringMatching(/createTable.*create table if not exists/s) as string,
      };
      await expect(at.call(newCall("try"), () => 1)).rejects.toMatchObject(missing);
      await expect(at.check()).rejects.toMatchObject(missing);
      for (const sql of at.tableSql().split(";\n")) if (sql !== "") await store.query(sql);
      await at.check();
      await at.createTable();
      expect(await at.call(newCall("try"), () => 1)).toEqual({ kind: "done", value: 1 });
    });

    test("checks the server for what would lose answers", async () => {
      for (const [setting, message] of [
        ["innodb_flush_log_at_trx_commit = 2", /innodb_flush_log_at_trx_commit is 2/],
        ["read_only = on", /read only/],
      ] as const) {
        await store.query(`set global ${setting}`);
        await expect(at.check()).rejects.toMatchObject({
          code: "QUORATE_PARTICIPANT_SETUP",
          message: expect.stringMatching(message) as string,
        });
        await store.query(`set global ${setting.replace("= 2", "= 1").replace("= on", "= off")}`);
      }
      await at.check();
    });

    test("does not take work that a deadlock rolled back for done, when the function caught its error", async () => {
      await store.query("insert into item values (100), (101)");
      const call = newCall("try");
      const other = await store.pool.getConnection();
      await other.query("begin");
      await other.query("insert into item values (110), (111), (112), (113), (114), (115)");
      await other.query("update item set n = n where n = 100");
      const swallowing = at.call(call, async (connection) => {
        await connection.query("update item set n = n where n = 101");
        const waiting = connection.query("update item set n = n where n = 100").catch((error: { code?: string }) => error.code);
        await new Promise((resolve) => setTimeout(resolve, 100));
        await other.query("update item set n = n where n = 101");
        expect(await waiting).toBe("ER_LOCK_DEADLOCK");
        // Without a transaction by now: committed at once, and nobody can take it back.
        await connection.query("insert into item values (1)");
      });
      await expect(swallowing).rejects.toMatchObject({
        code: "QUORATE_PARTICIPANT",
        message: expect.stringMatching(/deadlock whose error it caught/) as string,
      });
      await other.query("rollback");
      other.release();
      await store.query("delete from item");
      expect(await at.call(call, () => 1)).toEqual({ kind: "done", value: 1 });
    });

    test.each([
      ["rollback", /rolled back inside the function/],
      ["commit", /ended the transaction/],
      ["create table made_inside (n int)", /commits by itself/],
    ])("notices that the function ran %s", async (sql, message) => {
      const ended = at.call(newCall("try"), (connection) => connection.query(sql));
      await expect(ended).rejects.toMatchObject({ code: "QUORATE_PARTICIPANT", message: expect.stringMatching(message) as string });
    });

    test("the database's own error of the function's statement comes out unchanged", async () => {
      const error = await at
        .call(newCall("try"), (connection) => connection.query("insert into nowhere values (1)"))
        .catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ code: "ER_NO_SUCH_TABLE", errno: 1146 });
    });

    test("a call that cannot be told is asked for again", async () => {
      const nowhere = createPool({ host: "127.0.0.1", port: 1 });
      await expect(barrier({ pool: nowhere }).call(newCall("try"), () => 1)).rejects.toMatchObject({
        code: "QUORATE_PARTICIPANT",
        retry: "safe",
      });
      await nowhere.end();
      const call = newCall("try");
      const cut = at.call(call, async (connection) => {
        await connection.query("insert into item values (7)");
        await store.query(`kill ${connection.threadId}`);
      });
      await expect(cut).rejects.toMatchObject({ code: "QUORATE_PARTICIPANT", retry: "safe", gid: call.gid });
      expect(await items()).toEqual([]);
      expect(await at.call(call, (connection) => connection.query("insert into item values (7)"))).toMatchObject({ kind: "done" });
    });

    test("a repetition waits for the disk: its answer rests on a row that InnoDB shows before it is flushed", async () => {
      const call = newCall("try");
      await at.call(call, () => 1);
      const written = async (): Promise<number> =>
        Number((await store.query("show global status like 'Innodb_os_log_written'"))[0]?.["Value"]);
      const before = await written();
      expect(await at.call(call, () => 1)).toEqual({ kind: "duplicate" });
      expect(await written()).toBeGreaterThan(before);
      expect(await store.query(`select slot from quorate_barrier where gid = '${call.gid}'`)).toEqual([{ slot: "start" }]);
    });

    test("raising the epoch does not wait for work in flight, and the floor waits a moment and says so", async () => {
      const scope = { participant: "busy" };
      await at.call(newCall("try", scope), () => 1);
      await at.call(newCall("try", scope), async () => {
        const other = barrier({ pool: store.pool });
        expect(await other.call(newCall("try", { ...scope, epoch: 6 }), () => 2)).toEqual({ kind: "done", value: 2 });
        await expect(at.forgetBelow(1, newCall("try", scope))).rejects.toMatchObject({
          code: "QUORATE_PARTICIPANT",
          retry: "safe",
          message: expect.stringMatching(/held by work in flight/) as string,
        });
      });
      await at.forgetBelow(1, newCall("try", scope));
      const [row] = await store.query("select @@session.innodb_lock_wait_timeout as wait");
      expect(row).toEqual({ wait: 5 });
    });

    test("reads its rows whatever form the pool was made for", async () => {
      for (const options of [
        { rowsAsArray: true },
        { nestTables: true },
        { typeCast: false },
        { supportBigNumbers: true, bigNumberStrings: true },
      ]) {
        const pool = createPool({ uri: store.server.dsn, ...options });
        const other = barrier({ pool });
        const call = newCall("try");
        await other.check();
        expect(await other.call(call, () => 1)).toMatchObject({ kind: "done" });
        expect(await other.call(call, () => 1)).toEqual({ kind: "duplicate" });
        expect(await other.call({ ...call, phase: "cancel" }, () => 1)).toMatchObject({ kind: "done" });
        expect(await other.call(call, () => 1)).toMatchObject({ kind: "refused" });
        await pool.end();
      }
    });

    test("a callback pool of mysql2 serves too; tables may be in another database", async () => {
      await store.query("create database marks");
      const pool = createCallbackPool({ uri: store.server.dsn });
      const other = barrier({ pool: pool as never, schema: "marks" });
      await other.createTable();
      await other.check();
      const call = newCall("try");
      expect(await settled(() => other.call(call, () => 1))).toMatchObject({ kind: "done" });
      expect(await other.call(call, () => 1)).toEqual({ kind: "duplicate" });
      expect(await at.call(call, () => 1)).toMatchObject({ kind: "done" });
      await other.forgetBelow(Date.now() + 1000, call);
      expect(await store.query("select * from marks.quorate_barrier")).toEqual([]);
      await pool.promise().end();
    });
  });
});
