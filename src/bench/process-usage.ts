/**
 * CPU time and memory of processes and of the machine, as the kernel accounts them (Linux /proc). Works for any process of the same user.
 */
import { readdirSync, readFileSync } from "node:fs";

/** Kernel ticks per second in /proc/PID/stat: USER_HZ is 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;
const PAGE_BYTES = 4096;

export interface ProcessUsage {
  /** User and system time since the process began, seconds. */
  readonly cpuSeconds: number;
  readonly rssMiB: number;
}

/** undefined when the process is gone or this system has no /proc. */
export function processUsage(pid: number): ProcessUsage | undefined {
  const fields = statFields(pid);
  return fields === undefined ? undefined : { cpuSeconds: seconds(fields, 11, 12), rssMiB: rssMiB(fields) };
}

/**
 * A process with its children: a database server that forks one for each connection. Time of children that ended is in their parent's
 * account. Memory is summed, so pages that they share count once for each.
 */
export function familyUsage(pid: number): ProcessUsage | undefined {
  const parent = statFields(pid);
  if (parent === undefined) return undefined;
  let cpuSeconds = seconds(parent, 11, 12, 13, 14);
  let memory = rssMiB(parent);
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const fields = statFields(Number(entry));
    if (fields === undefined || Number(fields[1]) !== pid) continue;
    cpuSeconds += seconds(fields, 11, 12);
    memory += rssMiB(fields);
  }
  return { cpuSeconds, rssMiB: memory };
}

export interface MachineTimes {
  /** All cores, since the machine started: everything but idle, waiting and stolen time. */
  readonly busySeconds: number;
  readonly idleSeconds: number;
  /** Wanted by this machine and given to another one by the hypervisor. */
  readonly stealSeconds: number;
}

/** undefined where /proc is absent. */
export function machineTimes(): MachineTimes | undefined {
  try {
    return parseMachineTimes(readFileSync("/proc/stat", "latin1"));
  } catch {
    return undefined;
  }
}

/** Reads the text of /proc/stat: user nice system idle iowait irq softirq steal ... in ticks. */
export function parseMachineTimes(text: string): MachineTimes {
  const line = text.split("\n", 1)[0] ?? "";
  const [user = 0, nice = 0, system = 0, idle = 0, wait = 0, irq = 0, softirq = 0, steal = 0] = line
    .trim()
    .split(/\s+/)
    .slice(1)
    .map((ticks) => Number(ticks) / TICKS_PER_SECOND);
  return { busySeconds: user + nice + system + irq + softirq, idleSeconds: idle + wait, stealSeconds: steal };
}

/** The fields of /proc/PID/stat after the name, from the state on. */
function statFields(pid: number): readonly string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The command's name stands in parentheses and may hold anything: fields count from after the last one.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  } catch {
    return undefined;
  }
}

function seconds(fields: readonly string[], ...which: readonly number[]): number {
  return which.reduce((sum, i) => sum + Number(fields[i]), 0) / TICKS_PER_SECOND;
}

function rssMiB(fields: readonly string[]): number {
  return (Number(fields[21]) * PAGE_BYTES) / (1 << 20);
}
