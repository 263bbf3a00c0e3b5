/**
 * What a test server needs of this machine: an account, a folder, a port, and binaries that the account can reach.
 */
import {
  chmodSync,
  chownSync,
  constants,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { QuorateError } from "../base/index.js";

export const LOOPBACK = "127.0.0.1";
const POLL_MS = 10;

export interface Account {
  readonly uid: number;
  readonly gid: number;
}

/** The account that runs the server when this process is root: database servers refuse to run as root. No account is made. */
export function unprivilegedAccount(): Account | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const line = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .find((entry) => entry.startsWith("nobody:"));
  const [, , uid, gid] = line?.split(":") ?? [];
  if (uid === undefined || gid === undefined || Number(uid) === 0)
    throw new QuorateError(
      "QUORATE_PARTICIPANT_SETUP",
      "database servers refuse to run as root, and this machine has no account `nobody` to run them as",
    );
  return { uid: Number(uid), gid: Number(gid) };
}

/** Whether everybody can read this file or folder and come to it: the account that runs the server is another one. */
export function isReachableByAll(path: string): boolean {
  for (let at = resolve(path); ; at = dirname(at)) {
    if ((statSync(at).mode & 0o005) !== 0o005) return false;
    if (dirname(at) === at) return true;
  }
}

/** A temporary folder that the account which runs the server can reach too. */
export function temporaryFolder(forOthers: boolean): string {
  const folder = tmpdir();
  if (!forOthers) return folder;
  for (let at = folder; ; at = join(at, "..")) {
    const { mode } = statSync(at);
    if ((mode & 0o001) === 0) return "/tmp";
    if (at === "/") return folder;
  }
}

/** Another process may take it at any moment. */
export async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolved, rejected) => {
    probe.once("error", rejected);
    probe.listen(0, LOOPBACK, resolved);
  });
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolved) => probe.close(resolved));
  return port;
}

/** Waits without the event loop until the folder is gone. Throws after `timeoutMs`. */
export function waitGoneSync(folder: string, timeoutMs: number, what: string): void {
  const pause = new Int32Array(new SharedArrayBuffer(4));
  const end = performance.now() + timeoutMs;
  while (existsSync(folder)) {
    if (performance.now() > end) throw new QuorateError("QUORATE_TIMEOUT", `the ${what} test server in ${folder} did not stop`);
    Atomics.wait(pause, 0, 0, POLL_MS);
  }
}

/**
 * Files are hard-linked where the file system allows, so a copy costs milliseconds. `skip`: names that are not needed. `owner` gets the
 * folders, so that it can remove them; never the files, which may be links.
 */
export function copyFolder(from: string, to: string, skip: RegExp, owner?: Account): void {
  mkdirSync(to, { recursive: true, mode: 0o755 });
  if (owner !== undefined) chownSync(to, owner.uid, owner.gid);
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const source = join(from, entry.name);
    const target = join(to, entry.name);
    if (entry.isDirectory()) copyFolder(source, target, skip, owner);
    else if (entry.isSymbolicLink()) symlinkSync(readlinkSync(source), target);
    else if (!skip.test(entry.name)) linkOrCopy(source, target);
  }
}

function linkOrCopy(source: string, target: string): void {
  const { mode } = statSync(source);
  // A hard link shares the mode: only a file that everybody may read already can be linked.
  if ((mode & 0o004) !== 0) {
    try {
      return linkSync(source, target);
    } catch {
      // Another file system, or links are not allowed: copy.
    }
  }
  copyFileSync(source, target, constants.COPYFILE_FICLONE);
  chmodSync(target, (mode & 0o111) === 0 ? 0o644 : 0o755);
}
