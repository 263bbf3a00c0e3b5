import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Level } from "level";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { barrier, type LevelBarrier, type LevelOperation } from "../../src/barrier/index.js";
import { describeBarrier } from "./conformance.js";
import { INSTANCES, nameOf, newCall, type BarrierFixture } from "./fixture.js";

/** A crash: the folder as it is at that moment, opened under another name, as the disk cache survives a killed process. */
async function levelFixture(): Promise<BarrierFixture> {
  const root = mkdtempSync(join(tmpdir(), "quorate-barrier-level-"));
  let life = 0;
  const open = async (): Promise<Level> => {
    const opened = new Level(join(root, String(life)));
    await opened.open();
    return opened;
  };
  let db = await open();
  const make = (): LevelBarrier<Level>[] =>
    // Barriers of their own over one database, one of them over a part of it.
    Array.from({ length: INSTANCES }, () => barrier.kv(db));
  let barriers = make();
  const number = async (name: string): Promise<number> => Number((await db.get(name)) ?? 0);
  return {
    async call(call, { instance = 0, inside } = {}) {
      const born = life;
      const result = await (barriers[instance] as LevelBarrier<Level>).call(call, async (same) => {
        const operations: LevelOperation[] = [];
        for (const key of [`e/${nameOf(call)}`, "total"])
          operations.push({ type: "put", key, value: String(Number((await same.get(key)) ?? 0) + 1) });
        await inside?.();
        return operations;
      });
      // What the former life still said was not heard.
      if (life !== born) throw new Error("the process was killed before it could answer");
      return result;
    },
    count: (name) => number(`e/${name}`),
    total: () => number("total"),
    marks: async ({ cluster, participant }) =>
      (
        await db
          .sublevel("quorate_barrier")
          .keys({ gte: `m/${cluster}/${participant}/`, lt: `m/${cluster}/${participant}0` })
          .all()
      ).length,
    forgetBelow: async (floorMs, scope) => barriers[1]?.forgetBelow(floorMs, scope),
    async reopen() {
      await db.close();
      db = await open();
      barriers = make();
    },
    async crash() {
      const old = db;
      cpSync(join(root, String(life)), join(root, String(life + 1)), { recursive: true });
      life++;
      db = await open();
      barriers = make();
      await old.close();
    },
    async dispose() {
      await db.close();
      rmSync(root, { recursive: true, force: true });
    },
  };
}

describeBarrier("a level database", levelFixture, { oneStep: true });

describe("a barrier in a level database", () => {
  const folder = mkdtempSync(join(tmpdir(), "quorate-barrier-level-"));
  let db: Level;
  beforeAll(async () => {
    db = new Level(folder);
    await db.open();
  });
  afterAll(async () => {
    await db?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  test("the operations may name sublevels of their own, in their own encoding; functions take turns over all barriers of a database", async () => {
    const accounts = db.sublevel<string, { n: number }>("account", { valueEncoding: "json" });
    const [one, two] = [barrier.kv(db), barrier.kv(accounts)] as const;
    await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        (i % 2 === 0 ? one : (two as unknown as typeof one)).call(newCall("try"), async () => {
          const n = (await accounts.get("a"))?.n ?? 0;
          await new Promise((resolve) => setImmediate(resolve));
          return [{ type: "put", sublevel: accounts, key: "a", value: { n: n + 1 } }];
        }),
      ),
    );
    expect(await accounts.get("a")).toEqual({ n: 20 });
  });

  test("a list that is none, and an operation without sense, are the caller's mistake; nothing is written and the next call works", async () => {
    const at = barrier.kv(db);
    const call = newCall("try");
    const mistake = { code: "QUORATE_INVALID_ARGUMENT", message: expect.stringMatching(/barrier\.kv: the function/) as string };
    await expect(at.call(call, () => undefined as never)).rejects.toMatchObject(mistake);
    await expect(at.call(call, () => [{ type: "put", key: undefined, value: "1" }])).rejects.toMatchObject(mistake);
    expect(await at.call(call, () => [])).toEqual({ kind: "done", value: [] });
  });

  test("every batch is synced before it is answered", async () => {
    const options: unknown[] = [];
    const batch = db.batch.bind(db) as (operations: unknown, given: unknown) => Promise<void>;
    const watched = Object.create(db, {
      batch: {
        value: (operations: unknown, given: unknown) => {
          options.push(given);
          return batch(operations, given);
        },
      },
      sublevel: { value: db.sublevel.bind(db) },
    }) as Level;
    const at = barrier.kv(watched);
    const call = newCall("try", { participant: "watched" });
    await at.call(call, () => [{ type: "put", key: "synced", value: "1" }]);
    await at.call({ ...call, phase: "cancel" }, () => []);
    await at.forgetBelow(Date.now() + 1000, call);
    expect(options).toEqual([{ sync: true }, { sync: true }, { sync: true }, { sync: true }]);
    expect(await db.get("synced")).toBe("1");
  });

  test("after a write that failed nothing more is answered until the database is opened anew", async () => {
    const at = barrier.kv(db);
    const call = newCall("try");
    const closing = at.call(call, async () => {
      await db.close();
      return [{ type: "put", key: "x", value: "1" }];
    });
    await expect(closing).rejects.toMatchObject({ code: "QUORATE_PARTICIPANT", retry: "safe" });
    await db.open();
    await expect(at.call(call, () => [])).rejects.toMatchObject({
      retry: "safe",
      message: expect.stringMatching(/open it anew/) as string,
    });
    await db.close();
    db = new Level(folder);
    expect(await barrier.kv(db).call(call, () => [])).toMatchObject({ kind: "done" });
  });

  test("anything else is refused", () => {
    expect(() => barrier.kv({} as never)).toThrow(/needs a database of `level`, or the key-value participant/);
  });
});
