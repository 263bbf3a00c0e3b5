/**
 * Starts a real MariaDB for demonstrations and tests: private, on a free port of 127.0.0.1, durable, gone with its parent.
 *
 * Everything lives in one temporary folder, which the guard (server-guard.ts) removes with the server. As root the server runs as
 * `nobody`; no account is made. `stop` is the polite end; an exit, a signal or a crash of this process ends it as well, a moment
 * later. `stopSync` is for exit handlers that must know it is gone.
 */
import { randomBytes } from "node:crypto";
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { QuorateError } from "../base/index.js";
import { findMariadb, systemTables, type MariadbBinaries } from "./mariadb-binaries.js";
import { MARIADB_GUARD_SCRIPT } from "./mariadb-guard.js";
import { gone, signal } from "./process-table.js";
import { ServerGuard } from "./server-guard.js";
import {
  copyFolder,
  freePort,
  isReachableByAll,
  LOOPBACK,
  temporaryFolder,
  unprivilegedAccount,
  waitGoneSync,
  type Account,
} from "./server-host.js";

export interface MariadbServerOptions {
  /** Default 200. */
  readonly maxConnections?: number;
  /** Further settings by their names in the server's option file, for example `{ sync_binlog: "1" }`. */
  readonly settings?: { readonly [name: string]: string };
}

export interface MariadbServer {
  /** `mysql://user:password@host:port/database`, with all rights. */
  readonly dsn: string;
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
  /** Undefined while it does not run. */
  readonly pid: number | undefined;
  /** Where everything is; gone after `stop`. */
  readonly folder: string;
  /** What the server wrote to its log so far. */
  log(): string;
  /** Kills the server with SIGKILL. The data stays for `restart`. */
  kill9(): Promise<void>;
  /** Stops the server if it runs, and starts it again on the same data and port, with these settings on top of the former ones. */
  restart(settings?: { readonly [name: string]: string }): Promise<void>;
  /** Stops the server and removes everything. Idempotent. */
  stop(): Promise<void>;
  /** The same without waiting on the event loop; for exit handlers. Throws after 10 s. */
  stopSync(): void;
  [Symbol.asyncDispose](): Promise<void>;
}

const READY_TIMEOUT_MS = 60_000;
const STOP_SYNC_TIMEOUT_MS = 10_000;
const POLL_MS = 10;
const PORT_ATTEMPTS = 5;
const DATABASE = "quorate";

/** Rejects with QUORATE_PARTICIPANT_SETUP, naming what is missing, when the server is absent or does not come up. */
export async function startMariadb(options: MariadbServerOptions = {}): Promise<MariadbServer> {
  const found = findMariadb();
  if ("missing" in found) throw new QuorateError("QUORATE_PARTICIPANT_SETUP", found.missing);
  const account = unprivilegedAccount();
  const folder = mkdtempSync(join(temporaryFolder(account !== undefined), "quorate-mdb-"));
  let server: LaunchedMariadb | undefined;
  try {
    const binaries = reachable(found, folder, account);
    writeFileSync(join(folder, "system.sql"), systemSql(binaries.share));
    for (const name of ["data", "tmp"]) mkdirSync(join(folder, name));
    if (account !== undefined) for (const name of ["", "data", "tmp"]) chownSync(join(folder, name), account.uid, account.gid);
    chmodSync(folder, 0o755);
    server = new LaunchedMariadb(folder, binaries, account, {
      max_connections: String(options.maxConnections ?? 200),
      ...options.settings,
    });
    await server.initialize();
    return server;
  } catch (error) {
    if (server === undefined) rmSync(folder, { recursive: true, force: true });
    else await server.stop();
    throw error;
  }
}

/** The binaries, or a copy of them in the folder where the account that runs the server cannot come to them. */
function reachable(found: MariadbBinaries, folder: string, account: Account | undefined): MariadbBinaries {
  const { root } = found;
  if (root === undefined || account === undefined || isReachableByAll(found.program)) return found;
  const copy = join(folder, "native");
  copyFolder(root, copy, /\.(gz|a)$/, account);
  const moved = (path: string): string => join(copy, relative(root, path));
  return {
    program: moved(found.program),
    share: moved(found.share),
    libraries: found.libraries === undefined ? undefined : moved(found.libraries),
    root: copy,
  };
}

/** One statement a line or more, as `--bootstrap` reads them. */
function systemSql(share: string): string {
  const files = systemTables(share).map((name) => readFileSync(join(share, name), "utf8"));
  return ["create database mysql;\nuse mysql;\n", ...files].join("\n");
}

class LaunchedMariadb implements MariadbServer {
  readonly host = LOOPBACK;
  readonly user = "quorate";
  readonly database = DATABASE;
  readonly password = randomBytes(12).toString("hex");
  readonly folder: string;
  readonly #share: string;
  readonly #guard: ServerGuard;
  #settings: { readonly [name: string]: string };
  #port = 0;
  #pid: number | undefined;
  #stopping: Promise<void> | undefined;

  constructor(folder: string, binaries: MariadbBinaries, account: Account | undefined, settings: { readonly [name: string]: string }) {
    this.folder = folder;
    this.#share = binaries.share;
    this.#settings = settings;
    this.#guard = new ServerGuard({
      what: "MariaDB",
      script: MARIADB_GUARD_SCRIPT,
      folder,
      args: [binaries.program],
      account,
      ...(binaries.libraries === undefined ? {} : { env: { LD_LIBRARY_PATH: binaries.libraries } }),
    });
  }

  get port(): number {
    return this.#port;
  }

  get pid(): number | undefined {
    return this.#pid;
  }

  get dsn(): string {
    return `mysql://${this.user}:${this.password}@${LOOPBACK}:${this.#port}/${DATABASE}`;
  }

  log(): string {
    const path = join(this.folder, "log");
    return existsSync(path) ? readFileSync(path, "utf8") : "";
  }

  async initialize(): Promise<void> {
    this.#configure({});
    if ((await this.#guard.command("init")) !== "init 0") throw this.#setupError("the system tables could not be made");
    const first = join(this.folder, "first.sql");
    writeFileSync(first, this.#firstSql(), { mode: 0o644 });
    for (let attempt = 1; ; attempt++) {
      this.#port = await freePort();
      try {
        await this.#start({ init_file: first });
        return rmSync(first);
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

  async restart(settings: { readonly [name: string]: string } = {}): Promise<void> {
    if (this.#stopping !== undefined) throw new QuorateError("QUORATE_CLOSED", "the MariaDB test server is stopped");
    this.#settings = { ...this.#settings, ...settings };
    if (this.#pid !== undefined) {
      this.#pid = undefined;
      await this.#guard.command("stop");
    }
    await this.#start({});
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
    waitGoneSync(this.folder, STOP_SYNC_TIMEOUT_MS, "MariaDB");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #start(extra: { readonly [name: string]: string }): Promise<void> {
    const before = this.log().length;
    this.#configure(extra);
    const pid = Number((await this.#guard.command("start")).split(" ")[1]);
    const end = performance.now() + READY_TIMEOUT_MS;
    for (;;) {
      const news = this.log().slice(before);
      if (/ready for connections/.test(news)) break;
      const failed = /\[ERROR\] Aborting/.test(news) || /error while loading shared libraries/.test(news);
      if (failed || performance.now() > end) {
        await this.#guard.command("stop");
        throw this.#setupError(failed ? "the server did not start" : `the server was not ready after ${READY_TIMEOUT_MS} ms`);
      }
      await delay(POLL_MS);
    }
    this.#pid = pid;
  }

  /** Run by the server at its first start, before it takes connections: one user, who may connect over the port only. */
  #firstSql(): string {
    return [
      `create database ${DATABASE};`,
      "delete from mysql.global_priv where user = 'root' or user = '';",
      "flush privileges;",
      `create user '${this.user}'@'%' identified by '${this.password}';`,
      `grant all privileges on *.* to '${this.user}'@'%' with grant option;`,
      "",
    ].join("\n");
  }

  #configure(extra: { readonly [name: string]: string }): void {
    const settings = {
      bind_address: LOOPBACK,
      port: String(this.#port),
      socket: join(this.folder, "socket"),
      datadir: join(this.folder, "data"),
      tmpdir: join(this.folder, "tmp"),
      pid_file: join(this.folder, "tmp", "pid"),
      // No plugin of the system's: they may be of another version.
      plugin_dir: join(this.folder, "tmp"),
      lc_messages_dir: this.#share,
      character_sets_dir: join(this.#share, "charsets"),
      skip_name_resolve: "on",
      character_set_server: "utf8mb4",
      innodb_flush_log_at_trx_commit: "1",
      innodb_buffer_pool_size: "32M",
      innodb_log_file_size: "32M",
      ...this.#settings,
      ...extra,
    };
    const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}\n`);
    writeFileSync(join(this.folder, "server.cnf"), `[mariadbd]\n${lines.join("")}`, { mode: 0o644 });
  }

  #setupError(what: string): QuorateError {
    const lines = this.log().trimEnd().split("\n").slice(-12).join("\n");
    return new QuorateError("QUORATE_PARTICIPANT_SETUP", `MariaDB test server: ${what}\n${lines}`);
  }
}
