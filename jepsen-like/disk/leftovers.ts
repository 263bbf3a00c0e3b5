/**
 * Mounted disks, and what remains of runs that died: found by name, removed when the run's process is gone.
 *
 * A run's folder is named after its process and the moment that one was started (a process number is used again). Two things clean
 * up: a guardian, a process of its own that ends a run's mounts when the run's end of a pipe closes, by whatever cause; and, should
 * even that one have been killed, `removeDeadDisks` at the next run or on demand.
 */
import { spawn } from "node:child_process";
import type { Socket } from "node:net";
import { readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { unmountNow } from "./disk-image.js";

const NAME = /^quorate-disks-(\d+)-(\d+)-\d+$/;

/**
 * Reads until the pipe closes. Lazily: the run's nodes end at the same moment, and may still have files open. Thawed first: whoever waits
 * for a frozen disk cannot be ended.
 */
const GUARDIAN = `cat >/dev/null
while read -r _ at _; do case "$at" in "$1"/*) fsfreeze -u "$at"; umount -l "$at";; esac; done </proc/mounts
rm -rf --one-file-system "$1"`;

let folders = 0;

/** A folder for disks of this process, of a name never used before; not made yet. */
export function newDisksFolder(): string {
  return join(tmpdir(), `quorate-disks-${process.pid}-${startedAt(process.pid) ?? 0}-${++folders}`);
}

/** Where disks of runs are mounted on this machine, of living and dead ones, from the kernel's own list. */
export function mountedDisks(mountinfo = readFileSync("/proc/self/mountinfo", "utf8")): readonly string[] {
  return mountinfo
    .split("\n")
    .map((line) => unescaped(line.split(" ")[4] ?? ""))
    .filter((path) => NAME.test(basename(dirname(path))));
}

/**
 * Unmounts and removes what dead runs have left; the loop devices go with the mounts. Returns what was removed, for people. Needs the
 * rights the run had; throws when something cannot be removed.
 */
export function removeDeadDisks(parent = tmpdir()): readonly string[] {
  const removed: string[] = [];
  for (const path of mountedDisks())
    if (isDead(dirname(path))) {
      unmountNow(path);
      removed.push(`mount ${path}`);
    }
  const left = new Set(mountedDisks());
  for (const name of readdirSync(parent)) {
    const folder = join(parent, name);
    if (!isDead(folder) || !statSync(folder).isDirectory()) continue;
    const still = [...left].find((path) => dirname(path) === folder);
    if (still !== undefined) throw new Error(`${still} is mounted for a run that is gone and cannot be unmounted; it needs root`);
    rmSync(folder, { recursive: true, force: true });
    removed.push(`folder ${folder}`);
  }
  return removed;
}

/**
 * Ends the mounts below the folder and removes it when this process ends, even by kill -9. To be called before the first mount. Returns
 * what to call when all is cleaned up already.
 */
export function guardDisks(folder: string): () => void {
  const guardian = spawn("sh", ["-c", GUARDIAN, "sh", folder], { stdio: ["pipe", "ignore", "ignore"], detached: true });
  guardian.on("error", () => undefined);
  guardian.stdin.on("error", () => undefined);
  guardian.unref();
  // A pipe to a child counts as work under way: it must not keep this process alive.
  (guardian.stdin as Socket).unref();
  return () => guardian.stdin.end();
}

function isDead(folder: string): boolean {
  const [, pid, started] = NAME.exec(basename(folder)) ?? [];
  return pid !== undefined && String(startedAt(Number(pid)) ?? "") !== started;
}

/** When the process was started, in ticks since the machine's start; undefined: there is no such process. */
function startedAt(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]);
  } catch {
    return undefined;
  }
}

/** The kernel writes blanks and the like in paths as \040. */
function unescaped(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
