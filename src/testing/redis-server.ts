/**
 * Starts a real Redis for tests: private, on a free port of 127.0.0.1, every write synced before its answer, gone with its parent.
 *
 * Everything lives in one temporary folder, which the guard (server-guard.ts) removes with the server. It runs as whoever starts it.
 */
import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { QuorateError } from "../base/index.js";
import { gone, signal } from "./process-table.js";
import { findRedis, type RedisBinaries } from "./redis-binaries.js";
import { ServerGuard } from "./server-guard.js";
import { freePort, LOOPBACK } from "./server-host.js";

type Settings = Readonly<Record<string, string>>;

export interface RedisServer {
  /** `redis://:password@127.0.0.1:port`. */
  readonly url: string;
  readonly port: number;
  readonly password: string;
  /** Its private folder: redis.conf, log and data; gone after `stop`. */
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

const READY_TIMEOUT_MS = 30_000;
const POLL_MS = 10;
const PORT_ATTEMPTS = 5;

/** See GuardOptions.script. $1 the folder, $2 the server's program. */
export const REDIS_GUARD_SCRIPT = `
folder=$1 program=$2 child=
trap '' INT TERM HUP
finish() {
  # Everything goes with it: a clean shutdown would only take time.
  if [ -n "$child" ]; then kill -KILL "$child" 2>/dev/null; wait "$child"; fi
  rm -rf "$folder"
  exit 0
}
trap finish USR1
while read -r command; do
  case $command in
    start)
      "$program" "$folder/redis.conf" </dev/null >>"$folder/log" 2>&1 &
      child=$!
      echo "started $child" ;;
    stop)
      kill -TERM "$child" 2>/dev/null
      wait "$child"
      child=
      echo "stopped" ;;
    reap)
      wait "$child"
      child=
      echo "reaped" ;;
  esac
done
finish
`;

/** Settings by their names in redis.conf. Rejects with QUORATE_PARTICIPANT_SETUP when there is no server or it does not come up. */
export async function startRedis(settings: Settings = {}): Promise<RedisServer> {
  const found = findRedis();
  if ("missing" in found) throw new QuorateError("QUORATE_PARTICIPANT_SETUP", found.missing);
  const server = new LaunchedRedis(mkdtempSync(join(tmpdir(), "quorate-redis-")), found, settings);
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
  readonly #guard: ServerGuard;
  #settings: Settings;
  #port = 0;
  #pid: number | undefined;
  #stopping: Promise<void> | undefined;

  constructor(folder: string, { program, libraries }: RedisBinaries, settings: Settings) {
    this.folder = folder;
    this.#settings = settings;
    this.#guard = new ServerGuard({
      what: "Redis",
      script: REDIS_GUARD_SCRIPT,
      folder,
      args: [program],
      account: undefined,
      env: { LD_LIBRARY_PATH: libraries.join(":") },
    });
  }

  get port(): number {
    return this.#port;
  }

  get pid(): number | undefined {
    return this.#pid;
  }

  get url(): string {
    return `redis://:${this.password}@${LOOPBACK}:${this.#port}`;
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
    await this.#guard.command("reap");
    await gone([pid], "alive");
  }

  async restart(settings: Settings = {}): Promise<void> {
    if (this.#stopping !== undefined) throw new QuorateError("QUORATE_CLOSED", "the Redis test server is stopped");
    this.#settings = { ...this.#settings, ...settings };
    if (this.#pid !== undefined) {
      this.#pid = undefined;
      await this.#guard.command("stop");
    }
    await this.#start();
  }

  stop(): Promise<void> {
    this.#pid = undefined;
    return (this.#stopping ??= this.#guard.end());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #start(): Promise<void> {
    const before = this.log().length;
    writeFileSync(join(this.folder, "redis.conf"), this.#configuration(), { mode: 0o600 });
    const pid = Number((await this.#guard.command("start")).split(" ")[1]);
    const end = performance.now() + READY_TIMEOUT_MS;
    for (;;) {
      const news = this.log().slice(before);
      if (news.includes("Ready to accept connections")) break;
      const failed = /FATAL|Failed|Fatal error|\*\*\*|error while loading/.test(news);
      if (failed || performance.now() > end) {
        await this.#guard.command("stop");
        const why = failed ? "did not start" : `was not ready after ${READY_TIMEOUT_MS} ms`;
        throw new QuorateError("QUORATE_PARTICIPANT_SETUP", `the Redis test server ${why}:\n${news.slice(-2000)}`);
      }
      await delay(POLL_MS);
    }
    this.#pid = pid;
  }

  #configuration(): string {
    const settings: Settings = {
      bind: LOOPBACK,
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
}
