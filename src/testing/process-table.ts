/**
 * Processes of this machine as /proc shows them; where there is none, nothing is found.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { QuorateError } from "../base/index.js";

const POLL_MS = 2;
const WAIT_MS_MAX = 10_000;

interface Stat {
  /** One letter of proc(5): R running, S sleeping, D waiting for a disk, T stopped, Z ended and not collected. */
  readonly state: string;
  readonly parent: number;
}

/** Undefined when there is no such process. */
function statOf(pid: number): Stat | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // pid (name) state ppid ...; the name may hold anything.
    const [state = "", parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return { state, parent: Number(parent) };
  } catch {
    return undefined;
  }
}

/** See Stat; undefined when there is no such process. */
export function stateOf(pid: number): string | undefined {
  return statOf(pid)?.state;
}

export function childrenOf(pid: number): readonly number[] {
  if (!existsSync("/proc/self/stat")) return [];
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((each) => statOf(each)?.parent === pid);
}

/** Resolves when none of them is `running` (nothing of it is executed any more), or `alive` (its memory is given back). */
export async function gone(pids: readonly number[], what: "running" | "alive"): Promise<void> {
  const over = what === "running" ? "TtZX" : "ZX";
  const until = performance.now() + WAIT_MS_MAX;
  for (const pid of pids) {
    for (let stat = statOf(pid); stat !== undefined && !over.includes(stat.state); stat = statOf(pid)) {
      if (performance.now() > until) throw new QuorateError("QUORATE_TIMEOUT", `process ${pid} is still ${what} after ${WAIT_MS_MAX} ms`);
      await delay(POLL_MS);
    }
  }
}

/** No such process: nothing to do. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
