import { Pool } from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { newGid, Prng } from "../../../src/base/index.js";
import type { BranchRef } from "../../../src/participant/index.js";
import {
  formatXid,
  postgres,
  postgresPayload,
  xidPrefix,
  type PostgresOptions,
  type PostgresParticipant,
  type SqlStatement,
} from "../../../src/participant/postgres/index.js";
import { startPostgres, type PostgresServer } from "../../../src/testing/index.js";
import { withPostgres } from "../../testing/with-postgres.js";
import { decisionsGetThrough } from "../small-pool.js";
import { CuttingProxy } from "./cutting-proxy.js";

const random = new Prng("postgres").uint32;
const CLUSTER = "cluster";
const done = { kind: "done" };
const yes = { vote: "yes", detail: "" };

withPostgres(() =>
  describe("PostgreSQL", () => {
    let server: PostgresServer;
    let pool: Pool;
    let orders: PostgresParticipant;

    const open = async (options: Partial<PostgresOptions> = {}): Promise<PostgresParticipant> => {
      const participant = postgres({ name: "orders", pool, lockTimeoutMs: 300, ...options });
      await participant.start(CLUSTER);
      return participant;
    };
    const ref = (timeMs = Date.now()): BranchRef => ({ gid: newGid(timeMs, random), branch: "b1" });
    const xidOf = (of: BranchRef, name = "orders"): string => formatXid(xidPrefix(CLUSTER, name), of);
    const prepare = (of: BranchRef, ...statements: SqlStatement[]) =>
      orders.prepare({ ...of, payload: postgresPayload(statements), epoch: 1 });
    const insert = (n: number): SqlStatement => ({ sql: "insert into item (n) values ($1)", params: [n] });
    const items = async (): Promise<number[]> =>
      (await pool.query<{ n: number }>("select n from item order by n")).rows.map((row) => row.n);
    const prepared = async (): Promise<string[]> =>
      (await pool.query<{ gid: string }>("select gid from pg_prepared_xacts order by gid")).rows.map((row) => row.gid);
    const because = (pattern: RegExp) => ({ vote: "no", detail: expect.stringMatching(pattern) as string });

    beforeAll(async () => {
      server = await startPostgres();
      pool = new Pool({ connectionString: server.dsn, max: 12 });
      pool.on("error", () => undefined);
      await pool.query(
        "create table item (n int primary key); create table lazy (n int unique deferrable initially deferred); create table tally (id int primary key, n int)",
      );
      orders = await open();
    });
    beforeEach(async () => {
      await pool.query("truncate item, lazy, tally; insert into tally values (1, 10), (2, 10)");
    });
    afterAll(async () => {
      // Every connection that was borrowed came back.
      expect(pool.idleCount).toBe(pool.totalCount);
      await pool?.end();
      await server?.stop();
    });

    test("decisions get through a small pool that new work would fill while it waits for their locks", async () => {
      const small = new Pool({ connectionString: server.dsn, max: 2 });
      try {
        const participant = await open({ name: "small", pool: small, lockTimeoutMs: 5_000 });
        const waits = async (): Promise<number> =>
          Number((await pool.query<{ n: string }>("select count(*) as n from pg_stat_activity where wait_event_type = 'Lock'")).rows[0]?.n);
        await decisionsGetThrough(participant, postgresPayload([{ sql: "update tally set n = n + 1 where id = 1" }]), waits);
        await participant.close();
      } finally {
        await small.end();
      }
    });

    describe("a commit that finds no prepared transaction", () => {
      test("is done when somebody committed it by hand: the witness is there", async () => {
        const branch = ref();
        expect(await prepare(branch, insert(1))).toEqual(yes);
        await pool.query(`commit prepared '${xidOf(branch)}'`);
        expect(await orders.commit(branch)).toEqual(done);
        expect(await items()).toEqual([1]);
      });

      test("is a hazard when somebody rolled it back by hand: there is no witness", async () => {
        const branch = ref();
        expect(await prepare(branch, insert(1))).toEqual(yes);
        await pool.query(`rollback prepared '${xidOf(branch)}'`);
        expect(await orders.commit(branch)).toMatchObject({ kind: "heuristic", outcome: "hazard" });
        expect(await items()).toEqual([]);
      });

      test("is asked for again, never settled, while the database cannot be reached", async () => {
        const branch = ref();
        expect(await prepare(branch, insert(1))).toEqual(yes);
        let down = false;
        const nowhere = new Pool({ host: "127.0.0.1", port: 1, connectionTimeoutMillis: 1000 });
        const lost = postgres({ name: "orders", pool: { connect: () => (down ? nowhere.connect() : pool.connect()) } });
        await lost.start(CLUSTER);
        down = true;
        await expect(lost.commit(branch)).rejects.toMatchObject({ code: "QUORATE_PARTICIPANT", retry: "safe", gid: branch.gid });
        await expect(lost.rollback(branch)).rejects.toMatchObject({ code: "QUORATE_PARTICIPANT", retry: "safe" });
        await expect(lost.listInDoubt()).rejects.toMatchObject({ code: "QUORATE_PARTICIPANT", retry: "safe" });
        await expect(lost.prepare({ ...ref(), payload: postgresPayload([insert(2)]), epoch: 1 })).rejects.toMatchObject({
          code: "QUORATE_PARTICIPANT",
        });
        await expect(lost.begin(ref())).rejects.toMatchObject({ code: "QUORATE_PARTICIPANT" });
        down = false;
        expect(await lost.commit(branch)).toEqual(done);
        await nowhere.end();
      });
    });

    describe("foreign prepared transactions", () => {
      test("of no Quorate, of another participant, cluster or database are never listed and never touched", async () => {
        const other = await open({ name: "orders-2" });
        const mine = ref();
        const theirs = ref();
        const elsewhere = ref();
        expect(await prepare(mine, insert(1))).toEqual(yes);
        expect(await other.prepare({ ...theirs, payload: postgresPayload([insert(2)]), epoch: 1 })).toEqual(yes);
        const foreign = ["by-hand", formatXid(xidPrefix("another cluster", "orders"), ref()), `${xidPrefix(CLUSTER, "orders")}nonsense`];
        for (const [i, xid] of foreign.entries())
          await pool.query(`begin; insert into item values (${10 + i}); prepare transaction '${xid}'`);
        await pool.query("create database elsewhere");
        const away = new Pool({ connectionString: server.dsn.replace(/postgres$/, "elsewhere") });
        await away.query(`begin; create table t (); prepare transaction '${xidOf(elsewhere)}'`);
        expect(await orders.listInDoubt()).toEqual([mine]);
        expect(await other.listInDoubt()).toEqual([theirs]);
        expect(await orders.commit(mine)).toEqual(done);
        expect(await other.rollback(theirs)).toEqual(done);
        expect(await prepared()).toEqual([...foreign, xidOf(elsewhere)].sort());
        for (const xid of foreign) await pool.query(`rollback prepared '${xid}'`);
        await away.query(`rollback prepared '${xidOf(elsewhere)}'`);
        await away.end();
        await pool.query("drop database elsewhere");
      });

      test("are listed by age: a scan leaves out what was prepared just now", async () => {
        const branch = ref();
        expect(await prepare(branch, insert(1))).toEqual(yes);
        expect(await orders.listInDoubt({ olderThanMs: 60_000 })).toEqual([]);
        expect(await orders.listInDoubt({ olderThanMs: 0 })).toEqual([branch]);
        expect(await orders.rollback(branch)).toEqual(done);
      });
    });

    describe("asked work", () => {
      test("votes no with the database's own words", async () => {
        await pool.query("insert into item values (7)");
        expect(await prepare(ref(), insert(7))).toEqual(
          because(/duplicate key value.*"item_pkey"; Key \(n\)=\(7\) already exists\. \(SQLSTATE 23505\)/),
        );
        expect(await prepare(ref(), { sql: "selec 1" })).toEqual(because(/syntax error/));
        expect(await prepare(ref(), { sql: "insert into nowhere values (1)" })).toEqual(because(/"nowhere" does not exist/));
        expect(await prepared()).toEqual([]);
      });

      test("votes no when a statement does not affect the rows it must, and undoes those before it", async () => {
        const take = { sql: "update tally set n = n - $1 where id = $2 and n >= $1", params: [11, 1], rows: 1 };
        expect(await prepare(ref(), insert(1), take)).toEqual(because(/was to affect 1 rows and affected 0/));
        expect(await items()).toEqual([]);
      });

      test("votes no when a constraint fails only at PREPARE TRANSACTION", async () => {
        await pool.query("insert into lazy values (1)");
        expect(await prepare(ref(), { sql: "insert into lazy values (1)" })).toEqual(because(/"lazy_n_key"/));
        expect(await prepared()).toEqual([]);
      });

      test("votes no on what PostgreSQL cannot prepare", async () => {
        expect(await prepare(ref(), { sql: "create temp table t (n int)" })).toEqual(
          because(/cannot PREPARE a transaction that has operated on temporary objects/),
        );
        expect(await prepare(ref(), { sql: "listen news" })).toEqual(because(/cannot PREPARE a transaction that has executed LISTEN/));
        expect(await prepared()).toEqual([]);
      });

      test("cannot end its transaction, in one statement or hidden behind another", async () => {
        const branch = ref();
        const hidden = Buffer.from(JSON.stringify([insert(1), { sql: "/* x */ commit" }]));
        expect(await orders.prepare({ ...branch, payload: hidden, epoch: 1 })).toEqual(because(/COMMIT is not allowed/));
        expect(await prepare(branch, insert(1), { sql: "select 1; commit" })).toEqual(because(/multiple commands/));
        await pool.query("create procedure ends() language plpgsql as $$ begin commit; end $$");
        expect(await prepare(branch, insert(1), { sql: "call ends()" })).toEqual(because(/invalid transaction termination/));
        expect(await items()).toEqual([]);
        expect((await pool.query("select 1 from quorate_outcomes where gid = $1", [branch.gid])).rowCount).toBe(0);
      });

      test("that takes too long or waits too long for a lock votes no in time", async () => {
        const hasty = await open({ statementTimeoutMs: 200 });
        const payload = postgresPayload([{ sql: "select pg_sleep(30)" }]);
        expect(await hasty.prepare({ ...ref(), payload, epoch: 1 })).toEqual(because(/statement timeout/));
        const holder = ref();
        expect(await prepare(holder, { sql: "update tally set n = 1 where id = 1" })).toEqual(yes);
        expect(await prepare(ref(), { sql: "update tally set n = 2 where id = 1" })).toEqual(because(/lock timeout/));
        expect(await orders.rollback(holder)).toEqual(done);
      });

      test("of a repeated prepare in another process waits for the first and is not done twice", async () => {
        const second = await open();
        for (let i = 0; i < 5; i++) {
          const branch = ref();
          const payload = postgresPayload([{ sql: "update tally set n = n + 1 where id = 2" }]);
          const votes = await Promise.allSettled([orders, second].map((each) => each.prepare({ ...branch, payload, epoch: 1 })));
          for (const vote of votes) if (vote.status === "fulfilled") expect(vote.value).toEqual(yes);
          expect(votes.some((vote) => vote.status === "fulfilled")).toBe(true);
          expect(await second.commit(branch)).toEqual(done);
          expect(await orders.commit(branch)).toEqual(done);
        }
        expect((await pool.query("select n from tally where id = 2")).rows).toEqual([{ n: 15 }]);
      });

      test("of an epoch that another instance has seen overtaken is refused", async () => {
        const [first, second] = [await open({ name: "fenced" }), await open({ name: "fenced" })];
        const at = (epoch: number, n: number) => ({ ...ref(), payload: postgresPayload([insert(n)]), epoch });
        const newer = at(7, 1);
        expect(await first.prepare(newer)).toEqual(yes);
        expect(await second.prepare(at(6, 2))).toEqual(because(/fenced: the call is of epoch 6, and epoch 7 was seen/));
        expect(await second.commit(newer)).toEqual(done);
        expect(await items()).toEqual([1]);
      });
    });

    describe("a brought branch", () => {
      test("whose function ended the transaction itself votes no and says so", async () => {
        for (const end of ["commit", "rollback", "commit; begin"]) {
          const held = await orders.begin(ref());
          await held.handle.query("insert into item values (floor(random() * 1e9)::int)");
          await held.handle.query(end);
          expect(await held.prepare()).toEqual(because(/ended inside the branch, by COMMIT or ROLLBACK/));
        }
        expect(await prepared()).toEqual([]);
      });

      test("whose function ended the transaction behind its back is not taken for one that only wrote", async () => {
        const branch = ref();
        const held = await orders.begin(branch);
        await held.handle.query("insert into item values (1)");
        const ending = held.handle.query("rollback");
        expect(await held.prepare()).toEqual(because(/ended inside the branch/));
        await ending;
        expect(await prepared()).toEqual([]);
        expect((await pool.query("select 1 from quorate_outcomes where gid = $1", [branch.gid])).rowCount).toBe(0);
      });

      test("that went back to a savepoint is prepared with what is left", async () => {
        const branch = ref();
        const held = await orders.begin(branch);
        await held.handle.query("insert into item values (1)");
        await held.handle.query("savepoint before");
        await expect(held.handle.query("insert into item values (1)")).rejects.toMatchObject({ code: "23505" });
        await held.handle.query("rollback to before");
        await held.handle.query("insert into item values (2); insert into item values (3)");
        expect(await held.prepare()).toEqual(yes);
        expect(await orders.commit(branch)).toEqual(done);
        expect(await items()).toEqual([1, 2, 3]);
      });

      test("with a failed statement votes no with the first failure, even when the function swallowed it", async () => {
        const held = await orders.begin(ref());
        await held.handle.query("insert into item values (1)");
        await expect(held.handle.query("insert into item values (1)")).rejects.toMatchObject({ code: "23505" });
        await expect(held.handle.query("select 1")).rejects.toMatchObject({ code: "25P02" });
        expect(await held.prepare()).toEqual(because(/^a statement failed: duplicate key value/));
        expect(await items()).toEqual([]);
      });

      test("takes queries that were not awaited with it, and refuses those that come too late", async () => {
        const branch = ref();
        const held = await orders.begin(branch);
        const pending = held.handle.query("insert into item values ($1)", [3]);
        expect(await held.prepare()).toEqual(yes);
        await pending;
        await expect(held.handle.query("select 1")).rejects.toMatchObject({ code: "QUORATE_WRONG_STATE", gid: branch.gid });
        expect(await orders.commit(branch)).toEqual(done);
        expect(await items()).toEqual([3]);
      });

      test("runs in the isolation asked for, and its serialization failures are a no", async () => {
        const strict = await open({ isolation: "serializable" });
        const [one, two] = [await strict.begin(ref()), await strict.begin(ref())];
        for (const [held, id] of [
          [one, 1],
          [two, 2],
        ] as const) {
          await held.handle.query("select sum(n) from tally");
          await held.handle.query("update tally set n = n - 15 where id = $1", [id]);
        }
        const votes = [await one.prepare(), await two.prepare()];
        expect(votes[0]).toEqual(yes);
        expect(votes[1]).toEqual(because(/could not serialize access.*40001/));
        await one.rollback();
      });

      test("that only read keeps nothing; one that locked rows has something to keep", async () => {
        const reader = await orders.begin(ref());
        await reader.handle.query("select * from tally");
        await reader.handle.query("update tally set n = 0 where id = 99");
        expect(await reader.prepare()).toEqual({ vote: "read-only", detail: "" });
        const branch = ref();
        const locker = await orders.begin(branch);
        await locker.handle.query("select * from tally where id = 1 for update");
        expect(await locker.prepare()).toEqual(yes);
        expect(await orders.rollback(branch)).toEqual(done);
      });

      test("whose session is killed votes no: the server has rolled it back", async () => {
        const held = await orders.begin(ref());
        await held.handle.query("insert into item values (1)");
        const { rows } = await held.handle.query<{ pid: number }>("select pg_backend_pid() as pid");
        await pool.query("select pg_terminate_backend($1)", [rows[0]?.pid]);
        expect((await held.prepare()).vote).toBe("no");
        expect(await items()).toEqual([]);
        expect(await prepared()).toEqual([]);
      });

      test("is refused below the floor", async () => {
        const bounded = await open({ name: "bounded" });
        await bounded.forgetBelow(5000);
        const held = await bounded.begin(ref(4999));
        await held.handle.query("insert into item values (1)");
        expect(await held.prepare()).toEqual(because(/^expired/));
        const above = ref(5000);
        const next = await bounded.begin(above);
        await next.handle.query("insert into item values (1)");
        expect(await next.prepare()).toEqual(yes);
        expect(await bounded.rollback(above)).toEqual(done);
      });
    });

    describe("a connection lost during PREPARE TRANSACTION", () => {
      let proxy: CuttingProxy;
      let shaky: PostgresParticipant;
      let through: Pool;
      beforeAll(async () => {
        proxy = await CuttingProxy.start(server);
        through = new Pool({ connectionString: server.dsn.replace(`:${server.port}/`, `:${proxy.port}/`), max: 4 });
        through.on("error", () => undefined);
        shaky = await open({ name: "shaky", pool: through });
      });
      afterAll(async () => {
        await through?.end();
        await proxy?.stop();
      });

      const bring = async (branch: BranchRef, n: number) => {
        const held = await shaky.begin(branch);
        await held.handle.query("insert into item values ($1)", [n]);
        return held.prepare();
      };
      const ask = (branch: BranchRef, n: number) => shaky.prepare({ ...branch, payload: postgresPayload([insert(n)]), epoch: 1 });

      test.each([
        ["brought", bring],
        ["asked", ask],
      ])("before the server saw it is a no for ever (%s)", async (_, vote) => {
        const branch = ref();
        proxy.cut = "before";
        expect(await vote(branch, 1)).toEqual(because(/connection was lost before the branch was prepared/));
        expect(await prepared()).toEqual([]);
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

      test("a second client with the same gid does not touch what the first one prepared", async () => {
        const branch = ref();
        const first = await orders.begin(branch);
        await first.handle.query("insert into item values (1)");
        expect(await first.prepare()).toEqual(yes);
        const same = await open({ name: "orders", pool: through });
        const second = await same.begin(branch);
        await second.handle.query("insert into item values (2)");
        const vote = second.prepare();
        // It waits for the first one's row when its connection goes.
        await expect.poll(async () => (await pool.query("select 1 from pg_stat_activity where wait_event_type = 'Lock'")).rowCount).toBe(1);
        await pool.query("select pg_terminate_backend(pid) from pg_stat_activity where wait_event_type = 'Lock'");
        await expect(vote).rejects.toMatchObject({ code: "QUORATE_PARTICIPANT" });
        await second.rollback();
        expect(await prepared()).toEqual([xidOf(branch, "orders")]);
        expect(await orders.commit(branch)).toEqual(done);
        expect(await items()).toEqual([1]);
      });

      test("after the server did it is a yes (asked)", async () => {
        const branch = ref();
        proxy.cut = "after";
        expect(await ask(branch, 1)).toEqual(yes);
        expect(await prepared()).toEqual([xidOf(branch, "shaky")]);
        expect(await shaky.commit(branch)).toEqual(done);
        expect(await items()).toEqual([1]);
      });

      test("with the message still on its way is a no, and the message finds the mark when it arrives", async () => {
        const branch = ref();
        proxy.cut = "delivered-late";
        expect(await bring(branch, 1)).toEqual(because(/connection was lost/));
        proxy.deliver();
        // The server has read the late message once its session is idle in a failed transaction.
        await expect
          .poll(async () => (await pool.query("select 1 from pg_stat_activity where state = 'idle in transaction (aborted)'")).rowCount, {
            timeout: 5000,
          })
          .toBe(1);
        expect(await prepared()).toEqual([]);
        expect(await shaky.commit(branch)).toMatchObject({ kind: "heuristic", outcome: "rolled-back" });
        await pool.query("select pg_terminate_backend(pid) from pg_stat_activity where state = 'idle in transaction (aborted)'");
      });
    });

    describe("forgetting", () => {
      test("drops rows below the floor once nobody can have missed it, and only this participant's", async () => {
        const [mine, theirs] = [await open({ name: "mine" }), await open({ name: "theirs" })];
        const rows = async (name: string): Promise<number> =>
          (await pool.query("select 1 from quorate_outcomes where participant = $1", [name])).rowCount ?? 0;
        for (let i = 0; i < 5; i++) expect(await mine.rollback(ref(1000 + i))).toEqual(done);
        expect(await theirs.rollback(ref(1000))).toEqual(done);
        // A transaction that began before the floor was stored.
        const old = await orders.begin(ref());
        await old.handle.query("insert into item values (1)");
        await mine.forgetBelow(1004);
        await mine.forgetBelow(1004);
        expect(await rows("mine")).toBe(5);
        await old.rollback();
        await mine.forgetBelow(1004);
        expect([await rows("mine"), await rows("theirs")]).toEqual([1, 1]);
        expect(await mine.prepare({ ...ref(1003), payload: postgresPayload([insert(1)]), epoch: 1 })).toEqual(because(/^expired/));
        await expect(mine.forgetBelow(Number.NaN)).rejects.toMatchObject({ code: "QUORATE_INVALID_ARGUMENT" });
      });
    });

    test("a server killed under load keeps every yes and nothing else", async () => {
      const votes = new Map<string, { branch: BranchRef; vote: string | undefined }>();
      let stop = false;
      let n = 0;
      const worker = async (): Promise<void> => {
        while (!stop) {
          const branch = ref();
          const entry: { branch: BranchRef; vote: string | undefined } = { branch, vote: undefined };
          votes.set(xidOf(branch), entry);
          try {
            entry.vote = (await prepare(branch, insert(++n + 1_000_000))).vote;
            if (entry.vote === "yes" && n % 2 === 0) {
              if ((await orders.commit(branch)).kind === "done") entry.vote = "committed";
            }
          } catch {
            // Could not tell.
            if (entry.vote === "yes") entry.vote = undefined;
            return;
          }
        }
      };
      const workers = Array.from({ length: 6 }, worker);
      await expect.poll(() => votes.size, { timeout: 10_000, interval: 5 }).toBeGreaterThan(40);
      await server.kill9();
      stop = true;
      await server.restart();
      await Promise.all(workers);
      const left = new Set(await prepared());
      const present = new Set(
        (await pool.query<{ gid: string }>("select gid from quorate_outcomes where outcome = 'committed'")).rows.map((row) => row.gid),
      );
      for (const [xid, { branch, vote }] of votes) {
        if (vote === "yes") expect(left.has(xid)).toBe(true);
        if (vote === "committed") expect([left.has(xid), present.has(branch.gid)]).toEqual([false, true]);
        if (vote === "no") expect(left.has(xid)).toBe(false);
      }
      expect([...votes.values()].filter((entry) => entry.vote === "yes" || entry.vote === "committed").length).toBeGreaterThan(10);
      const inDoubt = await orders.listInDoubt();
      expect(new Set(inDoubt.map((branch) => xidOf(branch)))).toEqual(left);
      for (const branch of inDoubt) expect(await orders.rollback(branch)).toEqual(done);
      expect(await prepared()).toEqual([]);
    });
  }),
);
