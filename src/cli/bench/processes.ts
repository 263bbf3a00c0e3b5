/**
 * The participants of a benchmark: processes of this program, each with its output in a file.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { PROGRAM } from "../local-cluster.js";

const LOG_CHARS = 2000;

interface Child {
  readonly name: string;
  readonly process: ChildProcess;
}

export class BenchProcesses {
  readonly #dir: string;
  readonly #children: Child[] = [];

  readonly #env: Readonly<Record<string, string>>;

  /** `dir`: for their output. `env`: over this process's own environment. */
  constructor(dir: string, env: Readonly<Record<string, string>> = {}) {
    this.#dir = dir;
    this.#env = env;
  }

  /** Runs `quorate <args>`, which ends with this process. */
  start(name: string, args: readonly string[]): void {
    const log = openSync(this.#log(name), "a");
    const child = spawn(process.execPath, [PROGRAM, ...args, "--exit-with-parent"], {
      stdio: ["pipe", log, log],
      detached: true,
      env: { ...process.env, ...this.#env },
    });
    closeSync(log);
    // Writing to a process that just died must not end this one; nothing is ever written.
    child.stdin?.on("error", () => undefined);
    this.#children.push({ name, process: child });
  }

  /** One that ended by itself. */
  ended(): string | undefined {
    return this.#children.find(({ process: child }) => child.exitCode !== null || child.signalCode !== null)?.name;
  }

  pids(): readonly (readonly [name: string, pid: number])[] {
    return this.#children.flatMap(({ name, process: child }) => (child.pid === undefined ? [] : [[name, child.pid] as const]));
  }

  logTail(name: string): string {
    return readFileSync(this.#log(name), "utf8").slice(-LOG_CHARS);
  }

  kill(): void {
    for (const { process: child } of this.#children) child.kill("SIGKILL");
  }

  /** Resolves when all have ended. */
  async stop(): Promise<void> {
    await Promise.all(
      this.#children.map(async ({ process: child }) => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const exited = new Promise((resolve) => child.once("exit", resolve));
        child.kill("SIGKILL");
        await exited;
      }),
    );
  }

  #log(name: string): string {
    return join(this.#dir, `${name}.log`);
  }
}
