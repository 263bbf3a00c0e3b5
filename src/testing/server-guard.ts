/**
 * The shell that owns a test server: it outlives nobody and leaves nothing.
 *
 * A database server does not notice that the process which started it is gone. So a small shell starts it and reads commands from a pipe
 * that only the parent holds: when the parent ends, however it ends, the pipe closes, and the shell stops the server, removes the
 * folder and ends. It runs in a session of its own, so Ctrl-C on a terminal reaches the parent only. It is a shell and not a
 * node script because a child process cannot run TypeScript, and because it starts in a millisecond.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { QuorateError } from "../base/index.js";

export interface GuardOptions {
  /** What is guarded, for errors: "PostgreSQL". */
  readonly what: string;
  /**
   * The shell's text: reads `init`, `start`, `stop` and `reap` from standard input and answers each with one line. At the end of input, and
   * on USR1, it stops the server, removes the folder, its $1, and ends.
   */
  readonly script: string;
  readonly folder: string;
  /** Further arguments of the script, from $2. */
  readonly args: readonly string[];
  readonly account: { readonly uid: number; readonly gid: number } | undefined;
  readonly env?: Readonly<Record<string, string>>;
}

export class ServerGuard {
  readonly #what: string;
  readonly #process: ChildProcess;
  readonly #ended: Promise<void>;
  #buffer = "";
  #waiting: { readonly resolve: (line: string) => void; readonly reject: (error: Error) => void } | undefined;

  constructor(options: GuardOptions) {
    const { what, script, folder, args, account, env = {} } = options;
    this.#what = what;
    const guard = spawn("/bin/sh", ["-c", script, `quorate-${what.toLowerCase()}-guard`, folder, ...args], {
      ...account,
      cwd: folder,
      detached: true,
      // What the server needs and no more: the caller's PG* and MYSQL* variables are not for it.
      env: { PATH: process.env["PATH"] ?? "/usr/bin:/bin", LC_ALL: "C", TZ: "UTC", ...env },
      stdio: ["pipe", "pipe", "ignore"],
    });
    this.#process = guard;
    this.#ended = new Promise((resolve) => {
      guard.once("error", (error) => this.#fail(error.message));
      guard.once("close", () => {
        this.#fail("it ended");
        resolve();
      });
    });
    guard.stdin?.on("error", () => undefined);
    guard.stdout?.setEncoding("utf8");
    guard.stdout?.on("data", (chunk: string) => this.#read(chunk));
    this.#hold(false);
  }

  /** The guard's own process. */
  get pid(): number | undefined {
    return this.#process.pid;
  }

  /** One command, one line of answer. One at a time. */
  async command(text: "init" | "start" | "stop" | "reap"): Promise<string> {
    if (this.#waiting !== undefined)
      throw new QuorateError("QUORATE_WRONG_STATE", `the ${this.#what} launcher is busy with another command`);
    this.#hold(true);
    try {
      return await new Promise<string>((resolve, reject) => {
        this.#waiting = { resolve, reject };
        if (this.#process.exitCode !== null || this.#process.stdin?.writable !== true) this.#fail("it has ended");
        else this.#process.stdin.write(`${text}\n`);
      });
    } finally {
      this.#hold(false);
    }
  }

  /** Stops the server, removes the folder, ends the guard. */
  async end(): Promise<void> {
    this.#process.ref();
    this.#process.stdin?.end();
    await this.#ended;
  }

  /** Asks the guard to do the same, for a caller that cannot wait for an event: it must watch the folder vanish. */
  endByForce(): void {
    if (this.#process.exitCode === null) this.#process.kill("SIGUSR1");
  }

  /** A server that somebody forgot to stop must not keep the parent alive; an answer that is awaited must. */
  #hold(on: boolean): void {
    const handles = [this.#process, this.#process.stdin, this.#process.stdout] as ({ ref?(): unknown; unref?(): unknown } | null)[];
    for (const handle of handles) {
      if (on) handle?.ref?.();
      else handle?.unref?.();
    }
  }

  #read(chunk: string): void {
    this.#buffer += chunk;
    const end = this.#buffer.indexOf("\n");
    if (end < 0) return;
    const line = this.#buffer.slice(0, end);
    this.#buffer = this.#buffer.slice(end + 1);
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.resolve(line);
  }

  #fail(why: string): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.reject(new QuorateError("QUORATE_PARTICIPANT", `the guard of the ${this.#what} test server: ${why}`));
  }
}
