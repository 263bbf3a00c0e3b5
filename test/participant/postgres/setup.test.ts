import { Pool } from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { postgres } from "../../../src/participant/postgres/index.js";
import { startPostgres, type PostgresServer } from "../../../src/testing/index.js";
import { withPostgres } from "../../testing/with-postgres.js";

withPostgres(() =>
  describe("start", () => {
    let server: PostgresServer;
    const pools: Pool[] = [];
    const poolOf = (dsn: string = server.dsn): Pool => {
      const pool = new Pool({ connectionString: dsn, max: 4 });
      pool.on("error", () => undefined);
      pools.push(pool);
      return pool;
    };
    const endPools = async (): Promise<void> => {
      await Promise.all(pools.splice(0).map((pool) => pool.end()));
    };

    beforeAll(async () => {
      server = await startPostgres({ maxPreparedTransactions: 0 });
    });
    afterAll(async () => {
      await endPools();
      await server?.stop();
    });

    test("names max_prepared_transactions, the value needed and the restart when it is 0", async () => {
      await expect(postgres({ name: "orders-db", pool: poolOf() }).start("c")).rejects.toMatchObject({
        code: "QUORATE_PARTICIPANT_SETUP",
        message: expect.stringMatching(
          /participant "orders-db", database "postgres": max_prepared_transactions is 0.*at least 64.*restart the server: a reload is not enough/s,
        ) as string,
      });
      await endPools();
    });

    test("refuses a server that does not sync", async () => {
      await server.restart({ max_prepared_transactions: "8", fsync: "off" });
      await expect(postgres({ name: "orders-db", pool: poolOf() }).start("c")).rejects.toMatchObject({
        code: "QUORATE_PARTICIPANT_SETUP",
        message: expect.stringMatching(/fsync is off/) as string,
      });
      await endPools();
      await server.restart({ fsync: "on" });
    });

    test("says that it cannot connect, and starts once it can", async () => {
      const { dsn } = server;
      const participant = postgres({ name: "orders-db", pool: poolOf(dsn) });
      await server.kill9();
      await expect(participant.start("c")).rejects.toMatchObject({ code: "QUORATE_PARTICIPANT", retry: "safe" });
      await server.restart();
      await participant.start("c");
      await participant.start("c");
      await expect(participant.start("other")).rejects.toMatchObject({ code: "QUORATE_WRONG_STATE" });
      await endPools();
    });

    test("makes its tables once, however many instances start together", async () => {
      const admin = poolOf();
      await admin.query("drop table quorate_outcomes, quorate_participants");
      await Promise.all(Array.from({ length: 8 }, () => postgres({ name: "orders-db", pool: poolOf() }).start("c")));
      const { rows } = await admin.query("select participant, epoch::int, floor_ms::int from quorate_participants");
      expect(rows).toEqual([{ participant: "orders-db", epoch: 0, floor_ms: 0 }]);
      await endPools();
    });

    test("hands the SQL over where the role may not run it, and is content once somebody did", async () => {
      const admin = poolOf();
      await admin.query("create role clerk login password 'secret'; create schema ledger");
      const clerk = poolOf(`postgres://clerk:secret@${server.host}:${server.port}/postgres`);
      const participant = postgres({ name: "orders-db", pool: clerk, schema: "ledger" });
      const refused: unknown = await participant.start("c").catch((error: unknown) => error);
      expect(refused).toMatchObject({ code: "QUORATE_PARTICIPANT_SETUP" });
      const sql = /let the owner of the schema run:\n(.*)$/s.exec((refused as Error).message)?.[1]?.replaceAll("<this role>", "clerk");
      expect(sql).toContain("create table if not exists");
      await admin.query("grant usage on schema ledger to clerk");
      await admin.query(sql as string);
      await participant.start("c");
      const bare = postgres({ name: "other-db", pool: clerk, schema: "ledger" });
      await admin.query("revoke insert on ledger.quorate_outcomes from clerk");
      await expect(bare.start("c")).rejects.toMatchObject({
        code: "QUORATE_PARTICIPANT_SETUP",
        message: expect.stringMatching(/may not use the tables of Quorate.*grant select, insert, delete/s) as string,
      });
      await endPools();
    });

    test("refuses options that make no sense, before anything is sent", () => {
      const pool = { connect: () => Promise.reject(new Error("not to be called")) };
      expect(() => postgres({ name: "Orders", pool })).toThrow(/participant name/);
      expect(() => postgres({ name: "orders", pool, schema: 'a"b' })).toThrow(/schema/);
      expect(() => postgres({ name: "orders", pool, lockTimeoutMs: 0 })).toThrow(/lockTimeoutMs/);
      expect(() => postgres({ name: "orders", pool, statementTimeoutMs: 1.5 })).toThrow(/statementTimeoutMs/);
    });
  }),
);
