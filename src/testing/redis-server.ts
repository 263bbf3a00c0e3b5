/**
 * Starts a real Redis for tests: private, on a free port of 127.0.0.1, every write synced before its answer, gone with its parent.
 *
 * Redis does not notice that the process which started it is gone. So a small shell starts it and reads commands from a pipe that only
 * the parent holds: when the parent ends, however it ends, the pipe closes, and the shell kills the server and removes its folder.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { QuorateError } from "../base/index.js";
import { gone, signal } from "./process-table.js";
import { findRedis } from "./redis-binaries.js";

type Settings = Readonly<Record<string, string>>;

export interface RedisServer {
  /** `redis://:password@127.0.0.1:port`. */
  readonly url: string;
  readonly port: number;
  readonly password: string;
  /** Its private folder: redis.conf, log and data. */
  readonly folder: string;
  /** undefined while it does not run. */
  readonly pid: number | undefined;
  log(): string;
  /** Kills the server with SIGKILL. The data stays for `restart`. */
  kill9(): Promise<void>;
  /** Stops the server if it runs, and starts it again on the same data and port, with these settings on top of the former ones. */
  restart(settings?: Settings): Promise<void>;
  /** Stops the server and removes everything. Idempotent. */
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

const HOST = "127.0.0.1";
const READY_TIMEOUT_MS = 30_000;
const POLL_MS = 10;
const PORT_ATTEMPTS = 5;

/** $1 the program, $2 the folder. One line of answer for each line of command. */
export const REDIS_GUARD_SCRIPT = `
program=$1 folder=$2 child=
trap '' INT TERM HUP
while read -r command; do
  case $command in
    start)
      "$program" "$folder/redis.conf" </dev/null >>"$folder/log" 2>&1 &
      child=$!
      echo "$child" ;;
    end)
      kill -TERM "$child" 2>/dev/null
      wait "$child"
      child=
      echo ended ;;
  esac
done
if [ -n "$child" ]; then kill -KILL "$child" 2>/dev/null; wait "$child"; fi
rm -rf "$folder"
`;

/** Settings by their names in redis.conf. Rejects with QUORATE_PARTICIPANT_SETUP when there is no server or it does not come up. */
export async function startRedis(settings: Settings = {}): Promise<RedisServer> {
  const found = findRedis();
  if ("missing" in found) throw new QuorateError("QUORATE_PARTICIPANT_SETUP", found.missing);
  const folder = mkdtempSync(join(tmpdir(), "quorate-redis-"));
  const env = { PATH: process.env["PATH"] ?? "/usr/bin:/bin", LC_ALL: "C", LD_LIBRARY_PATH: found.libraries.join(":") };
  const guard = spawn("/bin/sh", ["-c", REDIS_GUARD_SCRIPT, "quorate-redis-guard", found.program, folder], {
    cwd: folder,
    detached: true,
    env,
    stdio: ["pipe", "pipe", "ignore"],
  });
  const server = new LaunchedRedis(folder, guard, settings);
  try {
    await server.launch();
    return server;
  } catch (error) {
    await server.stop();
    throw error;
  }
}

class LaunchedRedis implements RedisServer {
  readonly folder: string;
  readonly password = randomBytes(12).toString("hex");
  readonly #guard: ChildProcess;
  readonly #ended: Promise<void>;
  #settings: Settings;
  #port = 0;
  #pid: number | undefined;
  #stopping: Promise<void> | undefined;
  #said = "";
  #hear: ((line: string | undefined) => void) | undefined;

  constructor(folder: string, guard: ChildProcess, settings: Settings) {
    this.folder = folder;
    this.#guard = guard;
    this.#settings = settings;
    guard.stdin?.on("error", () => undefined);
    guard.stdout?.setEncoding("utf8");
    guard.stdout?.on("data", (chunk: string) => {
      this.#said += chunk;
      const end = this.#said.indexOf("\n");
      if (end < 0) return;
      const line = this.#said.slice(0, end);
      this.#said = this.#said.slice(end + 1);
      this.#hear?.(line);
    });
    this.#ended = new Promise((resolve) => {
      guard.once("error", () => resolve());
      guard.once("close", () => resolve());
    });
    void this.#ended.then(() => this.#hear?.(undefined));
    this.#hold(false);
  }

  get port(): number {
    return this.#port;
  }

  get pid(): number | undefined {
    return this.#pid;
  }

  get url(): string {
    return `redis://:${this.password}@${HOST}:${this.#port}`;
  }

  log(): string {
    const path = join(this.folder, "log");
    return existsSync(path) ? readFileSync(path, "utf8") : "";
  }

  async launch(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      this.#port = await freePort();
      try {
        return await this.#start();
      } catch (error) {
        // Another process took the port between our look and the server's bind.
        if (attempt === PORT_ATTEMPTS || !this.log().includes("Address already in use")) throw error;
      }
    }
  }

  async kill9(): Promise<void> {
    const pid = this.#pid;
    if (pid === undefined) return;
    this.#pid = undefined;
    signal(pid, "SIGKILL");
    await gone([pid], "running");
    await this.#command("end");
  }

  async restart(settings: Settings = {}): Promise<void> {
    if (this.#stopping !== undefined) throw new QuorateError("QUORATE_CLOSED", "the Redis test server is stopped");
    this.#settings = { ...this.#settings, ...settings };
    if (this.#pid !== undefined) {
      this.#pid = undefined;
      await this.#command("end");
    }
    await this.#start();
  }

  stop(): Promise<void> {
    return (this.#stopping ??= this.#stop());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #stop(): Promise<void> {
    this.#pid = undefined;
    this.#guard.ref();
    this.#guard.stdin?.end();
    await this.#ended;
    // The guard did it, unless it could not even be started.
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #start(): Promise<void> {
    const before = this.log().length;
    writeFileSync(join(this.folder, "redis.conf"), this.#configuration(), { mode: 0o600 });
    const pid = Number(await this.#command("start"));
    const end = performance.now() + READY_TIMEOUT_MS;
    for (;;) {
      const news = this.log().slice(before);
      if (news.includes("Ready to accept connections")) break;
      const failed = /FATAL|Failed|Fatal error|\*\*\*/.test(news);
      if (failed || performance.now() > end) {
        await this.#command("end");
        const why = failed ? "did not start" : `was not ready after ${READY_TIMEOUT_MS} ms`;
        throw new QuorateError("QUORATE_PARTICIPANT_SETUP", `the Redis test server ${why}:\n${news.slice(-2000)}`);
      }
      await delay(POLL_MS);
    }
    this.#pid = pid;
  }

  #configuration(): string {
    const settings: Settings = {
      bind: HOST,
      port: String(this.#port),
      dir: this.folder,
      requirepass: this.password,
      appendonly: "yes",
      appendfsync: "always",
      save: '""',
      ...this.#settings,
    };
    return Object.entries(settings)
      .map(([name, value]) => `${name} ${value}\n`)
      .join("");
  }

  /** One command, one line of answer. One at a time. */
  async #command(text: "start" | "end"): Promise<string> {
    this.#hold(true);
    try {
      const line = await new Promise<string | undefined>((resolve) => {
        this.#hear = resolve;
        if (this.#guard.exitCode !== null || this.#guard.stdin?.writable !== true) resolve(undefined);
        else this.#guard.stdin.write(`${text}\n`);
      });
      if (line === undefined) throw new QuorateError("QUORATE_PARTICIPANT", "the guard of the Redis test server has ended");
      return line;
    } finally {
      this.#hear = undefined;
      this.#hold(false);
    }
  }

  /** A server that somebody forgot to stop must not keep the parent alive; an answer that is awaited must. */
  #hold(on: boolean): void {
    const handles = [this.#guard, this.#guard.stdin, this.#guard.stdout] as ({ ref?(): unknown; unref?(): unknown } | null)[];
    for (const handle of handles) {
      if (on) handle?.ref?.();
      else handle?.unref?.();
    }
  }
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve, reject) => {
    probe.once("error", reject);
    probe.listen(0, HOST, resolve);
  });
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}
