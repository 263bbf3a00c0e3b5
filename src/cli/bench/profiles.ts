/**
 * Where the processor time of a benchmark goes: every node and participant is profiled during the measured seconds, and each profile is
 * kept twice, as V8 wrote it and as a flame graph.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { formatNodeId, messageOf, QuorateError, type NodeId } from "../../base/index.js";
import { flameGraph, type CpuProfile } from "../../bench/flame-graph.js";
import type { Watched } from "../../bench/usage-meter.js";
import { note } from "../output.js";

/** Writing a profile of a minute takes about a second. */
const WRITE_TIMEOUT_MS = 60_000;
const POLL_MS = 50;

export class Profiles {
  /** For the processes that are to be profiled. */
  readonly env: Readonly<Record<string, string>>;
  readonly #dir: string;
  #begun = false;

  /** Makes the folder. Throws QUORATE_INVALID_ARGUMENT when it is something else, or cannot be made. */
  constructor(dir: string) {
    this.#dir = resolve(dir);
    try {
      mkdirSync(this.#dir, { recursive: true });
      if (!statSync(this.#dir).isDirectory()) throw new Error("it is not a folder");
    } catch (error) {
      throw new QuorateError("QUORATE_INVALID_ARGUMENT", `--profile ${dir}: the folder cannot be made: ${messageOf(error)}`);
    }
    const preload = new URL("../../bench/profile-preload.js", import.meta.url);
    // Run from the sources there is no such file, and Node would refuse to start.
    if (!existsSync(fileURLToPath(preload))) throw new QuorateError("QUORATE_WRONG_STATE", "--profile needs a build: run npm run build");
    const given = process.env["NODE_OPTIONS"] ?? "";
    preload.searchParams.set("dir", this.#dir);
    this.env = { NODE_OPTIONS: `${given} --import ${preload.href}`.trim() };
  }

  begin(watched: readonly Watched[]): void {
    if (this.#begun) return;
    this.#begun = true;
    for (const { pid } of profiled(watched)) process.kill(pid, "SIGUSR2");
  }

  /** Stops the profilers, waits for what they write and draws it. */
  async finish(watched: readonly Watched[], leader: NodeId | undefined): Promise<void> {
    const processes = profiled(watched);
    for (const { pid } of processes) process.kill(pid, "SIGUSR2");
    for (const { name, pid } of processes) {
      const written = join(this.#dir, `${pid}.cpuprofile`);
      await appears(written, name);
      const text = readFileSync(written, "utf8");
      rmSync(written);
      writeFileSync(join(this.#dir, `${name}.cpuprofile`), text);
      const what = leader !== undefined && name === formatNodeId(leader) ? `${name}, the leader` : name;
      const graph = flameGraph(JSON.parse(text) as CpuProfile, what);
      writeFileSync(join(this.#dir, `${name}.svg`), graph.svg);
      const rooms = graph.rooms.slice(0, 5).map(([room, share]) => `${room} ${(share * 100).toFixed(0)} %`);
      note(`${what}: busy ${(graph.busyShare * 100).toFixed(0)} %, of it ${rooms.join(", ")}`);
    }
    note(`Profiles and flame graphs are in ${this.#dir}.`);
  }
}

/** Not the driver, which is this process, and no database server. */
function profiled(watched: readonly Watched[]): readonly Watched[] {
  return watched.filter(({ role, family }) => role !== "driver" && !family);
}

async function appears(file: string, name: string): Promise<void> {
  const untilMs = performance.now() + WRITE_TIMEOUT_MS;
  while (!existsSync(file)) {
    if (performance.now() > untilMs) throw new QuorateError("QUORATE_TIMEOUT", `${name} wrote no profile within ${WRITE_TIMEOUT_MS} ms`);
    await new Promise((done) => setTimeout(done, POLL_MS));
  }
}
