/**
 * A MariaDB participant under test: a real server of its own, tables `account` and `ledger`, asked and brought XA branches.
 *
 * Its books and doubts are read over connections of the harness's own.
 */
import { join } from "node:path";
import type { Pool, RowDataPacket } from "mysql2/promise";
import type { LedgerRow } from "../../src/check/index.js";
import { openMysql, openMysqlPool } from "../../src/cli/mysql-participant.js";
import { listPrepared, mysqlPayload, type SqlStatement } from "../../src/participant/mysql/index.js";
import { startMariadb } from "../../src/testing/index.js";
import { databaseServer } from "./database-server.js";
import { branchOf } from "./observer.js";
import { ParticipantProcess } from "./participant-process.js";
import { watchPrepared } from "./prepared-watch.js";
import { ACCOUNTS, BALANCE, type Resource, type ResourceOptions, type Work } from "./resource.js";

const PAGE = 5_000;
/** The server's own default waits 50 s for a lock: longer than any transaction of the load lives. */
const SETTINGS = { maxConnections: 200, settings: { innodb_lock_wait_timeout: "1" } };
const OWN_CONNECTIONS = 3;
/** InnoDB shows its transactions as they were at the last look, when that is less than 100 ms ago. */
const STALE_MS = 150;

/** Starts the server and makes the tables; the participant's process is not started. Throws QUORATE_PARTICIPANT_SETUP where MariaDB is missing. */
export async function mariadbResource(options: ResourceOptions): Promise<Resource> {
  const { name, dir, endpoints, routes, duplicatesSeed, observer } = options;
  const server = await startMariadb(SETTINGS);
  const own = await openMysqlPool(server.dsn, OWN_CONNECTIONS);
  await own.query("create table account (id int primary key, balance bigint not null check (balance >= 0)) engine = InnoDB");
  await own.query("create table ledger (gid varchar(48) not null, branch varchar(64) not null, index (gid)) engine = InnoDB");
  await own.query("insert into account (id, balance) values ?", [Array.from({ length: ACCOUNTS }, (_, id) => [id, BALANCE])]);
  const brought = await openMysql(name, server.dsn);
  const process = new ParticipantProcess(
    { name, endpoints, routes, store: { kind: "mariadb", dsn: server.dsn }, duplicatesSeed },
    join(dir, `${name}.log`),
    observer.listener(name, false),
  );
  const watch = watchPrepared(name, observer, prepared(own));
  return {
    name,
    kind: "mariadb",
    process,
    database: databaseServer(server),
    branchKind: "2pc",
    payload: (work) => mysqlPayload(statements(work)),
    bring: (tx, work) =>
      tx.on(brought.participant, async (handle) => {
        for (const { sql, params } of statements(work)) await handle.query(sql, params);
      }),
    start: (clusterId) => brought.participant.start(clusterId),
    // Only rows that change count here.
    touchAll: () => mysqlPayload([{ sql: "update account set balance = balance + 0" }]),
    reads: () => Promise.resolve(undefined),
    ledger: async function* () {
      for (let offset = 0; ; offset += PAGE) {
        const [rows] = await own.query<RowDataPacket[]>(
          "select gid, branch, count(*) as effects from ledger group by gid, branch order by gid, branch limit ? offset ?",
          [PAGE, offset],
        );
        if (rows.length > 0)
          yield rows.map((row): LedgerRow => ({
            participant: name,
            gid: String(row["gid"]),
            branch: String(row["branch"]),
            effects: Number(row["effects"]),
          }));
        if (rows.length < PAGE) return;
      }
    },
    balances: async () => {
      const [[row]] = await own.query<RowDataPacket[]>("select sum(balance) as total, min(balance) as lowest from account");
      return { total: Number(row?.["total"]), lowest: Number(row?.["lowest"]) };
    },
    orphans: async () => (await prepared(own)()).size,
    // Of branches, prepared ones without a connection included: nothing else runs here when this is asked.
    locks: async () => {
      await new Promise((resolve) => setTimeout(resolve, STALE_MS));
      const [[row]] = await own.query<RowDataPacket[]>("select coalesce(sum(trx_rows_locked), 0) as n from information_schema.innodb_trx");
      return Number(row?.["n"]);
    },
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

function statements({ gid, branch, move, doomed }: Work): readonly SqlStatement[] {
  return [
    ...(move === undefined
      ? []
      : [{ sql: "update account set balance = balance + ? where id = ?", params: [move.delta, move.account], rows: 1 }]),
    { sql: "insert into ledger (gid, branch) values (?, ?)", params: [gid, branch], rows: 1 },
    // A balance below 0 is refused by the table itself.
    ...(doomed ? [{ sql: "update account set balance = -1 where id = 0", params: [], rows: 1 }] : []),
  ];
}

/** XA RECOVER tells no time: a branch is prepared since the look before the one that saw it first, at the earliest. */
function prepared(pool: Pool): () => Promise<ReadonlyMap<string, bigint>> {
  const since = new Map<string, bigint>();
  let lookedNs = process.hrtime.bigint();
  return async () => {
    const branches = (await listPrepared(pool)).flatMap(({ owner }) => (owner === undefined ? [] : [branchOf(owner.ref)]));
    const nowNs = process.hrtime.bigint();
    for (const branch of since.keys()) if (!branches.includes(branch)) since.delete(branch);
    for (const branch of branches) if (!since.has(branch)) since.set(branch, lookedNs);
    lookedNs = nowNs;
    return new Map([...since].map(([branch, sinceNs]) => [branch, nowNs - sinceNs]));
  };
}
