/**
 * A database server as faults see it: killed, started again, stopped and continued by signals. Of whatever make.
 */
import { readdirSync, readFileSync } from "node:fs";
import type { DatabaseServer } from "./resource.js";

/** What starts and kills it. */
export interface Startable {
  readonly pid: number | undefined;
  kill9(): Promise<void>;
  restart(): Promise<void>;
}

export function databaseServer(server: Startable): DatabaseServer {
  const frozen = new Set<number>();
  return {
    get pid() {
      return server.pid;
    },
    get frozen() {
      return server.pid !== undefined && stateOf(server.pid) === "T";
    },
    kill9: () => server.kill9(),
    restart: () => server.restart(),
    freeze: () => {
      const { pid } = server;
      if (pid === undefined) return;
      for (const each of [pid, ...childrenOf(pid)]) if (signal(each, "SIGSTOP")) frozen.add(each);
    },
    thaw: () => {
      for (const each of frozen) signal(each, "SIGCONT");
      frozen.clear();
    },
  };
}

function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name);
  } catch {
    return false;
  }
}

/** By the kernel's word: "T" is stopped. */
function stateOf(pid: number): string | undefined {
  return statOf(String(pid))?.[0];
}

function childrenOf(pid: number): readonly number[] {
  return readdirSync("/proc").flatMap((entry) => (/^\d+$/.test(entry) && Number(statOf(entry)?.[1]) === pid ? [Number(entry)] : []));
}

/** State, parent and what follows: after the name, which may hold anything. */
function statOf(entry: string): readonly string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${entry}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  } catch {
    return undefined;
  }
}
