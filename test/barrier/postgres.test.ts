/** The suite in PostgreSQL, in each isolation level, and what is PostgreSQL's own. */
import { Pool, type PoolClient } from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { barrier, type Barrier, type BarrierCall, type SqlBarrier } from "../../src/barrier/index.js";
import { withPostgres } from "../testing/with-postgres.js";
import { describeBarrier } from "./conformance.js";
import { newCall } from "./fixture.js";
import { byPool, postgresStore, type PostgresStore } from "./postgres-store.js";
import { sqlFixture } from "./sql-fixture.js";

withPostgres(() => {
  for (const isolation of ["read committed", "repeatable read", "serializable"])
    describeBarrier(`PostgreSQL, ${isolation}`, async () => sqlFixture(await postgresStore(isolation), byPool), {
      crashes: isolation === "read committed",
    });

  describe("a barrier in PostgreSQL", () => {
    let store: PostgresStore;
    let at: SqlBarrier<PoolClient>;
    beforeAll(async () => {
      store = await postgresStore();
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
      await store.query(at.tableSql());
      await at.check();
      await at.createTable();
      expect(await at.call(newCall("try"), () => 1)).toEqual({ kind: "done", value: 1 });
    });

    test("checks the server for what would lose answers", async () => {
      await store.server.restart({ fsync: "off" });
      await expect(at.check()).rejects.toMatchObject({
        code: "QUORATE_PARTICIPANT_SETUP",
        message: expect.stringMatching(/fsync is off/) as string,
      });
      await store.server.restart({ fsync: "on" });
      await at.check();
    });

    test("waits for the disk also where the role's commits do not", async () => {
      const lazy = new Pool({ connectionString: store.server.dsn, options: "-c synchronous_commit=off" });
      lazy.on("error", () => undefined);
      const said: unknown[] = [];
      await barrier({ pool: lazy }).call(newCall("try"), async (client) => {
        said.push((await client.query("show synchronous_commit")).rows[0]);
      });
      said.push((await lazy.query("show synchronous_commit")).rows[0]);
      expect(said).toEqual([{ synchronous_commit: "on" }, { synchronous_commit: "off" }]);
      await lazy.end();
    });

    test("does not take a failed statement that the function caught for success", async () => {
      const call = newCall("try");
      const swallowing = at.call(call, async (client) => {
        await client.query("insert into item values (1)");
        await client.query("insert into item values (1)").catch(() => undefined);
      });
      await expect(swallowing).rejects.toMatchObject({
        code: "QUORATE_PARTICIPANT",
        message: expect.stringMatching(/caught the error/) as string,
      });
      expect(await items()).toEqual([]);
      expect(await at.call(call, () => "again")).toEqual({ kind: "done", value: "again" });
    });

    test.each(["commit", "rollback", "commit; begin", "rollback; begin"])("notices that the function ran %s", async (sql) => {
      const ended = at.call(newCall("try"), (client) => client.query(sql));
      await expect(ended).rejects.toMatchObject({ message: expect.stringMatching(/ended the transaction/) as string });
      expect(store.pool.idleCount).toBe(store.pool.totalCount);
    });

    test("the database's own error of the function's statement comes out unchanged", async () => {
      const error = await at.call(newCall("try"), (client) => client.query("select 1 / 0")).catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ code: "22012", severity: "ERROR" });
    });

    test("a call that cannot be told is asked for again: no server, and a commit without an answer", async () => {
      const nowhere = new Pool({ host: "127.0.0.1", port: 1, connectionTimeoutMillis: 500 });
      await expect(barrier({ pool: nowhere }).call(newCall("try"), () => 1)).rejects.toMatchObject({
        code: "QUORATE_PARTICIPANT",
        retry: "safe",
      });
      await nowhere.end();
      const call = newCall("try");
      const cut = at.call(call, async (client) => {
        await client.query("insert into item values (7)");
        const { rows } = await client.query<{ pid: number }>("select pg_backend_pid() as pid");
        await store.query(`select pg_terminate_backend(${rows[0]?.pid})`);
      });
      await expect(cut).rejects.toMatchObject({ code: "QUORATE_PARTICIPANT", retry: "safe", gid: call.gid });
      expect(await items()).toEqual([]);
      expect(await at.call(call, (client) => client.query("insert into item values (7)"))).toMatchObject({ kind: "done" });
    });

    test("has the shape that whoever serves handlers asks for", async () => {
      const asked: Barrier<PoolClient> = at;
      const plain: {
        call(
          call: BarrierCall,
          run: (handle: PoolClient) => Promise<unknown>,
        ): Promise<{ readonly kind: "done" | "duplicate" | "refused" }>;
      } = at;
      const call = newCall("try");
      expect((await plain.call(call, (client) => client.query("select 1"))).kind).toBe("done");
      expect(await asked.call({ ...call, phase: "confirm" }, () => 7)).toEqual({ kind: "done", value: 7 });
    });

    test("options without sense are refused by name", () => {
      const because = (message: RegExp): unknown =>
        expect.objectContaining({ code: "QUORATE_INVALID_ARGUMENT", message: expect.stringMatching(message) as string });
      expect(() => barrier({})).toThrow(because(/give it a pool/) as Error);
      expect(() => barrier({ dialect: "oracle" as "mysql" })).toThrow(because(/dialect "oracle"/) as Error);
      expect(() => barrier({ pool: store.pool, dialect: "mysql" })).toThrow(
        because(/dialect is "mysql" and the pool is one of postgres/) as Error,
      );
      expect(() => barrier({ pool: store.pool, schema: "a b" })).toThrow(because(/schema "a b"/) as Error);
      expect(() => barrier({ pool: store.pool, isolation: "chaos" as "serializable" })).toThrow(because(/isolation "chaos"/) as Error);
    });

    test("keeps its tables in another schema, by a role that may not create", async () => {
      await store.query("create schema marks; create role clerk login password 'x'; grant usage on schema marks to clerk");
      const pool = new Pool({ connectionString: store.server.dsn.replace(/\/\/[^@]+@/, "//clerk:x@") });
      const clerk = barrier({ pool, schema: "marks" });
      await expect(clerk.createTable()).rejects.toMatchObject({
        code: "QUORATE_PARTICIPANT_SETUP",
        message: expect.stringMatching(/permission denied.*grant select, insert.*create table/s) as string,
      });
      await barrier({ pool: store.pool, schema: "marks" }).createTable();
      await expect(clerk.check()).rejects.toMatchObject({
        message: expect.stringMatching(/grant select, insert, update, delete/) as string,
      });
      await store.query("grant select, insert, update, delete on all tables in schema marks to clerk");
      await clerk.check();
      expect(await clerk.call(newCall("try"), () => 1)).toEqual({ kind: "done", value: 1 });
      await clerk.forgetBelow(1, newCall("try"));
      await pool.end();
    });
  });
});
