/**
 * Adapters in processes of their own: PostgreSQL as it is shipped is refused in words, and as it is needed takes part.
 */
import { spawn } from "node:child_process";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import pg from "pg";
import { PROGRAM } from "../../src/cli/index.js";
import { postgresPayload } from "../../src/participant/postgres/index.js";
import { startPostgres, type PostgresServer } from "../../src/testing/index.js";
import { startCluster, type TestCluster } from "../support/cluster.js";
import { plainEnvironment, quorate, quorateJson } from "../support/quorate.js";

const PATIENCE_MS = 20_000;

let cluster: TestCluster;
let server: PostgresServer;

beforeAll(async () => {
  [cluster, server] = await Promise.all([startCluster(), startPostgres({ maxPreparedTransactions: 0 })]);
});

afterAll(async () => {
  await Promise.all([cluster.dispose(), server.stop()]);
});

describe("quorate participant postgres", () => {
  test("refuses a server without prepared transactions, naming the setting and a value", async () => {
    const result = await quorate(["participant", "postgres", "--name", "orders", "--dsn", server.dsn, "--endpoints", cluster.endpoints]);
    expect(result).toMatchObject({ code: 5, stdout: "" });
    expect(result.stderr).toMatch(/max_prepared_transactions.*\[QUORATE_PARTICIPANT_SETUP\]/);
    const status = (await quorateJson(["status", "--endpoints", cluster.endpoints])) as { cluster: { participants: unknown[] } };
    expect(status.cluster.participants).toEqual([]);
  });

  test("says that a database does not answer", async () => {
    const dsn = `postgres://${server.user}@127.0.0.1:9/none`;
    const result = await quorate(["participant", "postgres", "--name", "orders", "--dsn", dsn, "--endpoints", cluster.endpoints]);
    expect(result).toMatchObject({ code: 5 });
    expect(result.stderr).toMatch(/the database of --dsn does not answer: .*ECONNREFUSED.*\[QUORATE_PARTICIPANT_SETUP\]/);
    expect(result.stderr).not.toContain(server.password);
  });

  test("takes part once the server is set up, and ends with 0 when it is told to", async () => {
    await server.restart({ max_prepared_transactions: "16" });
    const args = ["participant", "postgres", "--name", "orders", "--dsn", server.dsn, "--endpoints", cluster.endpoints, "-o", "ndjson"];
    const child = spawn(process.execPath, [PROGRAM, ...args], { stdio: ["ignore", "pipe", "inherit"], env: plainEnvironment() });
    let said = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => (said += chunk));
    await expect.poll(() => said, { timeout: PATIENCE_MS }).toContain('"attached":true');

    const database = new pg.Client({ connectionString: server.dsn });
    await database.connect();
    await database.query("create table stock (item text primary key, n int not null)");
    const on = ["--endpoints", cluster.endpoints];
    const { gid } = (await quorateJson(["txn", "begin", ...on])) as { gid: string };
    const work = Buffer.from(postgresPayload([{ sql: "insert into stock values ($1, $2)", params: ["apple", 3] }])).toString();
    await quorateJson(["txn", "enlist", gid, "-p", "orders", "--payload", work, ...on]);
    expect(await quorateJson(["txn", "commit", gid, ...on])).toMatchObject({ decision: "commit" });
    await expect
      .poll(async () => (await database.query("select * from stock")).rows, { timeout: PATIENCE_MS })
      .toEqual([{ item: "apple", n: 3 }]);
    await database.end();

    child.kill("SIGTERM");
    expect(await new Promise((resolve) => child.once("exit", resolve))).toBe(0);
    await expect
      .poll(async () => ((await quorateJson(["status", ...on])) as { cluster: { participants: unknown[] } }).cluster.participants)
      .toEqual([{ name: "orders", kind: "postgres", instances: 0 }]);
  });
});
