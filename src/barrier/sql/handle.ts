/**
 * The handles of a transaction that the barrier takes, told apart by their shape: no library is imported.
 *
 *   pg                client of a pool, or a Client                     query
 *   mysql2            connection, of promises or of callbacks           query
 *   knex              transaction                                       raw
 *   kysely            Transaction                                       executeQuery
 *   drizzle           tx                                                execute
 *   TypeORM           EntityManager or QueryRunner                      query
 *
 * A library that knows that no transaction is open is believed at once; otherwise the dialect asks the server.
 */
import { QuorateError } from "../../base/index.js";
import type { SqlAnswer, SqlRunner } from "./dialect.js";

type Fn = (...args: unknown[]) => unknown;
type Shape = Readonly<Record<string, unknown>>;

export function runnerOf(handle: unknown): SqlRunner {
  const shape = shapeOf(handle);
  if (shape === undefined) throw unknownHandle(handle);
  if (has(shape, "raw") && "client" in shape) return knexRunner(shape);
  if (has(shape, "executeQuery", "selectFrom")) return kyselyRunner(shape);
  if (has(shape, "getRepository") && "queryRunner" in shape) return typeormRunner(shape["queryRunner"], "EntityManager");
  if (has(shape, "query") && typeof shape["isTransactionActive"] === "boolean") return typeormRunner(shape, "QueryRunner");
  if (has(shape, "getConnection"))
    throw wrongHandle(
      "this is a mysql2 pool, whose statements run on any connection; take one with getConnection() and begin a transaction on it",
    );
  if (has(shape, "execute", "select", "insert")) return drizzleRunner(shape);
  if (typeof shape["totalCount"] === "number" && has(shape, "connect"))
    throw wrongHandle(
      "this is a pg Pool, whose statements run on any connection; take a client with connect() and begin a transaction on it",
    );
  if (has(shape, "query", "beginTransaction")) return mysql2Runner(shape);
  if (has(shape, "query")) return pgRunner(shape);
  throw unknownHandle(handle);
}

function pgRunner(client: Shape): SqlRunner {
  return {
    run: async (sql) => answerOf(await invoke(client, "query", sql)),
    // Since 8.18: the server's own word with each answer. I: idle, T: in a transaction, E: in a failed one.
    get inTransaction() {
      const status = has(client, "getTransactionStatus") ? invoke(client, "getTransactionStatus") : undefined;
      return typeof status === "string" ? status !== "I" : undefined;
    },
  };
}

function mysql2Runner(connection: Shape): SqlRunner {
  // A connection of callbacks has its twin of promises.
  const promised = (has(connection, "promise") ? invoke(connection, "promise") : connection) as Shape;
  // A pool may be made with other wishes for its rows; these are for this query only.
  const plain = { rowsAsArray: false, nestTables: false, typeCast: true };
  return { run: async (sql) => answerOf(await invoke(promised, "query", { sql, ...plain })) };
}

function knexRunner(trx: Shape): SqlRunner {
  if (trx["isTransaction"] !== true)
    throw wrongHandle("this is knex itself and not a transaction of it; call within(trx, ...) inside knex.transaction(async (trx) => ...)");
  if (has(trx, "isCompleted") && invoke(trx, "isCompleted") === true) throw wrongHandle("this knex transaction has ended");
  return { run: async (sql) => answerOf(await invoke(trx, "raw", sql)), inTransaction: true };
}

function kyselyRunner(trx: Shape): SqlRunner {
  if (trx["isTransaction"] !== true)
    throw wrongHandle(
      "this is a Kysely instance and not a transaction of it; call within(trx, ...) inside db.transaction().execute(async (trx) => ...)",
    );
  return {
    inTransaction: true,
    run: async (sql) => {
      // What kysely's own `CompiledQuery.raw(sql)` makes.
      const query = { kind: "RawNode", sqlFragments: [sql], parameters: [] };
      return answerOf(await invoke(trx, "executeQuery", { sql, query, parameters: [], queryId: { queryId: "quorate" } }));
    },
  };
}

function drizzleRunner(tx: Shape): SqlRunner {
  if (!has(tx, "rollback"))
    throw wrongHandle(
      "this is a Drizzle database and not a transaction of it; call within(tx, ...) inside db.transaction(async (tx) => ...)",
    );
  return { run: async (sql) => answerOf(await invoke(tx, "execute", sql)), inTransaction: true };
}

function typeormRunner(queryRunner: unknown, what: string): SqlRunner {
  const shape = shapeOf(queryRunner);
  if (shape?.["isTransactionActive"] !== true)
    throw wrongHandle(
      `this TypeORM ${what} has no transaction open; use the manager that dataSource.transaction(async (manager) => ...) gives`,
    );
  return {
    run: async (sql) => answerOf(await invoke(shape, "query", sql)),
    get inTransaction() {
      return shape["isTransactionActive"] === true;
    },
  };
}

/** What the libraries answer: `{ rows }`; `[rows or header, fields]`; or the rows, or the header, alone. */
function answerOf(answer: unknown): SqlAnswer {
  if (Array.isArray(answer)) {
    const [first] = answer as readonly unknown[];
    // Only mysql2 puts a list, or a header, first; rows are plain objects.
    if (Array.isArray(first)) return { rows: first as SqlAnswer["rows"] };
    if (isHeader(first)) return { rows: [], serverStatus: first.serverStatus };
    return { rows: answer as SqlAnswer["rows"] };
  }
  if (isHeader(answer)) return { rows: [], serverStatus: answer.serverStatus };
  const rows = shapeOf(answer)?.["rows"];
  return { rows: Array.isArray(rows) ? (rows as SqlAnswer["rows"]) : [] };
}

function isHeader(value: unknown): value is { readonly serverStatus: number } {
  const shape = shapeOf(value);
  return typeof shape?.["serverStatus"] === "number" && "affectedRows" in shape;
}

function shapeOf(value: unknown): Shape | undefined {
  return (typeof value === "object" && value !== null) || typeof value === "function" ? (value as Shape) : undefined;
}

function has(shape: Shape, ...methods: readonly string[]): boolean {
  return methods.every((method) => typeof shape[method] === "function");
}

function invoke(shape: Shape, method: string, ...args: unknown[]): unknown {
  return (shape[method] as Fn).apply(shape, args);
}

export function wrongHandle(problem: string): QuorateError {
  return new QuorateError("QUORATE_INVALID_ARGUMENT", `barrier.within needs the handle of an open transaction: ${problem}`);
}

function unknownHandle(handle: unknown): QuorateError {
  const what = handle === null ? "null" : typeof handle;
  return wrongHandle(
    `this ${what} is none that is known. Taken are: a pg client, a mysql2 connection, a knex transaction, a Kysely Transaction, a Drizzle tx, ` +
      "a TypeORM EntityManager or QueryRunner",
  );
}
