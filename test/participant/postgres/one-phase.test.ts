/** One-phase commit over a real PostgreSQL: what only a database can get wrong. The contract itself is in test/conformance. */
import { Pool } from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { newGid, Prng } from "../../../src/base/index.js";
import type { BranchRef } from "../../../src/participant/index.js";
import {
  postgres,
  postgresPayload,
  type PostgresOptions,
  type PostgresParticipant,
  type SqlStatement,
} from "../../../src/participant/postgres/index.js";
import { startPostgres, type PostgresServer } from "../../../src/testing/index.js";
import { withPostgres } from "../../testing/with-postgres.js";
import { CuttingProxy } from "./cutting-proxy.js";

const random = new Prng("postgres/one-phase").uint32;
const committed = { kind: "committed" };

withPostgres(() =>
  describe("PostgreSQL, one phase", () => {
    let server: PostgresServer;
    let pool: Pool;
    let orders: PostgresParticipant;

    const open = async (options: Partial<PostgresOptions> = {}): Promise<PostgresParticipant> => {
      const participant = postgres({ name: "orders", pool, lockTimeoutMs: 300, ...options });
      await participant.start("cluster");
      return participant;
    };
    const ref = (): BranchRef => ({ gid: newGid(Date.now(), random), branch: "b1" });
    const insert = (n: number, table = "item"): SqlStatement => ({ sql: `insert into ${table} (n) values ($1)`, params: [n] });
    const run = (of: BranchRef, statements: readonly SqlStatement[], by = orders) =>
      by.commitOnePhase({ ...of, payload: postgresPayload(statements), epoch: 1 });
    const items = async (): Promise<number[]> =>
      (await pool.query<{ n: number }>("select n from item order by n")).rows.map((row) => row.n);
    const outcomes = async (of: BranchRef): Promise<string[]> =>
      (await pool.query<{ outcome: string }>("select outcome from quorate_outcomes where gid = $1", [of.gid])).rows.map(
        (row) => row.outcome,
      );
    const because = (pattern: RegExp) => ({ kind: "refused", detail: expect.stringMatching(pattern) as string });

    beforeAll(async () => {
      server = await startPostgres();
      pool = new Pool({ connectionString: server.dsn, max: 12 });
      pool.on("error", () => undefined);
      await pool.query("create table item (n int primary key); create table lazy (n int unique deferrable initially deferred)");
      orders = await open();
    });
    beforeEach(async () => {
      await pool.query("truncate item, lazy");
    });
    afterAll(async () => {
      // Every connection that was borrowed came back.
      expect(pool.idleCount).toBe(pool.totalCount);
      await pool?.end();
      await server?.stop();
    });

    test("prepares nothing, and its witness row is there exactly when the work is", async () => {
      const [good, bad] = [ref(), ref()];
      expect(await run(good, [insert(1)])).toEqual(committed);
      expect(await run(bad, [insert(2), insert(1)])).toEqual(because(/duplicate key/));
      expect([await outcomes(good), await outcomes(bad), await items()]).toEqual([["committed"], ["rolled-back"], [1]]);
      expect((await pool.query("select 1 from pg_prepared_xacts")).rowCount).toBe(0);
    });

    test("a constraint that fails only at COMMIT is a refusal, for ever", async () => {
      const branch = ref();
      expect(await run(branch, [insert(1, "lazy"), insert(1, "lazy")])).toEqual(because(/duplicate key/));
      expect(await run(branch, [insert(1, "lazy")])).toEqual(because(/rolled back before/));
      expect((await pool.query("select 1 from lazy")).rowCount).toBe(0);
    });

    test("the same branch at two instances is done once", async () => {
      const other = await open();
      const branch = ref();
      const both = await Promise.allSettled([run(branch, [insert(1)]), run(branch, [insert(1)], other)]);
      for (const result of both) if (result.status === "fulfilled") expect(result.value).toEqual(committed);
      expect(await run(branch, [insert(1)], other)).toEqual(committed);
      expect(await items()).toEqual([1]);
    });

    test("while another session runs the branch it cannot tell, and refuses nothing", async () => {
      const branch = ref();
      const blocker = await pool.connect();
      await blocker.query("begin; insert into item values (1)");
      // Waits for the blocker's key, with the witness written and not committed.
      const slow = await open({ lockTimeoutMs: 5000 });
      const first = run(branch, [insert(1)], slow);
      await expect.poll(async () => (await pool.query("select 1 from pg_stat_activity where wait_event_type = 'Lock'")).rowCount).toBe(1);
      await expect(run(branch, [insert(1)])).rejects.toMatchObject({ code: "QUORATE_PARTICIPANT", retry: "safe" });
      await blocker.query("rollback");
      blocker.release();
      expect(await first).toEqual(committed);
      expect(await run(branch, [insert(1)])).toEqual(committed);
      expect(await items()).toEqual([1]);
    });

    test("a database that cannot be reached is neither a commit nor a refusal", async () => {
      const branch = ref();
      let down = false;
      const nowhere = new Pool({ host: "127.0.0.1", port: 1, connectionTimeoutMillis: 1000 });
      const lost = await open({ pool: { connect: () => (down ? nowhere.connect() : pool.connect()) } });
      down = true;
      await expect(run(branch, [insert(1)], lost)).rejects.toMatchObject({ code: "QUORATE_PARTICIPANT", retry: "safe", gid: branch.gid });
      down = false;
      expect(await run(branch, [insert(1)], lost)).toEqual(committed);
      await nowhere.end();
    });

    describe("a connection that breaks at COMMIT", () => {
      let proxy: CuttingProxy;
      let through: Pool;
      let shaky: PostgresParticipant;

      beforeAll(async () => {
        proxy = await CuttingProxy.start(server, "synchronous_commit = on; commit");
        through = new Pool({ connectionString: server.dsn.replace(`:${server.port}/`, `:${proxy.port}/`), max: 4 });
        through.on("error", () => undefined);
        shaky = await open({ name: "shaky", pool: through });
      });
      afterAll(async () => {
        await through?.end();
        await proxy?.stop();
      });

      test.each(["before", "after", "delivered-late"] as const)(
        "%s the server has it: it cannot tell, and the next call does",
        async (cut) => {
          const branch = ref();
          proxy.cut = cut;
          await expect(run(branch, [insert(1)], shaky)).rejects.toMatchObject({ code: "QUORATE_PARTICIPANT", retry: "safe" });
          expect(await outcomes(branch)).toEqual(cut === "after" ? ["committed"] : []);
          if (cut === "delivered-late") {
            // The first session holds the witness until its message arrives.
            await expect(run(branch, [insert(1)], shaky)).rejects.toMatchObject({ code: "QUORATE_PARTICIPANT" });
            proxy.deliver();
          }
          await expect.poll(() => run(branch, [insert(1)], shaky).catch(() => undefined), { timeout: 5000 }).toEqual(committed);
          expect([await outcomes(branch), await items()]).toEqual([["committed"], [1]]);
        },
      );
    });
  }),
);
