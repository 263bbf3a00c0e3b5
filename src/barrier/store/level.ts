/**
 * Marks in a `level` database: a sublevel of their own, written in one atomic, synced batch with the user's operations.
 */
import { messageOf, QuorateError } from "../../base/index.js";
import { marksBelow, marksFrom } from "../keys.js";
import { StoreBarrier, type KvBarrier, type MarkStore } from "./store.js";
import { Turns } from "./turns.js";

/** One operation of `db.batch`, also with a `sublevel` of its own. */
export interface LevelOperation {
  readonly type: "put" | "del";
  readonly key: unknown;
  readonly value?: unknown;
  readonly sublevel?: unknown;
}

interface Marks {
  get(key: string): Promise<string | undefined>;
  keys(range: { readonly gte: string; readonly lt: string; readonly limit: number }): { all(): Promise<string[]> };
}

/** The part of a `level` database (`new Level(folder)`) or a sublevel of it that is used here. */
export interface LevelStore {
  batch(operations: never[], options: { readonly sync: boolean }): Promise<void>;
  sublevel(name: string, options: { readonly keyEncoding: "utf8"; readonly valueEncoding: "utf8" }): unknown;
}

export type LevelBarrier<Db> = KvBarrier<Db, readonly LevelOperation[]>;

interface Shared {
  readonly turns: Turns;
  /** The first write that failed: what is durable is found out by opening the database anew. */
  failure?: unknown;
}

/** By the root database: barriers over one database, and over its sublevels, take turns with each other. */
const SHARED = new WeakMap<object, Shared>();
const DROP_SLICE = 1000;

export function levelBarrier<Db extends LevelStore>(db: Db): LevelBarrier<Db> {
  const root = (db as { readonly db?: object }).db ?? db;
  const shared = SHARED.get(root) ?? { turns: new Turns() };
  SHARED.set(root, shared);
  return new StoreBarrier(new LevelMarks(db, shared));
}

class LevelMarks<Db extends LevelStore> implements MarkStore<Db, readonly LevelOperation[]> {
  readonly handle: Db;
  readonly turns: Turns;
  readonly #shared: Shared;
  readonly #marks: Marks;

  constructor(db: Db, shared: Shared) {
    this.handle = db;
    this.turns = shared.turns;
    this.#shared = shared;
    this.#marks = db.sublevel("quorate_barrier", { keyEncoding: "utf8", valueEncoding: "utf8" }) as Marks;
  }

  async read(key: string): Promise<string | undefined> {
    this.#checkAlive();
    return this.#marks.get(key);
  }

  async write(entries: readonly (readonly [string, string])[], work: readonly LevelOperation[] | undefined): Promise<undefined> {
    const marks = entries.map(([key, value]) => ({ type: "put", sublevel: this.#marks, key, value }));
    await this.#batch([...marks, ...(work ?? [])]);
  }

  async drop(scope: Parameters<typeof marksFrom>[0], belowMs: number): Promise<void> {
    for (;;) {
      this.#checkAlive();
      const keys = await this.#marks.keys({ gte: marksFrom(scope), lt: marksBelow(scope, belowMs), limit: DROP_SLICE }).all();
      if (keys.length > 0) await this.#batch(keys.map((key) => ({ type: "del", sublevel: this.#marks, key })));
      if (keys.length < DROP_SLICE) return;
    }
  }

  async #batch(operations: readonly unknown[]): Promise<void> {
    this.#checkAlive();
    try {
      // Durability: synced before anybody is answered.
      await this.handle.batch(operations as never[], { sync: true });
    } catch (error) {
      // An operation without sense is found before anything is written, and tells so by its code.
      const code = (error as { readonly code?: unknown }).code;
      if (typeof code === "string" && /^LEVEL_(INVALID|ENCODING)/.test(code))
        throw new QuorateError("QUORATE_INVALID_ARGUMENT", `barrier.kv: the function returned no good batch: ${messageOf(error)}`, {
          cause: error,
        });
      this.#shared.failure ??= error;
      throw error;
    }
  }

  #checkAlive(): void {
    if (this.#shared.failure === undefined) return;
    const what = `a write to the level database failed (${messageOf(this.#shared.failure)}), so what is durable is not known; open it anew`;
    throw new QuorateError("QUORATE_PARTICIPANT", what, { retry: "safe", cause: this.#shared.failure });
  }
}
