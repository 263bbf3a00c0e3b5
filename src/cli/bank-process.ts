/**
 * A bank of the demo as a child process: started, killed with -9, started again on the same store.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { QuorateError } from "../base/index.js";
import { ATTACHED, readDoubtLine } from "../demo/doubt-lines.js";
import type { DoubtSink } from "../demo/in-doubt-meter.js";
import type { Target } from "../demo/kills.js";
import { PROGRAM } from "./local-cluster.js";
import { note } from "./output.js";

const ATTACH_TIMEOUT_MS = 30_000;
const STDERR_KEPT = 4_000;

export class BankProcess implements Target {
  readonly name: string;
  readonly #args: readonly string[];
  readonly #sink: DoubtSink;
  #child: ChildProcess | undefined;
  #exited: Promise<void> = Promise.resolve();
  #starts = 0;
  /** It was asked to end. */
  #expected = false;

  /** `args`: of `quorate demo bank`, without the seed. Starts nothing yet. */
  constructor(name: string, args: readonly string[], sink: DoubtSink) {
    this.name = name;
    this.#args = args;
    this.#sink = sink;
  }

  /** Resolves when it is attached to the cluster. Rejects with what it said when it ends before. */
  async start(): Promise<void> {
    this.#expected = false;
    // Another seed each time: a bank that is back must not repeat the same faults.
    const seed = `${this.name}-${++this.#starts}`;
    const child = spawn(process.execPath, [PROGRAM, "demo", "bank", "--name", this.name, "--seed", seed, ...this.#args], {
      stdio: ["pipe", "pipe", "pipe"],
      detached: true,
    });
    this.#child = child;
    child.stdin.on("error", () => undefined);
    let said = "";
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => (said = (said + chunk).slice(-STDERR_KEPT)));
    this.#exited = new Promise((resolve) => child.once("close", () => resolve()));
    const attached = new Promise<void>((resolve) => {
      createInterface({ input: child.stdout }).on("line", (line) => {
        if (line === ATTACHED) resolve();
        else readDoubtLine(line, this.#sink);
      });
    });
    const failed = this.#exited.then(() => {
      if (!this.#expected) note(`The process of ${this.name} has ended: ${said.trim()}`);
      throw new QuorateError("QUORATE_PARTICIPANT_SETUP", `the process of ${this.name} ended: ${said.trim()}`);
    });
    failed.catch(() => undefined);
    const timer = new AbortController();
    try {
      await Promise.race([attached, failed, expired(timer.signal, this.name)]);
    } finally {
      timer.abort();
    }
  }

  async kill9(): Promise<void> {
    this.killNow();
    await this.#exited;
    note(`Killed the process of ${this.name}.`);
  }

  restart(): Promise<void> {
    return this.start();
  }

  /** For a process that is about to end. */
  killNow(): void {
    this.#expected = true;
    this.#child?.kill("SIGKILL");
  }

  async stop(): Promise<void> {
    this.killNow();
    await this.#exited;
  }
}

function expired(signal: AbortSignal, name: string): Promise<never> {
  return new Promise((_, reject) => {
    const error = new QuorateError("QUORATE_TIMEOUT", `${name} was not attached within ${ATTACH_TIMEOUT_MS} ms`);
    const timer = setTimeout(() => reject(error), ATTACH_TIMEOUT_MS);
    signal.addEventListener("abort", () => clearTimeout(timer));
  });
}
