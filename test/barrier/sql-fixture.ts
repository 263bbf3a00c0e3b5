/** Barriers in a SQL database for the suite: the work is a count by name and a row that all calls share. */
import { randomUUID } from "node:crypto";
import { barrier, type BarrierCall, type BarrierResult, type SqlBarrier } from "../../src/barrier/index.js";
import { INSTANCES, nameOf, type BarrierFixture } from "./fixture.js";

/** Runs one statement, in whatever transaction the caller has open. */
export type Run = (sql: string) => Promise<unknown>;

/** How calls are made: on a pool of the barrier's own, or inside a transaction that a library opens. */
export type Make = (of: SqlBarrier, call: BarrierCall, work: (run: Run) => Promise<string>, instance: number) => Promise<BarrierResult>;

export interface SqlStore {
  readonly dialect: "postgres" | "mysql";
  /** For setting up and looking, outside of any barrier. Rows of a select. */
  query(sql: string): Promise<readonly Record<string, unknown>[]>;
  newBarrier(): SqlBarrier;
  crash(): Promise<void>;
  dispose(): Promise<void>;
}

const SCHEMA = [
  "create table effect (name varchar(200) primary key, n int not null)",
  "create table total (id int primary key, n int not null)",
  "insert into total values (1, 0)",
];

/** Gives every suite a store of its own: see `Make`. */
export async function sqlFixture(store: SqlStore, make: Make, newBarrier = (): SqlBarrier => store.newBarrier()): Promise<BarrierFixture> {
  for (const sql of SCHEMA) await store.query(sql);
  const upsert = store.dialect === "postgres" ? "on conflict (name) do update set n = effect.n + 1" : "on duplicate key update n = n + 1";
  const open = (): SqlBarrier[] => Array.from({ length: INSTANCES }, newBarrier);
  let barriers = open();
  await Promise.all(barriers.map(() => store.newBarrier().createTable()));
  const number = async (sql: string): Promise<number> => Number((await store.query(sql))[0]?.["n"] ?? 0);
  return {
    async call(call, { instance = 0, inside } = {}) {
      const value = randomUUID();
      const result = await make(
        barriers[instance] as SqlBarrier,
        call,
        async (run) => {
          await run(`insert into effect (name, n) values ('${nameOf(call)}', 1) ${upsert}`);
          await inside?.();
          await run("update total set n = n + 1 where id = 1");
          return value;
        },
        instance,
      );
      // What the function returned comes out of `done`, and only of a `done` for which it ran.
      if (result.kind === "done" && "value" in result && result.value !== value) throw new Error("done carries another value");
      return result;
    },
    count: (name) => number(`select n from effect where name = '${name}'`),
    total: () => number("select n from total where id = 1"),
    marks: ({ cluster, participant }) =>
      number(`select count(*) as n from quorate_barrier where cluster = '${cluster}' and participant = '${participant}'`),
    forgetBelow: (floorMs, scope) => store.newBarrier().forgetBelow(floorMs, scope),
    async crash() {
      await store.crash();
      barriers = open();
    },
    reopen: async () => void (barriers = open()),
    dispose: () => store.dispose(),
  };
}

export function poolBarrier(pool: Parameters<typeof barrier>[0]["pool"], isolation: string | undefined): SqlBarrier {
  return barrier({
    ...(pool === undefined ? {} : { pool }),
    ...(isolation === undefined ? {} : { isolation: isolation as "serializable" }),
  });
}
