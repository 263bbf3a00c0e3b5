/**
 * A PostgreSQL participant under test: a real server of its own, tables `account` and `ledger`, asked and brought branches.
 *
 * Its books and doubts are read over the server's own Unix socket.
 */
import { join } from "node:path";
import type pg from "pg";
import type { LedgerRow } from "../../src/check/index.js";
import { openPostgres } from "../../src/cli/postgres-participant.js";
import { parseXid, postgresPayload, XID_PREFIX, type SqlStatement } from "../../src/participant/postgres/index.js";
import { startPostgres, type PostgresServer } from "../../src/testing/index.js";
import { databaseServer } from "./database-server.js";
import { branchOf } from "./observer.js";
import { ParticipantProcess } from "./participant-process.js";
import { watchPrepared } from "./prepared-watch.js";
import { ACCOUNTS, BALANCE, type Resource, type ResourceOptions, type Work } from "./resource.js";

const LOOK_TIMEOUT_MS = 2_000;
const PAGE = 5_000;
const SETTINGS = { maxPreparedTransactions: 256, maxConnections: 80 };

/** Starts the server and makes the tables; the participant's process is not started. Throws QUORATE_PARTICIPANT_SETUP where PostgreSQL is missing. */
export async function postgresResource(options: ResourceOptions): Promise<Resource> {
  const { name, dir, endpoints, routes, duplicatesSeed, observer } = options;
  const server = await startPostgres(SETTINGS);
  const { default: driver } = await import("pg");
  const own = new driver.Pool({ ...overSocket(server), max: 3, connectionTimeoutMillis: LOOK_TIMEOUT_MS });
  // An idle connection that breaks is replaced at the next use; without a listener it would end the process.
  own.on("error", () => undefined);
  await own.query("create table account (id int primary key, balance bigint not null check (balance >= 0))");
  await own.query("create table ledger (gid text not null, branch text not null)");
  await own.query("insert into account select n, $1 from generate_series(0, $2 - 1) as n", [BALANCE, ACCOUNTS]);
  const brought = await openPostgres(name, server.dsn);
  const process = new ParticipantProcess(
    { name, endpoints, routes, store: { kind: "postgres", dsn: server.dsn }, duplicatesSeed },
    join(dir, `${name}.log`),
    observer.listener(name, false),
  );
  const watch = watchPrepared(name, observer, () => prepared(own));
  const count = async (sql: string): Promise<number> => Number((await own.query<{ n: string }>(sql)).rows[0]?.n ?? 0);
  return {
    name,
    kind: "postgres",
    process,
    database: databaseServer(server),
    branchKind: "2pc",
    payload: (work) => postgresPayload(statements(work)),
    bring: (tx, work) =>
      tx.on(brought.participant, async (handle) => {
        // The database's own default waits for a lock for ever.
        await handle.query("set local lock_timeout = '1s'");
        for (const { sql, params } of statements(work)) await handle.query(sql, [...(params ?? [])]);
      }),
    start: (clusterId) => brought.participant.start(clusterId),
    touchAll: () => postgresPayload([{ sql: "update account set balance = balance + 0", rows: ACCOUNTS }]),
    reads: () => Promise.resolve(undefined),
    ledger: async function* () {
      for (let offset = 0; ; offset += PAGE) {
        const { rows } = await own.query<{ gid: string; branch: string; effects: string }>(
          "select gid, branch, count(*) as effects from ledger group by gid, branch order by gid, branch limit $1 offset $2",
          [PAGE, offset],
        );
        if (rows.length > 0)
          yield rows.map(({ gid, branch, effects }): LedgerRow => ({ participant: name, gid, branch, effects: Number(effects) }));
        if (rows.length < PAGE) return;
      }
    },
    balances: async () => {
      const { rows } = await own.query<{ total: string; lowest: string }>(
        "select sum(balance) as total, min(balance) as lowest from account",
      );
      return { total: Number(rows[0]?.total), lowest: Number(rows[0]?.lowest) };
    },
    orphans: () => count(`select count(*) as n from pg_prepared_xacts where starts_with(gid, '${XID_PREFIX}')`),
    // Locks of a prepared transaction have no process.
    locks: () => count("select count(*) as n from pg_locks where pid is null"),
    reserved: undefined,
    leaving: () => observer.probe.left(name),
    returned: () => watch.reset(),
    close: async () => {
      await watch.stop();
      await process.kill9();
      await brought.close().catch(() => undefined);
      await own.end().catch(() => undefined);
      await server.stop();
    },
  };
}

function overSocket({ socketDir, port, user, password, database }: PostgresServer): pg.PoolConfig {
  return { host: socketDir, port, user, password, database };
}

function statements({ gid, branch, move, doomed }: Work): readonly SqlStatement[] {
  return [
    ...(move === undefined
      ? []
      : [{ sql: "update account set balance = balance + $1 where id = $2", params: [move.delta, move.account], rows: 1 }]),
    { sql: "insert into ledger (gid, branch) values ($1, $2)", params: [gid, branch], rows: 1 },
    // A balance below 0 is refused by the table itself.
    ...(doomed ? [{ sql: "update account set balance = -1 where id = 0", params: [], rows: 1 }] : []),
  ];
}

interface Prepared {
  readonly gid: string;
  readonly agoMs: string;
}

async function prepared(pool: pg.Pool): Promise<ReadonlyMap<string, bigint>> {
  const { rows } = await pool.query<Prepared>(
    `select gid, extract(epoch from clock_timestamp() - prepared) * 1000 as "agoMs" from pg_prepared_xacts where starts_with(gid, '${XID_PREFIX}')`,
  );
  return new Map(
    rows.flatMap(({ gid, agoMs }) => {
      const ref = parseXid(gid)?.ref;
      return ref === undefined ? [] : [[branchOf(ref), BigInt(Math.max(0, Math.round(Number(agoMs) * 1e6)))] as const];
    }),
  );
}
