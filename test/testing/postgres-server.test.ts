import { spawn } from "node:child_process";
import { chmodSync, chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Client } from "pg";
import { afterEach, describe, expect, test } from "vitest";
import { findPostgres, startPostgres, type PostgresServer } from "../../src/testing/index.js";
import { copyBinaries, type PostgresBinaries } from "../../src/testing/postgres-binaries.js";
import { isReachableByAll, unprivilegedAccount } from "../../src/testing/server-host.js";
import { GUARD_SCRIPT } from "../../src/testing/postgres-guard.js";
import { withPostgres } from "./with-postgres.js";

const folderOf = (server: PostgresServer): string => dirname(server.socketDir);
const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

async function query(server: PostgresServer, sql: string): Promise<unknown[]> {
  const client = new Client({ connectionString: server.dsn });
  // A query under way rejects as well.
  client.on("error", () => undefined);
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

withPostgres(() =>
  describe("the PostgreSQL launcher", () => {
    const servers: PostgresServer[] = [];
    const start = async (options = {}): Promise<PostgresServer> => {
      const server = await startPostgres(options);
      servers.push(server);
      return server;
    };
    afterEach(async () => {
      await Promise.all(servers.splice(0).map((server) => server.stop()));
    });

    test("starts several servers at once, apart from each other, syncing, and able to prepare", async () => {
      const both = await Promise.all([start(), start({ maxPreparedTransactions: 3, settings: { log_min_messages: "warning" } })]);
      expect(new Set(both.map((server) => server.port)).size).toBe(2);
      const settings = "select current_setting('fsync') as fsync, current_setting('max_prepared_transactions') as prepared";
      expect(await Promise.all(both.map((server) => query(server, settings)))).toEqual([
        [{ fsync: "on", prepared: "64" }],
        [{ fsync: "on", prepared: "3" }],
      ]);
    });

    test("a killed server starts again at once, though backends were being forked when it died", async () => {
      const server = await start();
      let over = false;
      const connecting = Array.from({ length: 4 }, async () => {
        while (!over) await query(server, "select 1").catch(() => undefined);
      });
      for (let round = 0; round < 3; round++) {
        await query(server, "select 1");
        await server.kill9();
        await server.restart();
      }
      over = true;
      await Promise.all(connecting);
      expect(await query(server, "select 1 as one")).toEqual([{ one: 1 }]);
    });

    test("stops without leaving a process, a folder or a port behind", async () => {
      const server = await start();
      const pid = server.pid as number;
      await server.stop();
      await server.stop();
      expect([isAlive(pid), existsSync(folderOf(server))]).toEqual([false, false]);
      await expect(query(server, "select 1")).rejects.toThrow();
      await expect(server.restart()).rejects.toMatchObject({ code: "QUORATE_CLOSED" });
    });

    test("stops at once for a caller that cannot wait", async () => {
      const server = await start();
      const pid = server.pid as number;
      server.stopSync();
      expect([isAlive(pid), existsSync(folderOf(server))]).toEqual([false, false]);
    });

    test("comes back with its data after kill -9, on the same port, with other settings, and still cleans up after one", async () => {
      const server = await start();
      await query(server, "create table t as select 1 as n");
      const { pid } = server;
      await server.kill9();
      expect(server.pid).toBeUndefined();
      expect(isAlive(pid as number)).toBe(false);
      await expect(query(server, "select 1")).rejects.toThrow();
      await server.restart({ max_prepared_transactions: "5" });
      expect(await query(server, "select n, current_setting('max_prepared_transactions') as prepared from t")).toEqual([
        { n: 1, prepared: "5" },
      ]);
      await server.kill9();
      await server.stop();
      expect(existsSync(folderOf(server))).toBe(false);
    });

    test("says in the server's words why it does not start, and leaves nothing", async () => {
      const before = readdirSync(tmpdir()).filter((name) => name.startsWith("quorate-pg-"));
      await expect(start({ settings: { work_mem: "a lot" } })).rejects.toMatchObject({
        code: "QUORATE_PARTICIPANT_SETUP",
        message: expect.stringMatching(/did not start.*invalid value for parameter "work_mem"/s) as string,
      });
      expect(readdirSync(tmpdir()).filter((name) => name.startsWith("quorate-pg-") && !before.includes(name))).toEqual([]);
    });

    test("ends with its parent, also when that is killed", async () => {
      // The parent here is a node process of its own that holds a guard as the launcher does, with a real server.
      const { folder: binaries } = findPostgres() as PostgresBinaries;
      const account = unprivilegedAccount();
      const folder = mkdtempSync(join(tmpdir(), "quorate-guard-test-"));
      writeFileSync(join(folder, "password"), "secret");
      writeFileSync(join(folder, "server.conf"), `listen_addresses = ''\nunix_socket_directories = '${folder}'\n`);
      if (account !== undefined) for (const path of [folder, join(folder, "password")]) chownSync(path, account.uid, account.gid);
      const parent = spawn(
        process.execPath,
        [
          "-e",
          `const [script, folder, binaries, account] = process.argv.slice(1);
           const guard = require("node:child_process").spawn("/bin/sh", ["-c", script, "guard", folder, binaries],
             { ...JSON.parse(account), cwd: folder, detached: true, stdio: ["pipe", "ignore", "ignore"] });
           guard.stdin.write("init\\nstart\\n");`,
          GUARD_SCRIPT,
          folder,
          binaries,
          JSON.stringify(account ?? {}),
        ],
        { stdio: "ignore" },
      );
      const lockFile = join(folder, "data", "postmaster.pid");
      await expect.poll(() => existsSync(lockFile) && readFileSync(lockFile, "utf8").includes("ready"), { timeout: 20_000 }).toBe(true);
      const pid = Number(readFileSync(lockFile, "utf8").split("\n")[0]);
      expect(isAlive(pid)).toBe(true);
      parent.kill("SIGKILL");
      await expect.poll(() => [isAlive(pid), existsSync(folder)], { timeout: 10_000 }).toEqual([false, false]);
    });

    test("runs from a private copy with its links restored where the package lacks them", async () => {
      const found = findPostgres() as PostgresBinaries;
      const folder = mkdtempSync(join(tmpdir(), "quorate-copy-test-"));
      try {
        const link = join("lib", "libpq.so.5");
        copyBinaries(found, join(folder, "whole"));
        rmSync(join(folder, "whole", link));
        copyBinaries({ folder: join(folder, "whole"), missingLinks: [{ path: link, target: "libpq.so.5.18" }] }, join(folder, "copy"));
        expect(readFileSync(join(folder, "copy", link)).equals(readFileSync(join(found.folder, link)))).toBe(true);
        chmodSync(folder, 0o700);
        expect(isReachableByAll(join(folder, "copy", "bin", "postgres"))).toBe(false);
        chmodSync(folder, 0o755);
        expect(isReachableByAll(join(folder, "copy", "bin", "postgres"))).toBe(true);
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    });
  }),
);
