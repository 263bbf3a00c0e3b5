import { createPool as createCallbackPool } from "mysql2";
import { createPool, type Pool, type RowDataPacket } from "mysql2/promise";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { newGid, Prng } from "../../../src/base/index.js";
import { mysql, mysqlPayload } from "../../../src/participant/mysql/index.js";
import { startMariadb, type MariadbServer } from "../../../src/testing/index.js";
import { withMariadb } from "../../testing/with-mariadb.js";

const random = new Prng("mysql-setup").uint32;

withMariadb(() =>
  describe("start", () => {
    let server: MariadbServer;
    const pools: Pool[] = [];
    const poolOf = (dsn: string = server.dsn): Pool => {
      const pool = createPool({ uri: dsn, connectionLimit: 4 });
      pools.push(pool);
      return pool;
    };
    const endPools = async (): Promise<void> => {
      await Promise.all(pools.splice(0).map((pool) => pool.end()));
    };
    const refused = (pattern: RegExp) => ({ code: "QUORATE_PARTICIPANT_SETUP", message: expect.stringMatching(pattern) as string });

    beforeAll(async () => {
      server = await startMariadb({ settings: { innodb_flush_log_at_trx_commit: "2" } });
    });
    afterAll(async () => {
      await endPools();
      await server?.stop();
    });

    test("refuses a server that does not sync, with the setting and the value, and takes it once it does", async () => {
      const participant = mysql({ name: "orders-db", pool: poolOf() });
      await expect(participant.start("c")).rejects.toMatchObject(
        refused(
          /participant "orders-db", database "quorate": innodb_flush_log_at_trx_commit is 2.*set global innodb_flush_log_at_trx_commit = 1/,
        ),
      );
      await poolOf().query("set global innodb_flush_log_at_trx_commit = 1");
      await participant.start("c");
      await participant.start("c");
      await expect(participant.start("other")).rejects.toMatchObject({ code: "QUORATE_WRONG_STATE" });
      await endPools();
      await server.restart({ innodb_flush_log_at_trx_commit: "1" });
    });

    test("refuses a server that takes no writes, and one whose binary log is not synced", async () => {
      const admin = poolOf();
      await admin.query("set global read_only = on");
      await expect(mysql({ name: "orders-db", pool: poolOf() }).start("c")).rejects.toMatchObject(refused(/read_only is on/));
      await admin.query("set global read_only = off");
      await endPools();
      await server.restart({ log_bin: "binlog", sync_binlog: "0" });
      await expect(mysql({ name: "orders-db", pool: poolOf() }).start("c")).rejects.toMatchObject(refused(/set global sync_binlog = 1/));
      await endPools();
      await server.restart({ sync_binlog: "1" });
      await mysql({ name: "orders-db", pool: poolOf() }).start("c");
      await endPools();
    });

    test("refuses tables of its own in an engine without transactions", async () => {
      const admin = poolOf();
      await admin.query("create database aria");
      await admin.query("create table aria.quorate_outcomes (gid_ms bigint) engine = Aria");
      await expect(mysql({ name: "orders-db", pool: poolOf(), database: "aria" }).start("c")).rejects.toMatchObject(
        refused(/aria\.quorate_outcomes has engine Aria; only InnoDB/),
      );
      await endPools();
    });

    test("wants a database for its tables", async () => {
      await expect(mysql({ name: "orders-db", pool: poolOf(server.dsn.replace(/\/quorate$/, "/")) }).start("c")).rejects.toMatchObject(
        refused(/names no database/),
      );
      await endPools();
    });

    test("says that it cannot connect, and starts once it can", async () => {
      const participant = mysql({ name: "orders-db", pool: poolOf() });
      await server.kill9();
      await expect(participant.start("c")).rejects.toMatchObject({ code: "QUORATE_PARTICIPANT", retry: "safe" });
      await server.restart();
      await participant.start("c");
      await endPools();
    });

    test("makes its tables once, however many instances start together, with a callback pool too", async () => {
      const admin = poolOf();
      await admin.query("drop table quorate_outcomes, quorate_participants");
      await Promise.all(Array.from({ length: 8 }, () => mysql({ name: "orders-db", pool: poolOf() }).start("c")));
      const [rows] = await admin.query<RowDataPacket[]>("select participant, epoch, floor_ms from quorate_participants");
      expect(rows).toEqual([{ participant: "orders-db", epoch: 0, floor_ms: 0 }]);
      const callbacks = createCallbackPool({ uri: server.dsn, connectionLimit: 2, rowsAsArray: true, bigNumberStrings: true });
      const participant = mysql({ name: "callbacks", pool: callbacks });
      await participant.start("c");
      const branch = { gid: newGid(Date.now(), random), branch: "b" };
      const payload = mysqlPayload([{ sql: "select 1", rows: 1 }]);
      expect(await participant.prepare({ ...branch, payload, epoch: 1 })).toEqual({ vote: "yes", detail: "" });
      expect(await participant.listInDoubt()).toEqual([branch]);
      expect(await participant.commit(branch)).toEqual({ kind: "done" });
      await callbacks.promise().end();
      await endPools();
    });

    test("hands the SQL over where the user may not run it, and is content once somebody did", async () => {
      const admin = poolOf();
      await admin.query("create database ledger");
      await admin.query("create user clerk identified by 'secret'");
      await admin.query("grant select on quorate.* to clerk");
      const clerk = poolOf(`mysql://clerk:secret@${server.host}:${server.port}/quorate`);
      const participant = mysql({ name: "orders-db", pool: clerk, database: "ledger" });
      const failure: unknown = await participant.start("c").catch((error: unknown) => error);
      expect(failure).toMatchObject({ code: "QUORATE_PARTICIPANT_SETUP" });
      const sql =
        /let the owner of the database run:\n(.*)$/s.exec((failure as Error).message)?.[1]?.replaceAll("<this user>", "clerk") ?? "";
      expect(sql).toContain("create table if not exists");
      for (const statement of sql.split(";\n")) await admin.query(statement);
      await participant.start("c");
      await admin.query("revoke insert on ledger.quorate_outcomes from clerk");
      await expect(mysql({ name: "other-db", pool: clerk, database: "ledger" }).start("c")).rejects.toMatchObject(
        refused(/may not use the tables of Quorate.*grant select, insert, delete/s),
      );
      await endPools();
    });

    test("refuses options that make no sense, before anything is sent", () => {
      const pool = { getConnection: () => Promise.reject(new Error("not to be called")) };
      expect(() => mysql({ name: "Orders", pool })).toThrow(/participant name/);
      expect(() => mysql({ name: "orders", pool, database: "a`b" })).toThrow(/database/);
      expect(() => mysql({ name: "orders", pool, lockTimeoutMs: 1500 })).toThrow(/lockTimeoutMs must be a multiple of 1000/);
      expect(() => mysql({ name: "orders", pool, statementTimeoutMs: 1.5 })).toThrow(/statementTimeoutMs/);
      expect(() => mysql({ name: "orders", pool, isolation: "serializable" as never })).toThrow(/for update/);
      expect(() => mysql({ name: "orders", pool: {} as never })).toThrow(/createPool/);
    });
  }),
);
