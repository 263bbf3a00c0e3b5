/**
 * What a run keeps on this machine outside its own memory, so marked that a later one knows whose it is and whether its run is gone:
 * folders carry the run's process and the moment that was started (a process number is used again), and every process that a run starts
 * carries the same mark in its environment.
 *
 * Network namespaces need no mark: the kernel takes them down with the last process in them.
 */
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { atInterrupt } from "../src/cli/interrupt.js";

/** Not QUORATE_*, which nodes read as settings. */
const RUN_VARIABLE = "PARTITION_RUN";
const PREFIX = "quorate-run-";
const NAME = /^quorate-run-(\d+-\d+)-[a-z]+-[A-Za-z0-9]{6}$/;
const ENDED_MS_MAX = 3_000;
const ENDED_POLL_MS = 10;

/** A folder for this run, gone at an interrupt too. */
export function newRunFolder(what: string): string {
  const run = processMark(process.pid) ?? `${process.pid}-0`;
  process.env[RUN_VARIABLE] = run;
  const folder = mkdtempSync(join(tmpdir(), `${PREFIX}${run}-${what}-`));
  atInterrupt(() => removeRunFolder(folder));
  return folder;
}

/** Also while a process that was just killed still writes its last into it. */
export function removeRunFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 20 });
}

export interface Leftovers {
  readonly folders: readonly string[];
  readonly processes: readonly { readonly pid: number; readonly command: string; readonly namespace: string | undefined }[];
  /** Network namespaces that only those processes keep alive. */
  readonly namespaces: number;
}

/** What runs that are gone have left behind. Only what this user may see; nothing where there is no /proc. */
export function leftovers(parent = tmpdir()): Leftovers {
  const gone = (run: string): boolean => processMark(Number(run.split("-")[0])) !== run;
  const folders = readdirSync(parent).flatMap((name) => {
    const run = NAME.exec(name)?.[1];
    return run !== undefined && gone(run) ? [join(parent, name)] : [];
  });
  const living = processIds().map((pid) => ({ pid, run: runOf(pid), namespace: namespaceOf(pid) }));
  const processes = living
    .filter(({ run }) => run !== undefined && gone(run))
    .map(({ pid, namespace }) => ({ pid, command: commandOf(pid), namespace }));
  const left = new Set(processes.map(({ pid }) => pid));
  const kept = new Set(living.filter(({ pid }) => !left.has(pid)).map(({ namespace }) => namespace));
  const namespaces = new Set(processes.map(({ namespace }) => namespace).filter((each) => each !== undefined && !kept.has(each)));
  return { folders, processes, namespaces: namespaces.size };
}

/** Ends and removes it. Resolves when the processes are gone; throws when one is not. */
export async function removeLeftovers({ folders, processes }: Leftovers): Promise<void> {
  for (const { pid } of processes) signal(pid, "SIGKILL");
  const deadline = performance.now() + ENDED_MS_MAX;
  for (const { pid, command } of processes)
    while (commandOf(pid) !== "") {
      if (performance.now() > deadline) throw new Error(`process ${pid} (${command}) does not end`);
      await new Promise((resolve) => setTimeout(resolve, ENDED_POLL_MS));
    }
  for (const folder of folders) removeRunFolder(folder);
}

/** Process number and start, in ticks since the machine's start; undefined: there is no such process. */
export function processMark(pid: number): string | undefined {
  const stat = read(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  return `${pid}-${stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? ""}`;
}

function processIds(): readonly number[] {
  try {
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .map(Number);
  } catch {
    return [];
  }
}

function runOf(pid: number): string | undefined {
  const variable = read(`/proc/${pid}/environ`)
    ?.split("\0")
    .find((each) => each.startsWith(`${RUN_VARIABLE}=`));
  return variable?.slice(RUN_VARIABLE.length + 1);
}

/** Empty for a process that has ended. */
function commandOf(pid: number): string {
  return (read(`/proc/${pid}/cmdline`) ?? "").split("\0").join(" ").trim();
}

function namespaceOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return undefined;
  }
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It has ended by itself.
  }
}
