import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient } from "redis";
import { afterEach, describe, expect, test } from "vitest";
import { findRedis, startRedis, type RedisServer } from "../../src/testing/index.js";
import type { RedisBinaries } from "../../src/testing/redis-binaries.js";
import { REDIS_GUARD_SCRIPT } from "../../src/testing/redis-server.js";
import { withRedis } from "./with-redis.js";

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

async function ask(server: RedisServer, ...command: string[]): Promise<unknown> {
  const client = createClient({ url: server.url, socket: { reconnectStrategy: false } });
  client.on("error", () => undefined);
  await client.connect();
  try {
    return await client.sendCommand(command);
  } finally {
    client.destroy();
  }
}

withRedis(() =>
  describe("the Redis launcher", () => {
    const servers: RedisServer[] = [];
    const start = async (settings = {}): Promise<RedisServer> => {
      const server = await startRedis(settings);
      servers.push(server);
      return server;
    };
    afterEach(async () => {
      await Promise.all(servers.splice(0).map((server) => server.stop()));
    });

    test("starts several servers at once, apart from each other, syncing", async () => {
      const both = await Promise.all([start(), start({ appendfsync: "everysec" })]);
      expect(new Set(both.map(({ port }) => port)).size).toBe(2);
      expect(await Promise.all(both.map((server) => ask(server, "CONFIG", "GET", "appendfsync")))).toEqual([
        { appendfsync: "always" },
        { appendfsync: "everysec" },
      ]);
    });

    test("comes back with its data after kill -9, on the same port, with other settings; stops without leaving anything", async () => {
      const server = await start();
      await ask(server, "SET", "n", "1");
      const pid = server.pid as number;
      await server.kill9();
      expect([server.pid, isAlive(pid)]).toEqual([undefined, false]);
      await expect(ask(server, "GET", "n")).rejects.toThrow();
      await server.restart({ maxmemory: "64mb" });
      expect(await ask(server, "GET", "n")).toBe("1");
      await server.stop();
      await server.stop();
      expect([isAlive(pid), existsSync(server.folder)]).toEqual([false, false]);
      await expect(server.restart()).rejects.toMatchObject({ code: "QUORATE_CLOSED" });
    });

    test("says in the server's words why it does not start, and leaves nothing", async () => {
      const before = readdirSync(tmpdir()).filter((name) => name.startsWith("quorate-redis-"));
      await expect(start({ appendfsync: "sometimes" })).rejects.toMatchObject({
        code: "QUORATE_PARTICIPANT_SETUP",
        message: expect.stringMatching(/did not start.*appendfsync/s) as string,
      });
      expect(readdirSync(tmpdir()).filter((name) => name.startsWith("quorate-redis-") && !before.includes(name))).toEqual([]);
    });

    test("ends with its parent, also when that is killed", async () => {
      const { program, libraries } = findRedis() as RedisBinaries;
      const folder = mkdtempSync(join(tmpdir(), "quorate-guard-test-"));
      const pidFile = join(folder, "pid");
      writeFileSync(join(folder, "redis.conf"), `port 0\nunixsocket ${folder}/socket\npidfile ${pidFile}\ndaemonize no\nsave ""\n`);
      const parent = spawn(
        process.execPath,
        [
          "-e",
          `const [script, folder, program] = process.argv.slice(1);
           const guard = require("node:child_process").spawn("/bin/sh", ["-c", script, "guard", folder, program],
             { cwd: folder, detached: true, stdio: ["pipe", "ignore", "ignore"] });
           guard.stdin.write("start\\n");`,
          REDIS_GUARD_SCRIPT,
          folder,
          program,
        ],
        { stdio: "ignore", env: { ...process.env, LD_LIBRARY_PATH: libraries.join(":") } },
      );
      await expect.poll(() => existsSync(pidFile) && readFileSync(pidFile, "utf8").trim() !== "", { timeout: 20_000 }).toBe(true);
      const pid = Number(readFileSync(pidFile, "utf8"));
      expect(isAlive(pid)).toBe(true);
      parent.kill("SIGKILL");
      await expect.poll(() => [isAlive(pid), existsSync(folder)], { timeout: 10_000 }).toEqual([false, false]);
    });
  }),
);
