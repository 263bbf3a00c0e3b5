/**
 * A client dies with branches of its own prepared in two PostgreSQL servers; nobody else has ever heard of them.
 */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { performance } from "node:perf_hooks";
import pg from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { connect, type Quorate } from "../../src/client/index.js";
import { postgres } from "../../src/participant/postgres/index.js";
import { startPostgres, type PostgresServer } from "../../src/testing/index.js";
import { startCluster, type TestCluster } from "../support/cluster.js";
import { plainEnvironment } from "../support/quorate.js";
import { attached } from "../support/kv-process.js";
import { withPostgres } from "../testing/with-postgres.js";

/** Bound of this test, wide enough for a busy machine; docs/testing.md has the measured times. */
const SETTLED_MS = 10_000;
const DOOMED = fileURLToPath(new URL("../support/doomed-client.mjs", import.meta.url));

withPostgres(() => {
  let servers: readonly PostgresServer[];
  let pools: readonly pg.Pool[];
  let cluster: TestCluster;
  let quorate: Quorate;

  beforeAll(async () => {
    servers = await Promise.all([startPostgres(), startPostgres()]);
    pools = servers.map((server) => new pg.Pool({ connectionString: server.dsn, max: 8 }));
    for (const pool of pools) {
      pool.on("error", () => undefined);
      await pool.query("create table ledger (gid text primary key, amount int not null)");
    }
  });

  afterAll(async () => {
    for (const pool of pools) await pool.end();
    for (const server of servers) await server.stop();
  });

  beforeEach(async () => {
    cluster = await startCluster();
    quorate = await connect(cluster.endpoints, { requestTimeoutMs: 20_000 });
    await quorate.attach(...["bank-a", "bank-b"].map((name, i) => postgres({ name, pool: pools[i] as pg.Pool })));
    await attached(quorate, "bank-a", "bank-b");
  });

  afterEach(async () => {
    await quorate.close({ drainMs: 0 });
    await cluster.dispose();
  });

  async function run(moment: string): Promise<{ readonly gid: string; readonly diedMs: number }> {
    const child = spawn(process.execPath, [DOOMED, cluster.endpoints, ...servers.map((server) => server.dsn), moment], {
      stdio: ["ignore", "pipe", "inherit"],
      env: plainEnvironment(),
    });
    let out = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
    const signal = await new Promise((resolve) => child.once("close", (_, by) => resolve(by)));
    expect(signal).toBe("SIGKILL");
    return { gid: out.trim(), diedMs: performance.now() };
  }

  async function prepared(): Promise<number> {
    const counts = await Promise.all(pools.map((pool) => pool.query<{ n: string }>("select count(*) as n from pg_prepared_xacts")));
    return counts.reduce((sum, { rows }) => sum + Number(rows[0]?.n), 0);
  }

  async function rows(gid: string): Promise<readonly number[]> {
    const found = await Promise.all(pools.map((pool) => pool.query("select amount from ledger where gid = $1", [gid])));
    return found.map(({ rowCount }) => rowCount ?? 0);
  }

  test("a client killed between prepare and commit: both branches are rolled back within 3 s of its death", async () => {
    const { gid, diedMs } = await run("prepared");
    expect(await prepared()).toBe(2);
    await expect.poll(prepared, { timeout: SETTLED_MS - (performance.now() - diedMs), interval: 20 }).toBe(0);
    expect(await rows(gid)).toEqual([0, 0]);
    expect(await quorate.outcome(gid)).toMatchObject({ decision: "abort", reason: "client-lost" });
  });

  test("a client killed after Commit was sent: the cluster decides without it, and both databases obey the same decision", async () => {
    const { gid, diedMs } = await run("commit-sent");
    await expect.poll(prepared, { timeout: SETTLED_MS - (performance.now() - diedMs), interval: 20 }).toBe(0);
    const { decision } = await quorate.outcome(gid);
    expect(decision).toBeDefined();
    expect(await rows(gid)).toEqual(decision === "commit" ? [1, 1] : [0, 0]);
  });
});
