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
  type SqlStatement,
} from "../../../src/participant/mysql/index.js";
import { literalOf } from "../../../src/participant/mysql/xa.js";
import { startMariadb, type MariadbServer } from "../../../src/testing/index.js";
import { withMariadb } from "../../testing/with-mariadb.js";
import { decisionsGetThrough } from "../small-pool.js";

const random = new Prng("mysql").uint32;
const CLUSTER = "cluster";
const done = { kind: "done" };
const yes = { vote: "yes", detail: "" };

withMariadb(() =>
  describe("MariaDB", () => {
    let server: MariadbServer;
    let pool: Pool;
    let orders: MysqlParticipant;

    const open = async (options: Partial<MysqlOptions> = {}): Promise<MysqlParticipant> => {
      const participant = mysql({ name: "orders", pool, lockTimeoutMs: 1000, ...options });
      await participant.start(CLUSTER);
      return participant;
    };
    const ref = (timeMs = Date.now()): BranchRef => ({ gid: newGid(timeMs, random), branch: "b1" });
    const xidOf = (of: BranchRef, name = "orders", cluster = CLUSTER): string => formatXid(xidScope(cluster, name), of);
    const prepare = (of: BranchRef, ...statements: SqlStatement[]) =>
      orders.prepare({ ...of, payload: mysqlPayload(statements), epoch: 1 });
    const insert = (n: number): SqlStatement => ({ sql: "insert into item (n) values (?)", params: [n] });
    const numbers = async (sql: string): Promise<number[]> => (await pool.query<RowDataPacket[]>(sql))[0].map((row) => Number(row["n"]));
    const items = (): Promise<number[]> => numbers("select n from item order by n");
    const rowsOf = (of: BranchRef): Promise<number[]> => numbers(`select 1 as n from quorate_outcomes where gid = '${of.gid}'`);
    const prepared = async (): Promise<string[]> =>
      (await pool.query<RowDataPacket[]>("xa recover"))[0]
        .flatMap((row) => rawXid(row) ?? [])
        .map(literalOf)
        .sort();
    const because = (pattern: RegExp) => ({ vote: "no", detail: expect.stringMatching(pattern) as string });
    /** A connection whose end the server has noticed once another one may settle the branch. */
    const byHand = async (sql: string): Promise<void> => {
      await expect
        .poll(
          () =>
            pool.query(sql).then(
              () => "done",
              (error: Error) => error.message,
            ),
          { interval: 5 },
        )
        .toBe("done");
    };

    beforeAll(async () => {
      server = await startMariadb({ settings: { innodb_lock_wait_timeout: "3" } });
      pool = createPool({ uri: server.dsn, connectionLimit: 16, multipleStatements: true });
      await pool.query(
        "create table item (n int primary key) engine = InnoDB; create table tally (id int primary key, n int) engine = InnoDB",
      );
      await pool.query(
        "create table loose (n int) engine = MyISAM; create table quick (n int) engine = MEMORY; create table crash (n int) engine = Aria",
      );
      orders = await open();
    });
    beforeEach(async () => {
      await pool.query("delete from item; delete from tally; insert into tally values (1, 10), (2, 10)");
    });
    afterEach(async () => {
      // Nothing is left behind, and no connection either.
      expect(await prepared()).toEqual([]);
      const [open] = await pool.query<RowDataPacket[]>(
        "select count(*) as n from information_schema.innodb_trx where trx_state <> 'RUNNING' or trx_rows_locked > 0",
      );
      expect(open[0]?.["n"]).toBe(0);
    });
    afterAll(async () => {
      await pool?.end();
      await server?.stop();
    });

    test("decisions get through a small pool that new work would fill while it waits for their locks", async () => {
      const small = createPool({ uri: server.dsn, connectionLimit: 2 });
      try {
        const participant = await open({ name: "small", pool: small, lockTimeoutMs: 5_000 });
        const waits = async (): Promise<number> =>
          (
            await numbers(
              "select variable_value as n from information_schema.global_status where variable_name = 'Innodb_row_lock_current_waits'",
            )
          )[0] ?? 0;
        await decisionsGetThrough(participant, mysqlPayload([{ sql: "update tally set n = n + 1 where id = 1" }]), waits);
        await participant.close();
      } finally {
        await small.end();
      }
    });

    describe("a commit that finds no prepared branch", () => {
      test("is done when somebody committed it by hand: the witness is there", async () => {
        const branch = ref();
        expect(await prepare(branch, insert(1))).toEqual(yes);
        await byHand(`xa commit ${xidOf(branch)}`);
        expect(await orders.commit(branch)).toEqual(done);
        expect(await items()).toEqual([1]);
      });

      test("is a hazard when somebody rolled it back by hand: there is no witness", async () => {
        const branch = ref();
        expect(await prepare(branch, insert(1))).toEqual(yes);
        await byHand(`xa rollback ${xidOf(branch)}`);
        expect(await orders.commit(branch)).toMatchObject({ kind: "heuristic", outcome: "hazard" });
        expect(await items()).toEqual([]);
      });

      test("is rolled back when the mark is there", async () => {
        const branch = ref();
        expect(await prepare(branch, insert(1))).toEqual(yes);
        expect(await orders.rollback(branch)).toEqual(done);
        expect(await orders.commit(branch)).toMatchObject({ kind: "heuristic", outcome: "rolled-back" });
      });

      test("is asked for again, never settled, while the database cannot be reached", async () => {
        const branch = ref();
        expect(await prepare(branch, insert(1))).toEqual(yes);
        let down = false;
        const nowhere = createPool({ host: "127.0.0.1", port: 1, connectTimeout: 1000 });
        const lost = mysql({ name: "orders", pool: { getConnection: () => (down ? nowhere.getConnection() : pool.getConnection()) } });
        await lost.start(CLUSTER);
        down = true;
        await expect(lost.commit(branch)).rejects.toMatchObject({ code: "QUORATE_PARTICIPANT", retry: "safe", gid: branch.gid });
        await expect(lost.rollback(branch)).rejects.toMatchObject({ code: "QUORATE_PARTICIPANT", retry: "safe" });
        await expect(lost.listInDoubt()).rejects.toMatchObject({ code: "QUORATE_PARTICIPANT", retry: "safe" });
        await expect(lost.prepare({ ...ref(), payload: mysqlPayload([insert(2)]), epoch: 1 })).rejects.toMatchObject({ retry: "safe" });
        await expect(lost.begin(ref())).rejects.toMatchObject({ code: "QUORATE_PARTICIPANT" });
        down = false;
        expect(await lost.commit(branch)).toEqual(done);
        await nowhere.end();
      });
    });

    describe("a branch whose preparing connection", () => {
      /** Prepared as a client would that keeps its connection, with the witness in it. */
      const hold = async (branch: BranchRef, n: number) => {
        const connection = await pool.getConnection();
        await connection.query(`xa start ${xidOf(branch)}`);
        await connection.query(`insert into item values (${n})`);
        await connection.query(
          `insert into quorate_outcomes values (${parseInt(branch.gid.slice(2, 14), 16)}, '${branch.gid}', '${branch.branch}', 'orders', 'committed')`,
        );
        await connection.query(`xa end ${xidOf(branch)}`);
        await connection.query(`xa prepare ${xidOf(branch)}`);
        return connection;
      };

      test("is alive is neither lost nor done: commit and roll back are asked for again", async () => {
        const branch = ref();
        const connection = await hold(branch, 1);
        expect(await orders.listInDoubt()).toEqual([branch]);
        await expect(orders.commit(branch)).rejects.toMatchObject({
          retry: "safe",
          message: expect.stringMatching(/still holds it/) as string,
        });
        await expect(orders.rollback(branch)).rejects.toMatchObject({ retry: "safe" });
        await expect(orders.commitOnePhase({ ...branch, payload: mysqlPayload([insert(9)]), epoch: 1 })).rejects.toMatchObject({
          retry: "safe",
        });
        expect(await prepare(branch, insert(9))).toEqual(yes);
        connection.destroy();
        expect(await orders.commit(branch)).toEqual(done);
        expect(await items()).toEqual([1]);
      });

      test("ends while it is asked: the commit waits for that, and finds it", async () => {
        const branch = ref();
        const connection = await hold(branch, 2);
        const settled = orders.commit(branch);
        setTimeout(() => connection.destroy(), 50);
        expect(await settled).toEqual(done);
        expect(await items()).toEqual([2]);
      });

      test("was reset loses its work though the server says it is committed: the trap that closing avoids", async () => {
        const branch = ref();
        const connection = await hold(branch, 3);
        await (connection as unknown as { reset(): Promise<void> }).reset();
        await pool.query(`xa commit ${xidOf(branch)}`);
        expect(await items()).toEqual([]);
        connection.destroy();
        await server.kill9();
        await server.restart();
        await orders.rollback(branch);
      });
    });

    describe("foreign prepared branches", () => {
      test("of no Quorate, of another participant or cluster are never listed and never touched", async () => {
        const other = await open({ name: "orders-2" });
        const mine = ref();
        const theirs = ref();
        expect(await prepare(mine, insert(1))).toEqual(yes);
        expect(await other.prepare({ ...theirs, payload: mysqlPayload([insert(2)]), epoch: 1 })).toEqual(yes);
        const same = xidOf(mine);
        const foreign = [
          "'by-hand','',1",
          xidOf(ref(), "orders", "another cluster"),
          // Two ids that differ in nothing but the format are one to MariaDB.
          xidOf(ref()).replace(/\d+$/, "7"),
          same.replace(/'[^']*',(\d+)$/, "'orders.nonsense.x',$1"),
        ].sort();
        for (const [i, xid] of foreign.entries()) {
          const connection = await pool.getConnection();
          await connection.query(`xa start ${xid}; insert into item values (${10 + i}); xa end ${xid}; xa prepare ${xid}`);
          connection.destroy();
        }
        expect(await orders.listInDoubt()).toEqual([mine]);
        expect(await other.listInDoubt()).toEqual([theirs]);
        expect(await orders.commit(mine)).toEqual(done);
        expect(await other.rollback(theirs)).toEqual(done);
        expect(await prepared()).toEqual(foreign);
        for (const xid of foreign) await byHand(`xa rollback ${xid}`);
      });

      test("are listed by age: a scan leaves out what was prepared just now", async () => {
        const branch = ref();
        expect(await prepare(branch, insert(1))).toEqual(yes);
        expect(await orders.listInDoubt({ olderThanMs: 50 })).toEqual([]);
        await new Promise((resolve) => setTimeout(resolve, 60));
        expect(await orders.listInDoubt({ olderThanMs: 50 })).toEqual([branch]);
        expect(await orders.rollback(branch)).toEqual(done);
      });
    });

    describe("asked work", () => {
      test("votes no with the database's own words", async () => {
        await pool.query("insert into item values (7)");
        expect(await prepare(ref(), insert(7))).toEqual(because(/Duplicate entry '7' for key 'PRIMARY' \(error 1062\)/));
        expect(await prepare(ref(), { sql: "selec 1" })).toEqual(because(/syntax/));
        expect(await prepare(ref(), { sql: "insert into nowhere values (1)" })).toEqual(because(/'quorate\.nowhere' doesn't exist/));
      });

      test("votes no when a statement does not affect the rows it must, and undoes those before it", async () => {
        const take = { sql: "update tally set n = n - ? where id = ? and n >= ?", params: [11, 1, 11], rows: 1 };
        expect(await prepare(ref(), insert(1), take)).toEqual(because(/was to affect 1 rows and affected 0/));
        expect(await items()).toEqual([]);
      });

      test.each(["loose", "quick", "crash"])(
        "votes no when it changed a table without transactions (%s), and says what is not undone",
        async (table) => {
          const branch = ref();
          expect(await prepare(branch, insert(1), { sql: `insert into ${table} values (1)` })).toEqual(
            because(/engine cannot roll back with it.*is not undone: use InnoDB/),
          );
          expect([await items(), await rowsOf(branch)]).toEqual([[], []]);
          expect((await numbers(`select n from ${table}`)).length).toBe(1);
          expect(await prepare(ref(), { sql: `insert into ${table} values (2)` }, { sql: "selec" })).toEqual(
            because(/syntax.*is not undone/),
          );
          expect(await prepare(ref(), { sql: "create temporary table t (n int)" })).toEqual(because(/temporary table/));
        },
      );

      test("cannot end its transaction: in one statement, hidden behind another, or by what commits implicitly", async () => {
        const branch = ref();
        const hidden = Buffer.from(JSON.stringify([insert(1), { sql: "/* x */ commit" }]));
        expect(await orders.prepare({ ...branch, payload: hidden, epoch: 1 })).toEqual(because(/COMMIT is not allowed/));
        expect(await prepare(branch, insert(1), { sql: "select 1; commit" })).toEqual(because(/syntax/));
        await pool.query("create or replace procedure ends() begin commit; end");
        for (const sql of ["call ends()", "create table implicit (n int)", "truncate item", "alter table item add m int", "flush tables"])
          expect(await prepare(branch, insert(1), { sql })).toEqual(because(/would end the transaction of the branch.*ACTIVE state/));
        expect([await items(), await rowsOf(branch)]).toEqual([[], []]);
      });

      test("that takes too long or waits too long for a lock votes no in time, and its connection is as it was before", async () => {
        const single = createPool({ uri: server.dsn, connectionLimit: 1 });
        await single.query("set innodb_lock_wait_timeout = 33, max_statement_time = 44");
        const hasty = await open({ pool: single, statementTimeoutMs: 200 });
        const ask = (sql: string) => hasty.prepare({ ...ref(), payload: mysqlPayload([{ sql }]), epoch: 1 });
        expect(await ask("select sleep(30)")).toEqual(because(/max_statement_time exceeded/));
        const [rows] = await single.query<RowDataPacket[]>("select @@innodb_lock_wait_timeout as a, @@max_statement_time as b");
        expect(rows).toEqual([{ a: 33, b: 44 }]);
        await single.end();
        const holder = ref();
        expect(await prepare(holder, { sql: "update tally set n = 1 where id = 1" })).toEqual(yes);
        expect(await prepare(ref(), { sql: "update tally set n = 2 where id = 1" })).toEqual(because(/Lock wait timeout exceeded/));
        expect(await orders.rollback(holder)).toEqual(done);
      });

      test("that is the victim of a deadlock votes no and leaves nothing", async () => {
        const [one, two] = [ref(), ref()];
        const both = (first: number, second: number): SqlStatement[] => [
          { sql: "update tally set n = n + 1 where id = ?", params: [first] },
          { sql: "select sleep(0.3)" },
          { sql: "update tally set n = n + 1 where id = ?", params: [second] },
        ];
        const votes = await Promise.all([prepare(one, ...both(1, 2)), prepare(two, ...both(2, 1))]);
        expect(votes.map(({ vote }) => vote).sort()).toEqual(["no", "yes"]);
        expect(votes).toContainEqual(because(/Deadlock found/));
        const [winner, victim] = votes[0]?.vote === "yes" ? [one, two] : [two, one];
        expect(await orders.commit(winner)).toEqual(done);
        expect(await orders.rollback(victim)).toEqual(done);
        expect(await numbers("select n from tally order by id")).toEqual([11, 11]);
      });

      test("of a repeated prepare in another process waits for the first and is not done twice", async () => {
        const second = await open();
        for (let i = 0; i < 5; i++) {
          const branch = ref();
          const payload = mysqlPayload([{ sql: "update tally set n = n + 1 where id = 2" }]);
          const votes = await Promise.allSettled([orders, second].map((each) => each.prepare({ ...branch, payload, epoch: 1 })));
          for (const vote of votes) if (vote.status === "fulfilled") expect(vote.value).toEqual(yes);
          expect(votes.some((vote) => vote.status === "fulfilled")).toBe(true);
          const settled = await Promise.all([second.commit(branch), orders.commit(branch)]);
          expect(settled).toEqual([done, done]);
        }
        expect(await numbers("select n from tally where id = 2")).toEqual([15]);
      });

      test("of an epoch that another instance has seen overtaken is refused", async () => {
        const [first, second] = [await open({ name: "fenced" }), await open({ name: "fenced" })];
        const at = (epoch: number, n: number) => ({ ...ref(), payload: mysqlPayload([insert(n)]), epoch });
        const newer = at(7, 1);
        expect(await first.prepare(newer)).toEqual(yes);
        expect(await second.prepare(at(6, 2))).toEqual(because(/fenced: the call is of epoch 6, and epoch 7 was seen/));
        expect(await second.commit(newer)).toEqual(done);
        expect(await items()).toEqual([1]);
      });

      test("whose names have no room in an id votes no with the limit, is refused for ever in one phase, and can be rolled back", async () => {
        const long = { gid: ref().gid, branch: "b".repeat(48) };
        const wide = await open({ name: "p".repeat(16) });
        const request = { ...long, payload: mysqlPayload([insert(1)]), epoch: 1 };
        expect(await wide.prepare(request)).toEqual(because(/64 characters together.*room for 63/));
        await expect(wide.begin(long)).rejects.toMatchObject({ code: "QUORATE_INVALID_ARGUMENT" });
        expect(await wide.commitOnePhase(request)).toMatchObject({ kind: "refused" });
        expect(await wide.rollback(long)).toEqual(done);
        expect(await wide.commit(long)).toMatchObject({ kind: "heuristic", outcome: "rolled-back" });
      });
    });

    describe("a one-phase commit", () => {
      const once = (of: BranchRef, ...statements: SqlStatement[]) =>
        orders.commitOnePhase({ ...of, payload: mysqlPayload(statements), epoch: 1 });

      test("refuses what cannot be done for ever, and a prepare after it", async () => {
        const branch = ref();
        const take = { sql: "update tally set n = n - 11 where id = 1 and n >= 11", rows: 1 };
        expect(await once(branch, take)).toMatchObject({ kind: "refused" });
        await pool.query("update tally set n = 100");
        expect(await once(branch, take)).toMatchObject({ kind: "refused" });
        expect(await prepare(branch, take)).toEqual(because(/rolled back before/));
        expect(await numbers("select n from tally order by id")).toEqual([100, 100]);
      });

      test("refuses a table without transactions and what would commit in between", async () => {
        expect(await once(ref(), insert(1), { sql: "insert into loose values (5)" })).toMatchObject({ kind: "refused" });
        expect(await once(ref(), insert(1), { sql: "create table implicit (n int)" })).toMatchObject({ kind: "refused" });
        expect(await items()).toEqual([]);
      });

      test("that races with itself in two processes is done once", async () => {
        const second = await open();
        const branch = ref();
        const request = { ...branch, payload: mysqlPayload([{ sql: "update tally set n = n + 1 where id = 1" }]), epoch: 1 };
        const results = await Promise.allSettled([orders.commitOnePhase(request), second.commitOnePhase(request)]);
        for (const result of results) if (result.status === "fulfilled") expect(result.value).toEqual({ kind: "committed" });
        expect(await orders.commitOnePhase(request)).toEqual({ kind: "committed" });
        expect(await numbers("select n from tally where id = 1")).toEqual([11]);
      });
    });

    describe("forgetting", () => {
      test("drops rows below the floor, only this participant's, and does not wait for prepared branches", async () => {
        const [mine, theirs] = [await open({ name: "mine" }), await open({ name: "theirs" })];
        const rows = async (name: string): Promise<number> =>
          (await numbers(`select 1 as n from quorate_outcomes where participant = '${name}'`)).length;
        for (let i = 0; i < 5; i++) expect(await mine.rollback(ref(1000 + i))).toEqual(done);
        expect(await theirs.rollback(ref(1000))).toEqual(done);
        const held = ref(1001);
        expect(await mine.prepare({ ...held, payload: mysqlPayload([insert(1)]), epoch: 1 })).toEqual(yes);
        const start = performance.now();
        await mine.forgetBelow(1004);
        expect(performance.now() - start).toBeLessThan(5000);
        expect([await rows("mine"), await rows("theirs")]).toEqual([1, 1]);
        expect(await mine.prepare({ ...ref(1003), payload: mysqlPayload([insert(1)]), epoch: 1 })).toEqual(because(/^expired/));
        expect(await mine.commit(held)).toEqual(done);
        await mine.forgetBelow(1004);
        expect(await mine.commit(held)).toEqual(done);
        expect(await rows("mine")).toBe(1);
        await expect(mine.forgetBelow(Number.NaN)).rejects.toMatchObject({ code: "QUORATE_INVALID_ARGUMENT" });
      });
    });

    test.each([{}, { log_bin: "binlog", sync_binlog: "1" }])(
      "a server killed under load keeps every yes and nothing else (%j)",
      async (settings) => {
        await server.restart(settings);
        const votes = new Map<string, { branch: BranchRef; vote: string | undefined }>();
        let stop = false;
        let n = 0;
        const worker = async (): Promise<void> => {
          while (!stop) {
            const branch = ref();
            const entry: { branch: BranchRef; vote: string | undefined } = { branch, vote: undefined };
            votes.set(xidOf(branch), entry);
            const mine = ++n;
            try {
              entry.vote = (await prepare(branch, insert(mine + 1_000_000))).vote;
              if (entry.vote === "yes" && mine % 2 === 0) {
                entry.vote = "unknown";
                if ((await orders.commit(branch)).kind === "done") entry.vote = "committed";
              }
            } catch {
              return;
            }
          }
        };
        const workers = Array.from({ length: 6 }, worker);
        await expect.poll(() => votes.size, { timeout: 20_000, interval: 5 }).toBeGreaterThan(40);
        await server.kill9();
        stop = true;
        await server.restart();
        await Promise.all(workers);
        const left = new Set(await prepared());
        const [outcomes] = await pool.query<RowDataPacket[]>("select gid from quorate_outcomes where outcome = 'committed'");
        const present = new Set(outcomes.map((row) => String(row["gid"])));
        for (const [xid, { branch, vote }] of votes) {
          if (vote === "yes") expect(left.has(xid)).toBe(true);
          if (vote === "committed") expect([left.has(xid), present.has(branch.gid)]).toEqual([false, true]);
          if (vote === "no") expect(left.has(xid)).toBe(false);
        }
        expect([...votes.values()].filter((entry) => entry.vote === "yes" || entry.vote === "committed").length).toBeGreaterThan(10);
        const inDoubt = await orders.listInDoubt();
        expect(new Set(inDoubt.map((branch) => xidOf(branch)))).toEqual(left);
        const committed = inDoubt.slice(0, 3);
        for (const branch of committed) expect(await orders.commit(branch)).toEqual(done);
        for (const branch of inDoubt.slice(3)) expect(await orders.rollback(branch)).toEqual(done);
        for (const branch of committed) expect(await rowsOf(branch)).toEqual([1]);
      },
    );
  }),
);
