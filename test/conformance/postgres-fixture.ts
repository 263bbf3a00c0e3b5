/** PostgreSQL for the conformance suite: a real server, crashed with SIGKILL and started again. */
import { Pool } from "pg";
import { postgres, postgresPayload, type PostgresHandle, type PostgresParticipant } from "../../src/participant/postgres/index.js";
import { startPostgres } from "../../src/testing/index.js";
import type { ParticipantFixture } from "./participant.js";

/** Long enough for a commit on a busy machine. */
const LOCK_WAIT_MS = 800;
const ADD = "insert into account as a (name, n) values ($1, greatest($2, 0)) on conflict (name) do update set n = a.n + $2";

export async function postgresFixture(): Promise<ParticipantFixture<PostgresHandle>> {
  const server = await startPostgres();
  const clusterId = "conformance";
  const connect = (): Pool => {
    const pool = new Pool({ connectionString: server.dsn, max: 40 });
    // Idle connections break when the server is killed; the pool replaces them.
    pool.on("error", () => undefined);
    return pool;
  };
  const open = async (): Promise<PostgresParticipant> => {
    const participant = postgres({ name: "bank", pool, lockTimeoutMs: LOCK_WAIT_MS });
    await participant.start(clusterId);
    return participant;
  };
  let pool = connect();
  await pool.query("create table account (name text primary key, n bigint not null check (n >= 0))");
  let participant = await open();
  return {
    get participant() {
      return participant;
    },
    clusterId,
    lockWaitMsMax: LOCK_WAIT_MS,
    work: (account, delta) => postgresPayload([{ sql: ADD, params: [account, delta], rows: 1 }]),
    balance: async (account) => {
      const { rows } = await pool.query<{ n: string }>("select n from account where name = $1", [account]);
      return Number(rows[0]?.n ?? 0);
    },
    brought: {
      add: async (handle, account, delta) => void (await handle.query(ADD, [account, delta])),
      read: async (handle, account) => {
        const { rows } = await handle.query<{ n: string }>("select n from account where name = $1", [account]);
        return Number(rows[0]?.n ?? 0);
      },
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
