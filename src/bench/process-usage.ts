/**
 * CPU time and memory of processes, as the kernel accounts them (Linux /proc). Works for any process of the same user.
 */
import { readFileSync } from "node:fs";

/** Kernel ticks per second in /proc/PID/stat: USER_HZ is 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

export interface ProcessUsage {
  /** User and system time since the process began, seconds. */
  readonly cpuSeconds: number;
  readonly rssMiB: number;
}

/** undefined when the process is gone or this system has no /proc. */
export function processUsage(pid: number): ProcessUsage | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The command's name stands in parentheses and may hold anything: fields count from after the last one.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const ticks = Number(fields[11]) + Number(fields[12]);
    const pages = Number(fields[21]);
    return { cpuSeconds: ticks / TICKS_PER_SECOND, rssMiB: (pages * 4096) / (1 << 20) };
  } catch {
    return undefined;
  }
}

/** Machine-wide CPU seconds spent, all cores, idle left out. undefined where /proc is absent. */
export function machineBusySeconds(): number | undefined {
  try {
    const line = readFileSync("/proc/stat", "latin1").split("\n", 1)[0] ?? "";
    const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = line.trim().split(/\s+/).slice(1).map(Number);
    return (user + nice + system + irq + softirq) / TICKS_PER_SECOND;
  } catch {
    return undefined;
  }
}
