/**
 * Who used this machine's processors meanwhile, as the kernel accounts it: ours, the kernel's own threads, everybody else, the host.
 */
import { closeSync, fdatasyncSync, openSync, readdirSync, readFileSync, writeSync } from "node:fs";
import { cpus, release } from "node:os";
import { join } from "node:path";

const TICKS_PER_SECOND = 100;
/** Up to this, a run counts as undisturbed: cores used by processes that are not ours, and cores that the host kept for itself. */
export const FOREIGN_CORES_MAX = 0.1;
export const STEAL_CORES_MAX = 0.05;
const KTHREADD = 2;
const FLOOR_WRITES = 400;

/** CPU seconds and memory of one process; undefined when it is gone. */
export function usageOf(pid) {
  const fields = statOf(pid);
  return fields === undefined ? undefined : { cpuSeconds: (fields.own ?? 0) / TICKS_PER_SECOND, rssMiB: (fields.pages * 4096) / (1 << 20) };
}

/** Field numbers are those of proc(5), counted from after the name, which may hold anything. */
function statOf(pid) {
  let text;
  try {
    text = readFileSync(`/proc/${pid}/stat`, "latin1");
  } catch {
    return undefined;
  }
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const number = (i) => Number(fields[i]);
  return { parent: number(1), own: number(11) + number(12), reaped: number(13) + number(14), pages: number(21) };
}

function snapshot() {
  const processes = new Map();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const stat = statOf(name);
    if (stat !== undefined) processes.set(Number(name), stat);
  }
  const [user, nice, system, idle, iowait, irq, softirq, steal] = readFileSync("/proc/stat", "latin1")
    .split("\n", 1)[0]
    .trim()
    .split(/\s+/)
    .slice(1)
    .map(Number);
  return {
    atMs: performance.now(),
    processes,
    cpu: { busy: user + nice + system + irq + softirq, idle, iowait, irq: irq + softirq, steal },
  };
}

function isOurs(pid, processes) {
  for (let at = pid; at > 1; at = processes.get(at)?.parent ?? 0) if (at === process.pid) return true;
  return false;
}

/** Starts counting; the function returned tells what was used since then, in cores. */
export function watchMachine() {
  const before = snapshot();
  return () => {
    const after = snapshot();
    const seconds = (after.atMs - before.atMs) / 1000;
    const cores = (ticks) => Math.max(0, Math.round((ticks / TICKS_PER_SECOND / seconds) * 1000) / 1000);
    const spent = { ours: 0, kernel: 0, foreign: 0 };
    let foreignTotal = 0;
    for (const [when, sign] of [
      [before, -1],
      [after, 1],
    ]) {
      for (const [pid, stat] of when.processes) {
        const group = stat.parent === KTHREADD || pid === KTHREADD ? "kernel" : isOurs(pid, when.processes) ? "ours" : "foreign";
        // A process that ended is in its parent's sum of reaped children: the sum over a group stays true.
        spent[group] += sign * (stat.own + stat.reaped);
        if (group === "foreign" && sign > 0) foreignTotal += stat.own - (before.processes.get(pid)?.own ?? 0);
      }
    }
    const cpu = Object.fromEntries(Object.keys(after.cpu).map((key) => [key, cores(after.cpu[key] - before.cpu[key])]));
    // Some processes are reaped by nobody; then the sum falls, and those still there are the better account.
    const foreign = cores(Math.max(spent.foreign, foreignTotal));
    return { seconds, foreign, kernel: cores(spent.kernel), irq: cpu.irq, idle: cpu.idle, iowait: cpu.iowait, steal: cpu.steal };
  };
}

export function isUndisturbed({ foreign, steal }) {
  return foreign <= FOREIGN_CORES_MAX && steal <= STEAL_CORES_MAX;
}

/** What the machine is, and how long its disk takes to make one append of 256 bytes durable. */
export function describeMachine(dir) {
  const file = openSync(join(dir, "floor"), "w");
  const value = Buffer.alloc(256, 7);
  const tookMs = [];
  for (let i = 0; i < FLOOR_WRITES; i++) {
    const beganMs = performance.now();
    writeSync(file, value);
    fdatasyncSync(file);
    tookMs.push(performance.now() - beganMs);
  }
  closeSync(file);
  tookMs.sort((a, b) => a - b);
  const at = (q) => Number(tookMs[Math.ceil(q * tookMs.length) - 1].toFixed(3));
  return {
    cores: cpus().length,
    model: cpus()[0]?.model ?? "unknown",
    linux: release(),
    node: process.version,
    fdatasyncMs: { p50: at(0.5), p99: at(0.99) },
  };
}
