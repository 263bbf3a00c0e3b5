/**
 * Finds a Redis server: the system's own, or Debian's packages unpacked into a cache folder below node_modules.
 *
 * Nothing is installed and no package script runs, so no daemon is started and root and any other user do the same. apt checks what it
 * downloads against Debian's signatures. Which libraries are missing the loader tells; the packages that bring them, the packages' own
 * dependencies.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, dirname, join } from "node:path";
import { messageOf } from "../base/index.js";

export interface RedisBinaries {
  readonly program: string;
  /** Folders of the libraries it needs beside the system's. */
  readonly libraries: readonly string[];
}

type Found = RedisBinaries | { readonly missing: string };

const PACKAGES = ["redis-server", "redis-tools"];
const APT_TIMEOUT_MS = 120_000;
/** Dependencies of dependencies: more rounds than any release needed. */
const ROUNDS_MAX = 4;

let found: Found | undefined;

/** Where the server is, or why there is none, for a test that must say what it skips. Downloads at most once per process. */
export function findRedis(): Found {
  return (found ??= find());
}

function find(): Found {
  const own = (process.env["PATH"] ?? "").split(delimiter).find((folder) => existsSync(join(folder, "redis-server")));
  if (own !== undefined) return { program: join(own, "redis-server"), libraries: [] };
  const cache = cacheFolder();
  const folder = join(cache, "redis");
  try {
    if (!existsSync(folder)) unpack(cache, folder);
    return binariesIn(folder);
  } catch (error) {
    return { missing: `no redis-server on the PATH, and Debian's package could not be had: ${messageOf(error)}` };
  }
}

/** Also for a copy of the sources whose node_modules is a link. */
function cacheFolder(): string {
  const anyPackage = createRequire(import.meta.url).resolve("level/package.json");
  return join(dirname(dirname(anyPackage)), ".cache", "quorate-redis");
}

function binariesIn(folder: string): RedisBinaries {
  const program = join(folder, "usr", "bin", "redis-server");
  const libraries = readFileSync(join(folder, "libraries"), "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => join(folder, line));
  return { program, libraries };
}

function unpack(cache: string, folder: string): void {
  mkdirSync(cache, { recursive: true });
  const fresh = mkdtempSync(join(cache, "new-"));
  try {
    fetch(PACKAGES, fresh);
    const program = join(fresh, "usr", "bin", "redis-server");
    if (!existsSync(program)) throw new Error("it has no usr/bin/redis-server");
    const had = new Set(PACKAGES);
    for (let round = 0; missingLibraries(program, fresh).length > 0; round++) {
      const needed = [...dependencies(fresh)].filter((name) => !had.has(name) && !isInstalled(name));
      if (round === ROUNDS_MAX || needed.length === 0)
        throw new Error(`it needs ${missingLibraries(program, fresh).join(", ")}, which none of its dependencies brings`);
      for (const name of needed) had.add(name);
      fetch(needed, fresh);
    }
    writeFileSync(join(fresh, "libraries"), libraryFolders(fresh).join("\n"));
    // Another process may have been faster; what it made is the same.
    if (!existsSync(folder)) renameSync(fresh, folder);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

/** Downloads packages and unpacks them into `folder`, beside `control`, which keeps what they depend on. */
function fetch(names: readonly string[], folder: string): void {
  const debs = mkdtempSync(join(folder, "debs-"));
  run("apt-get", ["download", ...names], debs);
  for (const file of readdirSync(debs)) {
    run("dpkg-deb", ["-x", file, folder], debs);
    writeFileSync(join(folder, "control"), `${run("dpkg-deb", ["-f", file, "Depends"], debs)}\n`, { flag: "a" });
  }
  rmSync(debs, { recursive: true, force: true });
}

function dependencies(folder: string): Set<string> {
  const lines = readFileSync(join(folder, "control"), "utf8").split("\n");
  // "libssl3 (>= 3.0.0), a | b": of alternatives the first. Only libraries are wanted.
  const names = lines.flatMap((line) => line.split(",")).map((each) => each.trim().split(/[ |(:]/, 1)[0] ?? "");
  return new Set(names.filter((name) => /^(lib|lua)/.test(name)));
}

function isInstalled(name: string): boolean {
  return spawnSync("dpkg-query", ["-W", "-f", "${Status}", name], { encoding: "utf8" }).stdout.startsWith("install ok");
}

function missingLibraries(program: string, folder: string): readonly string[] {
  const told = run("ldd", [program], folder, {
    LD_LIBRARY_PATH: libraryFolders(folder)
      .map((each) => join(folder, each))
      .join(":"),
  });
  return [...told.matchAll(/^\s*(\S+) => not found/gm)].map((match) => match[1] ?? "");
}

/** Paths below `folder` that hold shared libraries. */
function libraryFolders(folder: string): readonly string[] {
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((path) => /\.so(\.|$)/.test(path));
  return [...new Set(files.map((path) => dirname(path)))];
}

function run(command: string, args: readonly string[], cwd: string, env: NodeJS.ProcessEnv = {}): string {
  const result = spawnSync(command, args, { cwd, encoding: "utf8", timeout: APT_TIMEOUT_MS, env: { ...process.env, LC_ALL: "C", ...env } });
  if (result.error !== undefined) throw new Error(`${command}: ${result.error.message}`);
  if (result.status !== 0) throw new Error(`${command} ${args.join(" ")}: ${result.stderr.trim().split("\n").at(-1) ?? ""}`);
  return result.stdout.trim();
}
