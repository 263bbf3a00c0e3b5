/**
 * Transactions of the barrier's own, on a connection of the user's pool. The pools are known by their shape.
 *
 * Decides: when a connection goes back to the pool and when it is thrown away. Any failure to end a transaction throws it away: the
 * next borrower must not find itself inside.
 */
import { QuorateError } from "../../base/index.js";
import type { Dialect, SqlRunner } from "./dialect.js";
import { runnerOf } from "./handle.js";
import { mysqlDialect } from "./mysql.js";
import { postgresDialect } from "./postgres.js";

/** A client of a `pg` Pool. */
export interface BarrierPgClient {
  query(
    text: string,
    values?: unknown[],
  ): Promise<{ readonly rows: unknown[]; readonly rowCount: number | null; readonly command: string }>;
  release(destroy?: boolean): void;
  on(event: "error", listener: (error: Error) => void): unknown;
  removeListener(event: "error", listener: (error: Error) => void): unknown;
}

/** `new Pool(...)` of `pg`, or anything of its shape. */
export interface BarrierPgPool<Client extends BarrierPgClient = BarrierPgClient> {
  connect(): Promise<Client>;
}

/** A connection of a `mysql2/promise` pool. */
export interface BarrierMysqlConnection {
  query(sql: string): Promise<unknown>;
  release(): void;
  destroy(): void;
}

/** `createPool(...)` of `mysql2/promise`, or anything of its shape. */
export interface BarrierMysqlPool<Connection extends BarrierMysqlConnection = BarrierMysqlConnection> {
  getConnection(): Promise<Connection>;
}

export type BarrierPool = BarrierPgPool | BarrierMysqlPool;

export type BarrierIsolation = "read committed" | "repeatable read" | "serializable";

export function isMysqlPool(pool: BarrierPool): pool is BarrierMysqlPool {
  return typeof (pool as Partial<BarrierMysqlPool>).getConnection === "function";
}

export function dialectOf(pool: BarrierPool): Dialect {
  if (isMysqlPool(pool)) return mysqlDialect;
  if (typeof (pool as Partial<BarrierPgPool>).connect === "function") return postgresDialect;
  throw new QuorateError(
    "QUORATE_INVALID_ARGUMENT",
    "barrier: pool must be a Pool of pg or a pool of mysql2/promise; inside a transaction of another library use within(handle, ...)",
  );
}

/** A borrowed connection. */
export class Connection {
  readonly runner: SqlRunner;
  /** What the user's function gets. */
  readonly handle: unknown;
  readonly #giveBack: (destroy: boolean) => void;
  #broken = false;
  #released = false;

  private constructor(handle: unknown, giveBack: (destroy: boolean) => void) {
    this.handle = handle;
    this.runner = runnerOf(handle);
    this.#giveBack = giveBack;
  }

  static async open(pool: BarrierPool): Promise<Connection> {
    if (isMysqlPool(pool)) {
      // A pool of callbacks would wait for one for ever.
      const promised = (pool as { readonly promise?: () => BarrierMysqlPool }).promise?.() ?? pool;
      const connection = await promised.getConnection();
      return new Connection(connection, (destroy) => (destroy ? connection.destroy() : connection.release()));
    }
    const client = await pool.connect();
    // Without a listener a connection that breaks between two statements would end the process.
    const onError = (): void => void (opened.#broken = true);
    client.on("error", onError);
    const opened = new Connection(client, (destroy) => {
      client.removeListener("error", onError);
      client.release(destroy);
    });
    return opened;
  }

  async begin(dialect: Dialect, isolation: BarrierIsolation | undefined): Promise<void> {
    if (dialect.name === "postgres") {
      await this.runner.run(isolation === undefined ? "begin" : `begin isolation level ${isolation}`);
    } else {
      if (isolation !== undefined) await this.runner.run(`set transaction isolation level ${isolation}`);
      await this.runner.run("start transaction");
    }
  }

  /** Commits and gives the connection back. Rejects when it is not known to be committed; the connection is gone then. */
  async commit(): Promise<void> {
    try {
      const said: unknown = await (this.handle as BarrierPgClient).query("commit");
      // COMMIT of a failed transaction is no error in PostgreSQL: it rolls back and says so in the tag.
      const command = (said as { readonly command?: unknown }).command;
      if (typeof command === "string" && command !== "COMMIT")
        throw new QuorateError("QUORATE_PARTICIPANT", `the server answered COMMIT with ${command}: the transaction had failed`, {
          retry: "safe",
        });
    } catch (error) {
      this.#broken = true;
      this.release();
      throw error;
    }
    this.release();
  }

  /** Ends whatever is open and gives the connection back. */
  async rollback(): Promise<void> {
    if (!this.#broken && !this.#released) {
      try {
        await this.runner.run("rollback");
      } catch {
        this.#broken = true;
      }
    }
    this.release();
  }

  release(): void {
    if (this.#released) return;
    this.#released = true;
    this.#giveBack(this.#broken);
  }
}
