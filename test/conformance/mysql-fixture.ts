/** MariaDB for the conformance suite: a real server, crashed with SIGKILL and started again. */
import { createPool, type Pool, type RowDataPacket } from "mysql2/promise";
import { mysql, mysqlPayload, type MysqlHandle, type MysqlParticipant } from "../../src/participant/mysql/index.js";
import { startMariadb } from "../../src/testing/index.js";
import type { ParticipantFixture } from "./participant.js";

/** The least the server counts in; long enough for a commit on a busy machine. */
const LOCK_WAIT_MS = 1000;
const ADD = "insert into account (name, n) values (?, if(? < 0, 0, ?)) on duplicate key update n = n + ?";

export async function mysqlFixture(): Promise<ParticipantFixture<MysqlHandle>> {
  const server = await startMariadb();
  const clusterId = "conformance";
  const connect = (): Pool => createPool({ uri: server.dsn, connectionLimit: 40 });
  const open = async (): Promise<MysqlParticipant> => {
    const participant = mysql({ name: "bank", pool, lockTimeoutMs: LOCK_WAIT_MS });
    await participant.start(clusterId);
    return participant;
  };
  const parameters = (account: string, delta: number): (string | number)[] => [account, delta, delta, delta];
  const balanceIn = (rows: RowDataPacket[]): number => Number(rows[0]?.["n"] ?? 0);
  const SELECT = "select n from account where name = ?";
  let pool = connect();
  await pool.query("create table account (name varchar(64) primary key, n bigint not null check (n >= 0)) engine = InnoDB");
  let participant = await open();
  return {
    get participant() {
      return participant;
    },
    clusterId,
    lockWaitMsMax: LOCK_WAIT_MS,
    work: (account, delta) => mysqlPayload([{ sql: ADD, params: parameters(account, delta) }]),
    balance: async (account) => balanceIn((await pool.query<RowDataPacket[]>(SELECT, [account]))[0]),
    brought: {
      add: async (handle, account, delta) => void (await handle.query(ADD, parameters(account, delta))),
      read: async (handle, account) => balanceIn((await handle.query<RowDataPacket[]>(SELECT, [account]))[0]),
    },
    async crash() {
      await server.kill9();
      await participant.close();
      await pool.end();
      await server.restart();
      pool = connect();
      participant = await open();
    },
    async dispose() {
      await participant.close();
      await pool.end();
      await server.stop();
    },
  };
}
