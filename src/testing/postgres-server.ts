/**
 * Starts a real PostgreSQL for demonstrations and tests: private, on a free port of 127.0.0.1, fsync on, gone with its parent.
 *
 * Everything lives in one temporary folder, which the guard (server-guard.ts) removes with the server. As root the server runs as
 * `nobody`; no account is made. `stop` is the polite end; an exit, a signal or a crash of this process ends it as well, a moment
 * later. `stopSync` is for exit handlers that must know it is gone.
 */
import { randomBytes } from "node:crypto";
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { QuorateError } from "../base/index.js";
import { copyBinaries, findPostgres } from "./postgres-binaries.js";
import { GUARD_SCRIPT } from "./postgres-guard.js";
import { childrenOf, gone, signal } from "./process-table.js";
import { ServerGuard } from "./server-guard.js";
import { freePort, isReachableByAll, LOOPBACK, temporaryFolder, unprivilegedAccount, waitGoneSync } from "./server-host.js";

export interface PostgresServerOptions {
  /** Default 64. 0 is PostgreSQL's own default, with which nothing can be prepared. */
  readonly maxPreparedTransactions?: number;
  /** Default 100. */
  readonly maxConnections?: number;
  /** Further settings by their names in postgresql.conf, for example `{ log_statement: "all" }`. */
  readonly settings?: { readonly [name: string]: string };
}

export interface PostgresServer {
  /** `postgres://user:password@host:port/database`, a superuser. */
  readonly dsn: string;
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
  /** Folder of its Unix socket. */
  readonly socketDir: string;
  /** Of the postmaster; undefined while it does not run. */
  readonly pid: number | undefined;
  /** What the server wrote to its log so far. */
  log(): string;
  /** Kills the postmaster and all its backends with SIGKILL. The data stays for `restart`. */
  kill9(): Promise<void>;
  /** Stops the server if it runs, and starts it again on the same data and port, with these settings on top of the former ones. */
  restart(settings?: { readonly [name: string]: string }): Promise<void>;
  /** Stops the server and removes everything. Idempotent. */
  stop(): Promise<void>;
  /** The same without waiting on the event loop; for exit handlers. Throws after 10 s. */
  stopSync(): void;
  [Symbol.asyncDispose](): Promise<void>;
}

const READY_TIMEOUT_MS = 30_000;
const STOP_SYNC_TIMEOUT_MS = 10_000;
const POLL_MS = 10;
const PORT_ATTEMPTS = 5;

/** Rejects with QUORATE_PARTICIPANT_SETUP, naming what is missing, when the binaries are absent or the server does not come up. */
export async function startPostgres(options: PostgresServerOptions = {}): Promise<PostgresServer> {
  const found = findPostgres();
  if ("missing" in found) throw new QuorateError("QUORATE_PARTICIPANT_SETUP", found.missing);
  const account = unprivilegedAccount();
  const folder = mkdtempSync(join(temporaryFolder(account !== undefined), "quorate-pg-"));
  let server: LaunchedPostgres | undefined;
  try {
    let binaries = found.folder;
    if (found.missingLinks.length > 0 || (account !== undefined && !isReachableByAll(join(found.folder, "bin", "postgres")))) {
      binaries = join(folder, "native");
      copyBinaries(found, binaries, account);
    }
    const password = randomBytes(12).toString("hex");
    writeFileSync(join(folder, "password"), password, { mode: 0o600 });
    const socketDir = join(folder, "socket");
    mkdirSync(socketDir);
    if (account !== undefined) {
      for (const path of [folder, join(folder, "password"), socketDir]) chownSync(path, account.uid, account.gid);
      // Tests look at the server's socket from other accounts; the data folder inside keeps its own 0700.
      chmodSync(folder, 0o755);
    }
    server = new LaunchedPostgres(
      folder,
      socketDir,
      password,
      new ServerGuard({ what: "PostgreSQL", script: GUARD_SCRIPT, folder, args: [binaries], account }),
      {
        max_prepared_transactions: String(options.maxPreparedTransactions ?? 64),
        max_connections: String(options.maxConnections ?? 100),
        ...options.settings,
      },
    );
    await server.initialize();
    return server;
  } catch (error) {
    if (server === undefined) rmSync(folder, { recursive: true, force: true });
    else await server.stop();
    throw error;
  }
}

class LaunchedPostgres implements PostgresServer {
  readonly host = LOOPBACK;
  readonly user = "postgres";
  readonly database = "postgres";
  readonly password: string;
  readonly socketDir: string;
  readonly #folder: string;
  readonly #guard: ServerGuard;
  #settings: { readonly [name: string]: string };
  #port = 0;
  #pid: number | undefined;
  #stopping: Promise<void> | undefined;

  constructor(folder: string, socketDir: string, password: string, guard: ServerGuard, settings: { readonly [name: string]: string }) {
    this.#folder = folder;
    this.socketDir = socketDir;
    this.password = password;
    this.#guard = guard;
    this.#settings = settings;
  }

  get port(): number {
    return this.#port;
  }

  get pid(): number | undefined {
    return this.#pid;
  }

  get dsn(): string {
    return `postgres://${this.user}:${this.password}@${LOOPBACK}:${this.#port}/${this.database}`;
  }

  log(): string {
    const path = join(this.#folder, "log");
    return existsSync(path) ? readFileSync(path, "utf8") : "";
  }

  async initialize(): Promise<void> {
    if ((await this.#guard.command("init")) !== "init 0") throw this.#setupError("initdb failed");
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
    // Stopped first, or it forks a backend between the look and the kill: that one outlives it for a while, keeps the shared memory,
    // and a restart is refused.
    signal(pid, "SIGSTOP");
    await gone([pid], "running");
    // Read before the kill: orphans have another parent.
    const backends = childrenOf(pid);
    for (const victim of [pid, ...backends]) signal(victim, "SIGKILL");
    await this.#guard.command("reap");
    await gone(backends, "alive");
  }

  async restart(settings: { readonly [name: string]: string } = {}): Promise<void> {
    if (this.#stopping !== undefined) throw new QuorateError("QUORATE_CLOSED", "the PostgreSQL test server is stopped");
    this.#settings = { ...this.#settings, ...settings };
    if (this.#pid !== undefined) {
      this.#pid = undefined;
      await this.#guard.command("stop");
    }
    await this.#start();
  }

  stop(): Promise<void> {
    this.#pid = undefined;
    this.#stopping ??= this.#guard.end();
    return this.#stopping;
  }

  stopSync(): void {
    this.#pid = undefined;
    this.#stopping ??= Promise.resolve();
    this.#guard.endByForce();
    waitGoneSync(this.#folder, STOP_SYNC_TIMEOUT_MS, "PostgreSQL");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #start(): Promise<void> {
    const before = this.log().length;
    writeFileSync(join(this.#folder, "server.conf"), this.#configuration());
    const pid = Number((await this.#guard.command("start")).split(" ")[1]);
    const end = performance.now() + READY_TIMEOUT_MS;
    while (!isReady(join(this.#folder, "data", "postmaster.pid"), pid)) {
      const news = this.log().slice(before);
      // A crashed server says FATAL to those who connect during its recovery as well; only the postmaster's own end counts.
      const failed = /FATAL: {2}(?!the database system is)/.test(news);
      if (failed || performance.now() > end) {
        await this.#guard.command("stop");
        throw this.#setupError(failed ? "the server did not start" : `the server was not ready after ${READY_TIMEOUT_MS} ms`);
      }
      await delay(POLL_MS);
    }
    this.#pid = pid;
  }

  #configuration(): string {
    const settings = {
      listen_addresses: LOOPBACK,
      port: String(this.#port),
      unix_socket_directories: this.socketDir,
      fsync: "on",
      // In the data folder, so that a killed server leaves nothing in /dev/shm.
      dynamic_shared_memory_type: "mmap",
      shared_buffers: "32MB",
      ...this.#settings,
    };
    return Object.entries(settings)
      .map(([name, value]) => `${name} = '${value.replaceAll("'", "''")}'\n`)
      .join("");
  }

  #setupError(what: string): QuorateError {
    const lines = this.log().trimEnd().split("\n").slice(-12).join("\n");
    return new QuorateError("QUORATE_PARTICIPANT_SETUP", `PostgreSQL test server: ${what}\n${lines}`);
  }
}

/** The postmaster writes its state as the last line of its lock file. */
function isReady(lockFile: string, pid: number): boolean {
  let lines: readonly string[];
  try {
    lines = readFileSync(lockFile, "utf8").split("\n");
  } catch (error) {
    // A server that starts after a crash removes the old file at some moment, and makes its own at a later one.
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
  return Number(lines[0]) === pid && lines[7]?.trim() === "ready";
}
