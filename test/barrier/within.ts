/** The suite inside transactions that knex, kysely and the drivers open. Those two libraries are real; drizzle and TypeORM are not there. */
import knex, { type Knex } from "knex";
import { Kysely, sql, type Dialect as KyselyDialect } from "kysely";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { barrier, type BarrierCall, type SqlBarrier } from "../../src/barrier/index.js";
import { describeBarrier } from "./conformance.js";
import { newCall } from "./fixture.js";
import { sqlFixture, type Make, type SqlStore } from "./sql-fixture.js";

export interface WithinStore extends SqlStore {
  readonly knexOptions: Knex.Config;
  kyselyDialect(): KyselyDialect;
  /** A transaction on a bare connection of the driver. */
  transaction<T>(task: (handle: unknown, run: (sql: string) => Promise<unknown>) => Promise<T>): Promise<T>;
  /** A bare connection without a transaction, and the pool. */
  noTransaction(task: (handle: unknown) => Promise<void>): Promise<void>;
  readonly pool: unknown;
}

interface Libraries {
  readonly knex: Knex;
  readonly kysely: Kysely<Record<string, never>>;
  close(): Promise<void>;
}

function libraries(store: WithinStore): Libraries {
  const k = knex({ ...store.knexOptions, pool: { min: 0, max: 20 } });
  const y = new Kysely<Record<string, never>>({ dialect: store.kyselyDialect() });
  return {
    knex: k,
    kysely: y,
    close: async () => {
      await k.destroy();
      await y.destroy();
    },
  };
}

const makers: Record<string, (store: WithinStore, of: Libraries) => Make> = {
  driver: (store) => (of, call, work) => store.transaction((handle, run) => of.within(handle, call, () => work(run))),
  knex:
    (_store, { knex: k }) =>
    (of, call, work) =>
      k.transaction((trx) => of.within(trx, call, (same) => work((text) => same.raw(text)))),
  kysely:
    (_store, { kysely }) =>
    (of, call, work) =>
      kysely.transaction().execute((trx) => of.within(trx, call, (same) => work((text) => sql.raw(text).execute(same)))),
};

export function describeWithin(name: string, open: () => Promise<WithinStore>): void {
  for (const [library, maker] of Object.entries(makers)) {
    describeBarrier(
      `${name}, within a transaction of ${library}`,
      async () => {
        const store = await open();
        const of = libraries(store);
        const dispose = async (): Promise<void> => {
          await of.close();
          await store.dispose();
        };
        return sqlFixture({ ...store, dispose }, maker(store, of), () => barrier({ dialect: store.dialect }));
      },
      { crashes: false },
    );
  }

  describe(`${name}, handles of transactions`, () => {
    let store: WithinStore;
    let of: Libraries;
    let at: SqlBarrier<never>;
    beforeAll(async () => {
      store = await open();
      of = libraries(store);
      at = barrier({ dialect: store.dialect });
      await store.newBarrier().createTable();
      await store.query("create table item (n int primary key)");
    });
    afterAll(async () => {
      await of?.close();
      await store?.dispose();
    });
    const refused = (message: RegExp): unknown =>
      expect.objectContaining({ code: "QUORATE_INVALID_ARGUMENT", message: expect.stringMatching(message) as string });
    const inside = (handle: unknown, call: BarrierCall = newCall("try")): Promise<unknown> => at.within(handle, call, () => "value");
    const marks = async (): Promise<number> => Number((await store.query("select count(*) as n from quorate_barrier"))[0]?.["n"]);

    test("a handle without a transaction is refused before anything is written, and says what to do", async () => {
      const before = await marks();
      await expect(inside(of.knex)).rejects.toEqual(refused(/knex itself.*knex\.transaction/));
      await expect(inside(of.kysely)).rejects.toEqual(refused(/Kysely instance.*db\.transaction/));
      await expect(inside(store.pool)).rejects.toEqual(refused(/pool.*any connection/i));
      await store.noTransaction(async (handle) => {
        await expect(inside(handle)).rejects.toEqual(refused(/no transaction is open.*BEGIN first/));
      });
      for (const nothing of [undefined, null, 7, "trx", {}])
        await expect(inside(nothing)).rejects.toEqual(refused(/none that is known.*a pg client/));
      const trx = await of.knex.transaction();
      await trx.commit();
      await expect(inside(trx)).rejects.toEqual(refused(/knex transaction has ended/));
      expect(await marks()).toBe(before);
    });

    test("mark and work go with the caller's roll back, also to a savepoint", async () => {
      const call = newCall("try");
      const own = new Error("changed my mind");
      const whole = of.knex.transaction(async (trx) => {
        expect(await at.within(trx, call, () => trx.raw("insert into item values (1)"))).toMatchObject({ kind: "done" });
        throw own;
      });
      await expect(whole).rejects.toBe(own);
      await of.knex.transaction(async (trx) => {
        const part = trx.transaction(async (savepoint) => {
          expect(await at.within(savepoint, call, () => savepoint.raw("insert into item values (1)"))).toMatchObject({ kind: "done" });
          throw own;
        });
        await expect(part).rejects.toBe(own);
        expect(await at.within(trx, call, () => trx.raw("insert into item values (2)"))).toMatchObject({ kind: "done" });
      });
      expect(await store.query("select n from item")).toEqual([{ n: 2 }]);
      expect(await of.knex.transaction((trx) => at.within(trx, call, () => 1))).toEqual({ kind: "duplicate" });
    });

    test("a refusal or a fence leaves no mark in a transaction that the caller commits anyway", async () => {
      const call = newCall("try", { participant: "committed-anyway" });
      await of.knex.transaction((trx) => at.within(trx, { ...call, branch: "b2", epoch: 9 }, () => 1));
      await store.transaction(async (handle) => {
        await expect(at.within(handle, call, () => 1)).rejects.toMatchObject({
          retry: "safe",
          message: expect.stringMatching(/fenced/) as string,
        });
      });
      await store.newBarrier().forgetBelow(Date.now() + 1000, call);
      await store.transaction(async (handle) => {
        expect(await at.within(handle, { ...call, epoch: 9 }, () => 1)).toMatchObject({ kind: "refused" });
      });
      const [row] = await store.query("select count(*) as n from quorate_barrier where participant = 'committed-anyway'");
      expect(Number(row?.["n"])).toBe(0);
    });

    test("a caller whose snapshot is older than the other call, or than the floor, is not misled by it", async () => {
      const conflict = expect.objectContaining({ code: "40001" }) as unknown;
      const other = store.newBarrier();
      const [twice, cancelled, expired] = [newCall("try"), newCall("try"), newCall("try", { participant: "snapshot" })] as const;
      await other.call({ ...expired, branch: "b2" }, () => 1);
      // The mark of a roll back, and the floor below which it is dropped, come after the snapshot.
      await other.call({ ...expired, phase: "cancel" }, () => 1);
      const cases = [
        [twice, () => other.call(twice, () => 1), "duplicate"],
        [cancelled, () => other.call({ ...cancelled, phase: "cancel" }, () => 1), "refused"],
        [expired, () => other.forgetBelow(Date.now() + 1000, expired), "refused"],
      ] as const;
      for (const [call, meanwhile, kind] of cases) {
        let ran = false;
        const late = store.transaction(async (handle, run) => {
          if (store.dialect === "postgres") await run("set transaction isolation level repeatable read");
          await run("select n from item");
          await meanwhile();
          return at.within(handle, call, () => (ran = true));
        });
        // PostgreSQL says that the whole transaction has to be run again; InnoDB's locking reads see what is committed.
        if (store.dialect === "postgres") await expect(late).rejects.toEqual(conflict);
        else expect(await late).toMatchObject({ kind });
        expect(ran).toBe(false);
        expect(await store.transaction((handle) => at.within(handle, call, () => (ran = true)))).toMatchObject({ kind });
      }
    });

    test("handles of the shape that Drizzle and TypeORM give are taken, and refused without their transaction", async () => {
      const drizzle = (run: (text: string) => Promise<unknown>, more = {}): unknown => ({
        execute: run,
        select: () => 0,
        insert: () => 0,
        ...more,
      });
      const runner = (run: (text: string) => Promise<unknown>, open: boolean): object => ({
        isTransactionActive: open,
        // Rows alone, or the header alone, as TypeORM's query runners give.
        query: async (text: string) => {
          const said = (await run(text)) as { readonly rows?: unknown } | readonly [unknown];
          return Array.isArray(said) ? (said as readonly unknown[])[0] : (said as { readonly rows?: unknown }).rows;
        },
      });
      const manager = (queryRunner: unknown): unknown => ({ getRepository: () => 0, query: () => 0, queryRunner });
      const shapes: readonly ((run: (text: string) => Promise<unknown>) => unknown)[] = [
        (run) => drizzle(run, { rollback: () => 0 }),
        (run) => runner(run, true),
        (run) => manager(runner(run, true)),
      ];
      for (const shape of shapes) {
        const call = newCall("try");
        for (const kind of ["done", "duplicate"])
          expect(await store.transaction((_handle, run) => inside(shape(run), call))).toMatchObject({ kind });
        expect(await store.transaction((_handle, run) => inside(shape(run), { ...call, phase: "confirm" }))).toMatchObject({
          kind: "done",
        });
      }
      const nothing = (): Promise<unknown> => Promise.reject(new Error("nothing is to be sent"));
      await expect(inside(drizzle(nothing))).rejects.toEqual(refused(/Drizzle database/));
      await expect(inside(runner(nothing, false))).rejects.toEqual(refused(/QueryRunner has no transaction open/));
      await expect(inside(manager(undefined))).rejects.toEqual(refused(/EntityManager has no transaction open/));
    });

    test("a library that renames columns is refused, not misread", async () => {
      const call = newCall("try");
      await store.newBarrier().call(call, () => 1);
      const loud = knex({
        ...store.knexOptions,
        pool: { min: 0, max: 2 },
        postProcessResponse: (result: unknown) =>
          JSON.parse(JSON.stringify(result).replace(/"(phase|transaction)":/g, (name) => name.toUpperCase())) as unknown,
      });
      const renamed = loud.transaction((trx) => at.within(trx, { ...call, phase: "confirm" }, () => 1));
      await expect(renamed).rejects.toEqual(refused(/rows without a column "phase".*leave column names alone/));
      await loud.destroy();
    });

    test("what opens transactions of its own needs a pool, and says so", async () => {
      await expect(at.call(newCall("try"), () => 1)).rejects.toEqual(refused(/call\(\) opens transactions of its own/));
      await expect(at.forgetBelow(1, newCall("try"))).rejects.toEqual(refused(/forgetBelow\(\)/));
      await store.transaction((handle) => at.createTable(handle));
    });
  });
}
