import { createPool, type Pool, type RowDataPacket } from "mysql2/promise";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { newGid, Prng } from "../../../src/base/index.js";
import type { BranchRef } from "../../../src/participant/index.js";
import {
  formatXid,
  mysql,
  mysqlPayload,
  rawXid,
  xidScope,
  type MysqlOptions,
  type MysqlParticipant,
} from "../../../src/participant/mysql/index.js";
import { literalOf } from "../../../src/participant/mysql/xa.js";
import { startMariadb, type MariadbServer } from "../../../src/testing/index.js";
import { withMariadb } from "../../testing/with-mariadb.js";
import { CuttingProxy } from "../postgres/cutting-proxy.js";

const random = new Prng("mysql-brought").uint32;
const CLUSTER = "cluster";
const done = { kind: "done" };
const yes = { vote: "yes", detail: "" };

withMariadb(() =>
  describe("a brought branch of MariaDB", () => {
    let server: MariadbServer;
    let pool: Pool;
    let orders: MysqlParticipant;

    const open = async (options: Partial<MysqlOptions> = {}): Promise<MysqlParticipant> => {
      const participant = mysql({ name: "orders", pool, lockTimeoutMs: 1000, ...options });
      await participant.start(CLUSTER);
      return participant;
    };
    const ref = (timeMs = Date.now()): BranchRef => ({ gid: newGid(timeMs, random), branch: "b1" });
    const xidOf = (of: BranchRef, name = "orders"): string => formatXid(xidScope(CLUSTER, name), of);
    const items = async (): Promise<number[]> =>
      (await pool.query<RowDataPacket[]>("select n from item order by n"))[0].map((row) => Number(row["n"]));
    const prepared = async (): Promise<string[]> =>
      (await pool.query<RowDataPacket[]>("xa recover"))[0].flatMap((row) => rawXid(row) ?? []).map(literalOf);
    const witnesses = async (of: BranchRef): Promise<number> =>
      (await pool.query<RowDataPacket[]>("select 1 from quorate_outcomes where gid = ?", [of.gid]))[0].length;
    const because = (pattern: RegExp) => ({ vote: "no", detail: expect.stringMatching(pattern) as string });

    beforeAll(async () => {
      server = await startMariadb({ settings: { innodb_rollback_on_timeout: "on", innodb_lock_wait_timeout: "3" } });
      pool = createPool({ uri: server.dsn, connectionLimit: 16, multipleStatements: true });
      await pool.query("create table item (n int primary key) engine = InnoDB; create table loose (n int) engine = MyISAM");
      orders = await open();
    });
    beforeEach(async () => {
      await pool.query("delete from item");
    });
    afterEach(async () => {
      expect(await prepared()).toEqual([]);
    });
    afterAll(async () => {
      await pool?.end();
      await server?.stop();
    });

    test("may not be ended by its function: the statement is refused and the vote is no", async () => {
      for (const end of ["commit", "rollback", "begin", "xa end 'x'", "lock tables item write", "/*! commit */"]) {
        const held = await orders.begin(ref());
        await held.handle.query("insert into item values (1)");
        await expect(held.handle.query(end)).rejects.toMatchObject({ code: "QUORATE_WRONG_STATE" });
        expect(await held.prepare()).toEqual(because(/was tried inside the branch/));
      }
      expect(await items()).toEqual([]);
    });

    test("is refused by the server what commits implicitly, and is whole afterwards", async () => {
      const branch = ref();
      const held = await orders.begin(branch);
      await held.handle.query("insert into item values (1)");
      await expect(held.handle.query("create table implicit (n int)")).rejects.toMatchObject({ errno: 1399 });
      await held.handle.query("insert into item values (2)");
      expect(await held.prepare()).toEqual(yes);
      expect(await orders.commit(branch)).toEqual(done);
      expect(await items()).toEqual([1, 2]);
    });

    test("that its function ended with the branch's own id behind its back votes no, and leaves no witness", async () => {
      const branch = ref();
      const held = await orders.begin(branch);
      await held.handle.query(`select 1; xa end ${xidOf(branch)}; xa commit ${xidOf(branch)} one phase`);
      expect(await held.prepare()).toEqual(because(/no longer the open one/));
      expect([await prepared(), await witnesses(branch)]).toEqual([[], 0]);
    });

    test("that went back to a savepoint, or caught a failed statement, is prepared with what is left", async () => {
      const branch = ref();
      const held = await orders.begin(branch);
      await held.handle.query("insert into item values (1)");
      await held.handle.query("savepoint before_it");
      await expect(held.handle.query("insert into item values (1)")).rejects.toMatchObject({ errno: 1062 });
      await held.handle.query("insert into item values (9)");
      await held.handle.query("rollback to before_it");
      await held.handle.execute("insert into item values (?)", [2]);
      expect(await held.prepare()).toEqual(yes);
      expect(await orders.commit(branch)).toEqual(done);
      expect(await items()).toEqual([1, 2]);
    });

    test("that was rolled back whole by a lock timeout votes no, also when the function caught it", async () => {
      await pool.query("insert into item values (5)");
      const locker = await pool.getConnection();
      await locker.query("begin");
      await locker.query("select * from item where n = 5 for update");
      const held = await orders.begin(ref());
      await held.handle.query("insert into item values (1)");
      await held.handle.query("set innodb_lock_wait_timeout = 1");
      await expect(held.handle.query("update item set n = 6 where n = 5")).rejects.toMatchObject({ errno: 1205 });
      await locker.query("rollback");
      locker.release();
      expect((await held.prepare()).vote).toBe("no");
      expect(await items()).toEqual([5]);
    });

    test("that changed a table without transactions votes no and says so", async () => {
      const held = await orders.begin(ref());
      await held.handle.query("insert into item values (1)");
      await held.handle.query("insert into loose values (1)");
      expect(await held.prepare()).toEqual(because(/not undone/));
      expect(await items()).toEqual([]);
    });

    test("takes queries that were not awaited with it, and refuses those that come too late", async () => {
      const branch = ref();
      const held = await orders.begin(branch);
      const pending = held.handle.query("insert into item values (?)", [3]);
      expect(await held.prepare()).toEqual(yes);
      await pending;
      await expect(held.handle.query("select 1")).rejects.toMatchObject({ code: "QUORATE_WRONG_STATE", gid: branch.gid });
      expect(await orders.commit(branch)).toEqual(done);
      expect(await items()).toEqual([3]);
    });

    test("runs in the isolation asked for", async () => {
      for (const isolation of ["read committed", "repeatable read"] as const) {
        const strict = await open({ isolation });
        const held = await strict.begin(ref());
        await held.handle.query("select * from item");
        await pool.query("insert into item values (?)", [isolation.length]);
        const [rows] = await held.handle.query<RowDataPacket[]>("select * from item where n = ?", [isolation.length]);
        expect(rows.length).toBe(isolation === "read committed" ? 1 : 0);
        await held.rollback();
      }
    });

    test("that only read keeps nothing; one that wrote through a function is not taken for one that read", async () => {
      const reader = await orders.begin(ref());
      await reader.handle.query("select * from item");
      await reader.handle.query("update item set n = 0 where n = 99");
      expect(await reader.prepare()).toEqual({ vote: "read-only", detail: "" });
      await pool.query("create or replace function writes() returns int begin insert into item values (77); return 1; end");
      const branch = ref();
      const held = await orders.begin(branch);
      await held.handle.query("select writes()");
      expect(await held.prepare()).toEqual(yes);
      expect(await orders.commit(branch)).toEqual(done);
      expect(await items()).toEqual([77]);
    });

    test("whose session is killed votes no: the server has rolled it back", async () => {
      const held = await orders.begin(ref());
      await held.handle.query("insert into item values (1)");
      const [rows] = await held.handle.query<RowDataPacket[]>("select connection_id() as id");
      await pool.query("kill ?", [rows[0]?.["id"]]);
      expect((await held.prepare()).vote).toBe("no");
      expect(await items()).toEqual([]);
    });

    test("is refused below the floor", async () => {
      const bounded = await open({ name: "bounded" });
      await bounded.forgetBelow(5000);
      const held = await bounded.begin(ref(4999));
      await held.handle.query("insert into item values (1)");
      expect(await held.prepare()).toEqual(because(/^expired/));
    });

    test("of a gid that another connection has is not begun", async () => {
      const branch = ref();
      const first = await orders.begin(branch);
      await first.handle.query("insert into item values (1)");
      await expect(orders.begin(branch)).rejects.toMatchObject({
        retry: "safe",
        message: expect.stringMatching(/another connection has/) as string,
      });
      expect(await first.prepare()).toEqual(yes);
      await expect(orders.begin(branch)).rejects.toMatchObject({ retry: "safe" });
      expect(await orders.commit(branch)).toEqual(done);
      expect(await items()).toEqual([1]);
    });

    describe("a connection lost during XA PREPARE", () => {
      let proxy: CuttingProxy;
      let shaky: MysqlParticipant;
      let through: Pool;
      beforeAll(async () => {
        proxy = await CuttingProxy.start(server, "xa prepare");
        through = createPool({ uri: server.dsn.replace(`:${server.port}/`, `:${proxy.port}/`), connectionLimit: 4 });
        shaky = await open({ name: "shaky", pool: through });
      });
      afterAll(async () => {
        await through?.end();
        await proxy?.stop();
      });

      const bring = async (branch: BranchRef, n: number) => {
        const held = await shaky.begin(branch);
        await held.handle.query("insert into item values (?)", [n]);
        return held.prepare();
      };
      const ask = (branch: BranchRef, n: number) =>
        shaky.prepare({ ...branch, payload: mysqlPayload([{ sql: "insert into item values (?)", params: [n] }]), epoch: 1 });

      test.each([
        ["brought", bring],
        ["asked", ask],
      ])("before the server saw it is a no for ever (%s)", async (_, vote) => {
        const branch = ref();
        proxy.cut = "before";
        expect(await vote(branch, 1)).toEqual(because(/connection was lost before the branch was prepared/));
        expect(await ask(branch, 1)).toEqual(because(/rolled back before/));
        expect(await items()).toEqual([]);
      });

      test("after the server did, a client cannot tell whose work is prepared: it neither votes nor rolls back", async () => {
        const branch = ref();
        const held = await shaky.begin(branch);
        await held.handle.query("insert into item values (1)");
        proxy.cut = "after";
        await expect(held.prepare()).rejects.toMatchObject({ code: "QUORATE_PARTICIPANT", retry: "safe" });
        await held.rollback();
        expect(await prepared()).toEqual([xidOf(branch, "shaky")]);
        expect(await shaky.listInDoubt()).toEqual([branch]);
        expect(await shaky.rollback(branch)).toEqual(done);
        expect(await items()).toEqual([]);
      });

      test("after the server did it is a yes (asked)", async () => {
        const branch = ref();
        proxy.cut = "after";
        expect(await ask(branch, 1)).toEqual(yes);
        expect(await shaky.commit(branch)).toEqual(done);
        expect(await items()).toEqual([1]);
      });

      test("with the message still on its way is a yes or no only once that is settled", async () => {
        const branch = ref();
        proxy.cut = "delivered-late";
        const vote = ask(branch, 1);
        await new Promise((resolve) => setTimeout(resolve, 1500));
        proxy.deliver();
        expect(await vote).toEqual(yes);
        await expect(shaky.commit(branch)).rejects.toMatchObject({ retry: "safe" });
        await proxy.stop();
        const direct = await open({ name: "shaky" });
        expect(await direct.commit(branch)).toEqual(done);
        expect(await items()).toEqual([1]);
      });
    });
  }),
);
