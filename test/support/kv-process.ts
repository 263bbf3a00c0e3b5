/**
 * A key-value participant in a process of its own, that a test can stop, kill and start again on the same folder.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { PROGRAM } from "../../src/cli/index.js";
import type { Quorate } from "../../src/client/index.js";
import { kv } from "../../src/participant/kv/index.js";
import { plainEnvironment } from "./quorate.js";

export class KvProcess {
  readonly name: string;
  readonly #dir: string;
  readonly #endpoints: string;
  #child: ChildProcess | undefined;

  constructor(name: string, dir: string, endpoints: string) {
    this.name = name;
    this.#dir = dir;
    this.#endpoints = endpoints;
  }

  /** Resolves when the leader has it. */
  async start(quorate: Quorate): Promise<void> {
    this.launch();
    await attached(quorate, this.name);
  }

  launch(): void {
    const args = [
      PROGRAM,
      "participant",
      "kv",
      "--name",
      this.name,
      "--dir",
      this.#dir,
      "--endpoints",
      this.#endpoints,
      "--exit-with-parent",
    ];
    this.#child = spawn(process.execPath, args, { stdio: ["pipe", "ignore", "inherit"], env: plainEnvironment() });
    this.#child.stdin?.on("error", () => undefined);
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  async kill9(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await gone;
  }

  /** Reads one key from the store itself; only while the process does not run. */
  async read(key: string): Promise<unknown> {
    const store = kv({ name: this.name, dir: this.#dir });
    await store.start("test");
    try {
      return await store.get(key);
    } finally {
      await store.close();
    }
  }
}

/** Resolves when the leader has an instance of each of these. */
export async function attached(quorate: Quorate, ...names: readonly string[]): Promise<void> {
  const untilMs = performance.now() + 20_000;
  for (;;) {
    const nodes = (await quorate.status()).flatMap(({ status }) => (status?.role === "leading" ? [status] : []));
    if (names.every((name) => nodes.some((node) => node.participants.some((each) => each.name === name && each.instances > 0)))) return;
    if (performance.now() > untilMs) throw new Error(`${names.join(", ")}: not attached within 20 s`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
