/**
 * A database server as faults see it: killed, started again, stopped and continued by signals. Of whatever make.
 */
import { childrenOf, stateOf } from "../../src/testing/index.js";
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
