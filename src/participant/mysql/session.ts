/**
 * The part of a `mysql2` pool this adapter uses, by its shape, and one connection borrowed from it.
 *
 * The user's own pool is taken and no second one is opened; `mysql2` itself is never imported. Decides: when a connection goes back to the
 * pool and when it is thrown away. A connection on which a branch was prepared must be closed and never reset: see `destroy`.
 */
import { assert, messageOf, QuorateError } from "../../base/index.js";

export interface MysqlQueryOptions {
  readonly sql: string;
  readonly values?: unknown;
  readonly rowsAsArray?: boolean;
  readonly nestTables?: boolean | string;
  readonly typeCast?: boolean;
}

/** What the server answers to a statement without rows. */
export interface MysqlHeader {
  readonly affectedRows: number;
  /** Bits of the protocol: 1 in a transaction, 2 autocommit. */
  readonly serverStatus: number;
  readonly warningStatus: number;
}

export interface MysqlConnection {
  query(sql: string | MysqlQueryOptions, values?: unknown): Promise<[unknown, unknown]>;
  execute(sql: string | MysqlQueryOptions, values?: unknown): Promise<[unknown, unknown]>;
  release(): void;
  destroy(): void;
}

/** A pool of `mysql2/promise`, or anything of its shape. */
export interface MysqlPromisePool {
  getConnection(): Promise<MysqlConnection>;
}

/** `createPool(...)` of `mysql2/promise`, or of `mysql2`, which has a promise pool of its own behind `promise()`. */
export type MysqlPool = MysqlPromisePool | { promise(): MysqlPromisePool };

export function promisePool(pool: MysqlPool): MysqlPromisePool {
  const shape = pool as { readonly promise?: unknown; readonly getConnection?: unknown } | null | undefined;
  if (typeof shape?.promise === "function") return (pool as { promise(): MysqlPromisePool }).promise();
  if (typeof shape?.getConnection === "function") return pool as MysqlPromisePool;
  throw new QuorateError("QUORATE_INVALID_ARGUMENT", 'pool must be a pool of "mysql2": createPool({ ... })');
}

/** How many connections the pool may open; undefined: it does not say. */
export function poolLimit(pool: MysqlPromisePool): number | undefined {
  const { connectionLimit } = (pool as { readonly pool?: { readonly config?: { readonly connectionLimit?: unknown } } }).pool?.config ?? {};
  const limit = Number(connectionLimit);
  // 0 is its word for as many as are wanted.
  if (limit === 0) return Infinity;
  return limit >= 1 ? limit : undefined;
}

/** Error numbers this adapter tells apart. They are the same in MariaDB and MySQL. */
export const ERRNO = {
  accessDenied: 1044,
  duplicateEntry: 1062,
  tableAccessDenied: 1142,
  columnAccessDenied: 1143,
  specificAccessDenied: 1227,
  noSuchTable: 1146,
  noSavepoints: 1178,
  nonTransactionalWarning: 1196,
  lockWaitTimeout: 1205,
  deadlock: 1213,
  xaUnknown: 1397,
  xaWrongState: 1399,
  xaRolledBack: 1402,
  xaDuplicate: 1440,
  xaRolledBackTimeout: 1613,
  xaRolledBackDeadlock: 1614,
} as const;

/** The server is going down, or has given the connection up. */
const LOSS: ReadonlySet<number> = new Set([1053, 1152, 1158, 1159, 1160, 1161, 1184, 1927, 3168, 4031]);
/** Too many connections, no memory, no thread, disk full: nothing is wrong with the work. */
const RESOURCES: ReadonlySet<number> = new Set([1021, 1037, 1038, 1040, 1041, 1135, 1203]);

const IN_TRANSACTION = 1;
const AUTOCOMMIT = 2;

/** The number of an error the server reported; undefined for any other error. */
export function errnoOf(error: unknown): number | undefined {
  if (!(error instanceof Error)) return undefined;
  const { errno, sqlState } = error as { readonly errno?: unknown; readonly sqlState?: unknown };
  return typeof errno === "number" && typeof sqlState === "string" ? errno : undefined;
}

/** Whether the error leaves open what the server did: no server error arrived at all, or one that says that the connection is over. */
export function isConnectionLoss(error: unknown): boolean {
  const errno = errnoOf(error);
  return errno === undefined || LOSS.has(errno);
}

/** Whether the server could not take the work now though nothing is wrong with it. */
export function isTemporary(error: unknown): boolean {
  return isConnectionLoss(error) || RESOURCES.has(errnoOf(error) ?? 0);
}

/** The database's own words with their number. */
export function sqlMessage(error: unknown): string {
  const errno = errnoOf(error);
  return messageOf(error) + (errno === undefined ? "" : ` (error ${errno})`);
}

export class Session {
  readonly #connection: MysqlConnection;
  #lost = false;
  #spoilt = false;
  #ended = false;
  /** Gives the connection its own settings back. */
  #restore: string | undefined;

  private constructor(connection: MysqlConnection) {
    this.#connection = connection;
  }

  static async open(pool: MysqlPromisePool): Promise<Session> {
    return new Session(await pool.getConnection());
  }

  /** Borrows a connection for one task. */
  static async use<T>(pool: MysqlPromisePool, task: (session: Session) => Promise<T>): Promise<T> {
    const session = await Session.open(pool);
    try {
      return await task(session);
    } finally {
      session.release();
    }
  }

  /** A statement of our own without rows. */
  async run(sql: string): Promise<MysqlHeader> {
    return (await this.#own(sql)) as MysqlHeader;
  }

  /** A statement of our own that writes, committed when this resolves, whatever the pool's autocommit. */
  async runCommitted(sql: string): Promise<MysqlHeader> {
    const header = await this.run(sql);
    if ((header.serverStatus & AUTOCOMMIT) === 0 || (header.serverStatus & IN_TRANSACTION) !== 0) await this.run("commit");
    return header;
  }

  /** A query of our own; rows by column name, whatever the pool's settings. */
  async rows(sql: string): Promise<readonly Readonly<Record<string, unknown>>[]> {
    return (await this.#own(sql)) as readonly Record<string, unknown>[];
  }

  #own(sql: string): Promise<unknown> {
    return this.#guarded(async () => {
      const [result] = await this.#connection.query({ sql, rowsAsArray: false, nestTables: false, typeCast: true });
      return result;
    });
  }

  /** One statement of a branch, prepared at the server: parameters never become text of it, and it cannot hold a second statement. */
  execute(sql: string, params: readonly unknown[]): Promise<unknown> {
    return this.#guarded(async () => {
      const [result] = await this.#connection.execute({ sql, rowsAsArray: false, nestTables: false }, [...params]);
      return result;
    });
  }

  /** As the user calls it. */
  passOn(method: "query" | "execute", sql: string | MysqlQueryOptions, values: unknown): Promise<[unknown, unknown]> {
    return this.#guarded(() => (values === undefined ? this.#connection[method](sql) : this.#connection[method](sql, values)));
  }

  /** Invariant: never after the end. The connection is somebody else's then, and so would be the transaction that this runs in. */
  async #guarded<T>(task: () => Promise<T>): Promise<T> {
    assert(!this.#ended, "a connection that was given back is not used");
    try {
      return await task();
    } catch (error) {
      if (isConnectionLoss(error)) this.#lost = true;
      throw error;
    }
  }

  /** Runs `task` with this wait for locks, whole seconds, and gives the connection its own back. */
  async withLockWait<T>(seconds: number, task: () => Promise<T>): Promise<T> {
    await this.run(`set @quorate_lock_wait = @@innodb_lock_wait_timeout, @@innodb_lock_wait_timeout = ${seconds}`);
    try {
      return await task();
    } finally {
      await this.#orLose("set @@innodb_lock_wait_timeout = @quorate_lock_wait");
    }
  }

  /** For this branch's statements: how long they wait for a lock, whole seconds, and how long they run. Until `giveBack`. */
  async limit(flavour: "MariaDB" | "MySQL", lockWaitS: number, statementMs: number): Promise<void> {
    // MariaDB counts seconds and bounds every statement; MySQL counts milliseconds and bounds those that only read.
    const [variable, value] = flavour === "MariaDB" ? ["max_statement_time", statementMs / 1000] : ["max_execution_time", statementMs];
    await this.run(
      `set @quorate_lock_wait = @@innodb_lock_wait_timeout, @@innodb_lock_wait_timeout = ${lockWaitS}, ` +
        `@quorate_time = @@${variable}, @@${variable} = ${value}`,
    );
    this.#restore = `set @@innodb_lock_wait_timeout = @quorate_lock_wait, @@${variable} = @quorate_time`;
  }

  /** Something ran on the connection that may have changed it: it is not given back. */
  spoil(): void {
    this.#spoilt = true;
  }

  /** Back to the pool as it came from it. */
  async giveBack(): Promise<void> {
    if (this.#restore !== undefined && !this.#spoilt) await this.#orLose(this.#restore);
    this.release();
  }

  /** A connection that cannot do this is not the one it was before: it is thrown away. */
  async #orLose(sql: string): Promise<void> {
    if (this.#lost || this.#ended) return;
    try {
      await this.run(sql);
    } catch {
      this.#lost = true;
    }
  }

  /** Back to the pool, unless it is lost or spoilt. */
  release(): void {
    if (this.#ended) return;
    if (this.#lost || this.#spoilt) return this.destroy();
    this.#ended = true;
    this.#connection.release();
  }

  /**
   * Closes the connection. It is how a prepared branch gets free for other connections: until the server has noticed the end, it answers
   * them XAER_NOTA. Never a reset instead: MariaDB 10.11 answers the XA COMMIT of a branch whose connection was reset with success, and
   * the work is lost.
   */
  destroy(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#connection.destroy();
  }
}
