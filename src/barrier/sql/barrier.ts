/**
 * The barrier in a PostgreSQL, MariaDB or MySQL database: on a pool it opens the transaction, `within` joins the caller's.
 */
import { messageOf, QuorateError } from "../../base/index.js";
import {
  checkCall,
  checkFloor,
  checkScope,
  couldNotTell,
  type Barrier,
  type BarrierCall,
  type BarrierResult,
  type BarrierScope,
} from "../contract.js";
import { isNewWork, stepOf } from "../rules.js";
import { checkServer } from "./check.js";
import { sqlCodeOf, type Dialect, type SqlRunner, type Tables } from "./dialect.js";
import { runCall, type Engine } from "./engine.js";
import { forgetBelow } from "./forget.js";
import { runnerOf, wrongHandle } from "./handle.js";
import { mysqlDialect } from "./mysql.js";
import { Connection, dialectOf, type BarrierIsolation, type BarrierPool } from "./pool.js";
import { postgresDialect } from "./postgres.js";
import { SeenEpochs } from "./seen-epochs.js";

export interface SqlBarrierOptions<Pool extends BarrierPool | undefined = BarrierPool | undefined> {
  /** A Pool of `pg` or of `mysql2/promise`. It is never ended here. Without it only `within` can be called. */
  readonly pool?: Pool;
  /** What kind of database it is; MariaDB is "mysql". Required without a pool. */
  readonly dialect?: "postgres" | "mysql";
  /** Where the two tables are. Default: "public" in PostgreSQL, the connection's own database in MySQL. */
  readonly schema?: string;
  /** Isolation of transactions that the barrier opens. Default: the database's own. */
  readonly isolation?: BarrierIsolation;
}

/** What a function gets from `call`: a client of this pool, in the barrier's transaction. */
export type HandleOf<Pool> =
  // A pool of `mysql2` is of the type of a connection, and has a connect() too.
  Pool extends { getConnection(): Promise<infer Connection> }
    ? Connection
    : // The types of `pg` give connect() a second form, of callbacks.
      Pool extends { connect(): Promise<infer Client>; connect(callback: never): void }
      ? Client
      : Pool extends { connect(): Promise<infer Client> }
        ? Client
        : never;

export interface SqlBarrier<Handle = unknown> extends Barrier<Handle> {
  /**
   * Opens a transaction on the pool, runs `fn` with the mark in it, commits. The handle is the client or connection of the driver; do
   * not end the transaction on it. Rejects with the function's own error after rolling everything back.
   */
  call<Value>(call: BarrierCall, fn: (handle: Handle) => Promise<Value> | Value): Promise<BarrierResult<Value>>;
  /**
   * The same inside a transaction of the caller, who commits when this resolves, whatever the result, and rolls back when it rejects.
   * Nothing holds before that commit: answer the coordinator after it. Throws QUORATE_INVALID_ARGUMENT when no transaction is open.
   */
  within<Trx, Value>(handle: Trx, call: BarrierCall, fn: (handle: Trx) => Promise<Value> | Value): Promise<BarrierResult<Value>>;
  /** Makes the two tables where they are missing. On the pool, or on a handle that `within` takes. */
  createTable(handle?: unknown): Promise<void>;
  /** The SQL of `createTable`, for migrations. */
  tableSql(): string;
  /** Throws QUORATE_PARTICIPANT_SETUP naming the setting when the server would not keep what it commits, or the tables are missing. */
  check(): Promise<void>;
  /**
   * The cluster has forgotten every gid whose own time is below `floorMs`: stores that floor durably, refuses new work below it from
   * then on, and drops the marks below it. Never goes back. Rejects with `retry: "safe"` when new work in flight holds the floor.
   */
  forgetBelow(floorMs: number, scope: BarrierScope): Promise<void>;
}

/** Makes a barrier. Nothing is sent before the first call. Throws QUORATE_INVALID_ARGUMENT on a bad option. */
export function sqlBarrier<Pool extends BarrierPool | undefined = undefined>(options: SqlBarrierOptions<Pool>): SqlBarrier<HandleOf<Pool>> {
  return new DatabaseBarrier(options) as unknown as SqlBarrier<HandleOf<Pool>>;
}

class DatabaseBarrier implements SqlBarrier {
  readonly #pool: BarrierPool | undefined;
  readonly #isolation: BarrierIsolation | undefined;
  readonly #dialect: Dialect;
  readonly #tables: Tables;
  readonly #engine: Engine;
  /** Scopes whose rows are known to be there, with the highest epoch known to be stored. */
  readonly #stored = new Map<string, number>();

  constructor(options: SqlBarrierOptions) {
    const { pool, dialect, schema, isolation } = options;
    const isolations: readonly unknown[] = [undefined, "read committed", "repeatable read", "serializable"];
    const problem =
      pool === undefined && dialect === undefined
        ? 'give it a pool, or for within() alone say which database it is: dialect "postgres" or "mysql"'
        : dialect !== undefined && !["postgres", "mysql"].includes(dialect)
          ? `dialect ${JSON.stringify(dialect)} must be "postgres" or "mysql" (for MariaDB too)`
          : isolations.includes(isolation)
            ? undefined
            : `isolation ${JSON.stringify(isolation)} must be "read committed", "repeatable read" or "serializable"`;
    if (problem !== undefined) throw new QuorateError("QUORATE_INVALID_ARGUMENT", `barrier: ${problem}`);
    const named = dialect === "mysql" ? mysqlDialect : postgresDialect;
    this.#dialect = pool === undefined ? named : dialectOf(pool);
    if (dialect !== undefined && this.#dialect !== named)
      throw new QuorateError("QUORATE_INVALID_ARGUMENT", `barrier: dialect is "${dialect}" and the pool is one of ${this.#dialect.name}`);
    this.#pool = pool;
    this.#isolation = isolation;
    this.#tables = this.#dialect.tables(schema);
    this.#engine = { dialect: this.#dialect, tables: this.#tables, seen: new SeenEpochs() };
  }

  async call<Value>(call: BarrierCall, fn: (handle: unknown) => Promise<Value> | Value): Promise<BarrierResult<Value>> {
    checkCall(call);
    const connection = await this.#open(call);
    let ours = true;
    let result: BarrierResult<Value>;
    try {
      await this.#prepare(connection.runner, call);
      await connection.begin(this.#dialect, this.#isolation);
      result = await runCall(this.#engine, connection.runner, call, async () => {
        ours = false;
        const value = await fn(connection.handle);
        ours = true;
        return value;
      });
    } catch (error) {
      await connection.rollback();
      throw ours ? this.#fault(call, error) : error;
    }
    try {
      await connection.commit();
    } catch (error) {
      // Whether it took effect, the mark tells the next call.
      throw this.#fault(call, error, "it could not be told whether the transaction was committed");
    }
    return result;
  }

  async within<Trx, Value>(handle: Trx, call: BarrierCall, fn: (handle: Trx) => Promise<Value> | Value): Promise<BarrierResult<Value>> {
    checkCall(call);
    const runner = runnerOf(handle);
    let ours = true;
    try {
      if ((await this.#dialect.inTransaction(runner, this.#tables)) === false)
        throw wrongHandle("no transaction is open on this connection; BEGIN first, so that the mark and the work are committed together");
      return await runCall(this.#engine, runner, call, async () => {
        ours = false;
        const value = await fn(handle);
        ours = true;
        return value;
      });
    } catch (error) {
      throw ours ? this.#fault(call, error) : error;
    }
  }

  async createTable(handle?: unknown): Promise<void> {
    const create = async (runner: SqlRunner): Promise<void> => {
      for (const sql of this.#dialect.createSql(this.#tables)) await runner.run(sql);
    };
    if (handle !== undefined) return create(runnerOf(handle));
    await this.#use("createTable", async (connection) => {
      try {
        if (this.#dialect.name === "mysql") return await create(connection.runner);
        await connection.begin(this.#dialect, undefined);
        // Instances start together, and `if not exists` alone fails when two of them create at once.
        await connection.runner.run("select pg_advisory_xact_lock(hashtext('quorate_barrier'))");
        await create(connection.runner);
        await connection.commit();
      } catch (error) {
        throw new QuorateError(
          "QUORATE_PARTICIPANT_SETUP",
          `the barrier's tables could not be made (${messageOf(error)}); let the owner of the schema run the SQL below and grant select, insert, ` +
            `update, delete on both to this user:\n${this.tableSql()}`,
          { cause: error },
        );
      }
    });
  }

  tableSql(): string {
    return this.#dialect
      .createSql(this.#tables)
      .map((sql) => `${sql};\n`)
      .join("");
  }

  check(): Promise<void> {
    return this.#use("check", ({ runner }) => checkServer(runner, this.#dialect, this.#tables, this.tableSql()));
  }

  async forgetBelow(floorMs: number, scope: BarrierScope): Promise<void> {
    checkFloor(floorMs);
    checkScope(scope);
    await this.#use("forgetBelow", (connection) => forgetBelow(connection, this.#dialect, this.#tables, scope, floorMs));
  }

  /** Borrows a connection for one of the calls that concern no branch. */
  async #use(method: string, task: (connection: Connection) => Promise<void>): Promise<void> {
    const pool = this.#needPool(method);
    let connection: Connection | undefined;
    try {
      connection = await Connection.open(pool);
      await task(connection);
    } catch (error) {
      if (error instanceof QuorateError) throw error;
      throw new QuorateError("QUORATE_PARTICIPANT", `barrier: ${method}: ${messageOf(error)}`, { retry: "safe", cause: error });
    } finally {
      await connection?.rollback();
    }
  }

  async #open(call: BarrierCall): Promise<Connection> {
    const pool = this.#needPool("call");
    try {
      return await Connection.open(pool);
    } catch (error) {
      throw couldNotTell(call, `no connection to the database: ${messageOf(error)}`, error);
    }
  }

  /** Before the transaction: what all processes must see even if it is rolled back. Once per epoch and participant. */
  async #prepare(runner: SqlRunner, call: BarrierCall): Promise<void> {
    if (!isNewWork(stepOf(call.phase))) return;
    const key = `${call.cluster}/${call.participant}`;
    const stored = this.#stored.get(key);
    if (stored !== undefined && stored >= call.epoch) return;
    if (stored === undefined) await this.#dialect.openScope(runner, this.#tables, call);
    await this.#dialect.raiseEpoch(runner, this.#tables, call, call.epoch);
    this.#stored.set(key, call.epoch);
  }

  #needPool(method: string): BarrierPool {
    if (this.#pool !== undefined) return this.#pool;
    throw new QuorateError(
      "QUORATE_INVALID_ARGUMENT",
      `barrier: ${method}() opens transactions of its own, so barrier({ pool }) needs a pool`,
    );
  }

  /** The error of a statement of our own, for the caller. */
  #fault(call: BarrierCall, error: unknown, what = "the barrier's own statement failed"): unknown {
    if (error instanceof QuorateError || this.#dialect.isConflict(error)) return error;
    if (this.#dialect.isMissingTable(error))
      return new QuorateError(
        "QUORATE_PARTICIPANT_SETUP",
        `the barrier's tables are missing; call createTable() once, or run:\n${this.tableSql()}`,
        {
          cause: error,
          gid: call.gid,
        },
      );
    return couldNotTell(call, `${what}: ${messageOf(error)}${sqlCodeOf(error) === undefined ? "" : ` (${sqlCodeOf(error)})`}`, error);
  }
}
