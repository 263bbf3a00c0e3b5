import { spawn, spawnSync } from "node:child_process";
import { chmodSync, chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createConnection, type RowDataPacket } from "mysql2/promise";
import { afterEach, describe, expect, test } from "vitest";
import { DebianPackages, PackagesUnavailableError } from "../../src/testing/debian-packages.js";
import { findMariadb, startMariadb, type MariadbServer } from "../../src/testing/index.js";
import type { MariadbBinaries } from "../../src/testing/mariadb-binaries.js";
import { MARIADB_GUARD_SCRIPT } from "../../src/testing/mariadb-guard.js";
import { copyFolder, unprivilegedAccount, type Account } from "../../src/testing/server-host.js";
import { withMariadb } from "./with-mariadb.js";

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

async function query(server: MariadbServer, sql: string): Promise<unknown> {
  const connection = await createConnection(server.dsn);
  try {
    const [rows] = await connection.query<RowDataPacket[]>(sql);
    return rows;
  } finally {
    connection.destroy();
  }
}

/** A temporary folder that no other test uses at the same time. */
async function inFolderOfItsOwn(use: (folder: string) => Promise<void>, owner?: Account): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "quorate-launcher-test-"));
  const before = process.env["TMPDIR"];
  chmodSync(folder, 0o777);
  if (owner !== undefined) chownSync(folder, owner.uid, owner.gid);
  process.env["TMPDIR"] = folder;
  try {
    await use(folder);
  } finally {
    if (before === undefined) delete process.env["TMPDIR"];
    else process.env["TMPDIR"] = before;
    rmSync(folder, { recursive: true, force: true });
  }
}

withMariadb(() =>
  describe("the MariaDB launcher", () => {
    const servers: MariadbServer[] = [];
    const start = async (options = {}): Promise<MariadbServer> => {
      const server = await startMariadb(options);
      servers.push(server);
      return server;
    };
    afterEach(async () => {
      await Promise.all(servers.splice(0).map((server) => server.stop()));
    });

    test("starts several servers at once, apart from each other, syncing, with nobody but their one user", async () => {
      const both = await Promise.all([start(), start({ maxConnections: 17 })]);
      expect(new Set(both.map((server) => server.port)).size).toBe(2);
      const settings = "select @@innodb_flush_log_at_trx_commit as flush, @@max_connections as connections, @@bind_address as address";
      expect(await Promise.all(both.map((server) => query(server, settings)))).toEqual([
        [{ flush: 1, connections: 200, address: "127.0.0.1" }],
        [{ flush: 1, connections: 17, address: "127.0.0.1" }],
      ]);
      expect(await query(both[0], "select user from mysql.global_priv where json_value(priv, '$.access') > 0")).toEqual([
        { user: "quorate" },
      ]);
      if (process.getuid?.() === 0) expect(readFileSync(`/proc/${both[0].pid}/status`, "utf8")).not.toMatch(/^Uid:\s+0\b/m);
    });

    test("comes back with its data after kill -9, on the same port, with other settings, and still cleans up after one", async () => {
      const server = await start();
      await query(server, "create table t as select 1 as n");
      const { pid } = server;
      await server.kill9();
      expect([server.pid, isAlive(pid as number)]).toEqual([undefined, false]);
      await expect(query(server, "select 1")).rejects.toThrow();
      await server.restart({ max_connections: "19" });
      expect(await query(server, "select n, @@max_connections as connections from t")).toEqual([{ n: 1, connections: 19 }]);
      await server.kill9();
      await server.stop();
      expect(existsSync(server.folder)).toBe(false);
    });

    test("stops without leaving a process or a folder behind, also for a caller that cannot wait", async () => {
      const polite = await start();
      const pid = polite.pid as number;
      await polite.stop();
      await polite.stop();
      expect([isAlive(pid), existsSync(polite.folder)]).toEqual([false, false]);
      await expect(polite.restart()).rejects.toMatchObject({ code: "QUORATE_CLOSED" });
      const forced = await start();
      const forcedPid = forced.pid as number;
      forced.stopSync();
      expect([isAlive(forcedPid), existsSync(forced.folder)]).toEqual([false, false]);
    });

    test("says in the server's words why it does not start, and leaves nothing", async () => {
      await inFolderOfItsOwn(async (folder) => {
        await expect(start({ settings: { no_such_setting: "1" } })).rejects.toMatchObject({
          code: "QUORATE_PARTICIPANT_SETUP",
          message: expect.stringMatching(/unknown variable 'no_such_setting=1'/) as string,
        });
        expect(readdirSync(folder)).toEqual([]);
      });
    });

    test("runs from a copy where its account cannot come to the binaries, and leaves nothing of it", async () => {
      const found = findMariadb() as MariadbBinaries;
      const account = unprivilegedAccount() ?? { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
      if (found.root === undefined) return;
      await inFolderOfItsOwn((folder) => {
        const copy = join(folder, "copy");
        copyFolder(found.root as string, copy, /\.(gz|a)$/, account);
        const removed = spawnSync("rm", ["-rf", copy], { ...account });
        expect([removed.status, existsSync(copy)]).toEqual([0, false]);
        return Promise.resolve();
      }, account);
    });
  }),
);

test("the guard of a MariaDB ends with its parent, also when that is killed", async () => {
  // The program stands in for the server: what is tried is the shell that owns it.
  const folder = mkdtempSync(join(tmpdir(), "quorate-guard-test-"));
  const parent = spawn(
    process.execPath,
    [
      "-e",
      `const [script, folder] = process.argv.slice(1);
       const guard = require("node:child_process").spawn("/bin/sh", ["-c", script, "guard", folder, "/bin/cat"],
         { cwd: folder, detached: true, stdio: ["pipe", "pipe", "ignore"] });
       guard.stdout.pipe(process.stdout);
       guard.stdin.write("start\\n");`,
      MARIADB_GUARD_SCRIPT.replace('"$program" --defaults-file="$folder/server.cnf" </dev/null', "sleep 600"),
      folder,
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  let said = "";
  parent.stdout.setEncoding("utf8").on("data", (chunk: string) => (said += chunk));
  await expect.poll(() => said, { timeout: 10_000 }).toMatch(/started \d+/);
  const pid = Number(/started (\d+)/.exec(said)?.[1]);
  expect(isAlive(pid)).toBe(true);
  parent.kill("SIGKILL");
  await expect.poll(() => [isAlive(pid), existsSync(folder)], { timeout: 10_000 }).toEqual([false, false]);
});

describe("Debian's packages", () => {
  test("that nobody knows are unavailable by name", () => {
    const folder = mkdtempSync(join(tmpdir(), "quorate-packages-test-"));
    try {
      const packages = new DebianPackages(folder);
      expect(() =>
        packages.unpack(
          "nothing",
          () => {
            throw new PackagesUnavailableError("this system's package lists know no such-package");
          },
          () => undefined,
        ),
      ).toThrow(PackagesUnavailableError);
      expect(readdirSync(folder)).toEqual([]);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
