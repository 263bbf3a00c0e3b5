/**
 * Finds a Redis server: the system's own if one is installed, else Debian's packages, unpacked below node_modules/.cache and not installed.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, dirname, join } from "node:path";
import { messageOf } from "../base/index.js";
import { DebianPackages, isInstalled, PackagesUnavailableError } from "./debian-packages.js";

export interface RedisBinaries {
  readonly program: string;
  /** Folders of libraries that this system does not have. */
  readonly libraries: readonly string[];
}

/** In Debian the first is little more than a link to the second's program. */
const PACKAGES = ["redis-server", "redis-tools"];

let known: RedisBinaries | { readonly missing: string } | undefined;

/** Where the server is, or why there is none, for a test that must say what it skips. Downloads it at the first call on a machine. */
export function findRedis(): RedisBinaries | { readonly missing: string } {
  return (known ??= find());
}

function find(): RedisBinaries | { readonly missing: string } {
  const own = (process.env["PATH"] ?? "").split(delimiter).find((folder) => existsSync(join(folder, "redis-server")));
  if (own !== undefined) return { program: join(own, "redis-server"), libraries: [] };
  if (process.platform !== "linux")
    return { missing: "no redis-server on the PATH; the launcher takes Debian's packages, which run on Linux only" };
  try {
    const packages = new DebianPackages(cacheFolder());
    const { root } = packages.unpack(
      "redis",
      () => {
        // Their libraries, as far as this system lacks them.
        const needed = PACKAGES.flatMap((name) => packages.dependencies(name)).filter(
          (name) => /^(lib|lua)/.test(name) && !isInstalled(name),
        );
        return [...new Set([...PACKAGES, ...needed])];
      },
      (text) => process.stderr.write(`${text}\n`),
    );
    const binaries = { program: join(root, "usr", "bin", "redis-server"), libraries: libraryFolders(root) };
    const problem = problemOf(binaries);
    return problem === undefined ? binaries : { missing: `the Redis packages of this system do not run: ${problem}` };
  } catch (error) {
    if (error instanceof PackagesUnavailableError) return { missing: `Redis: ${messageOf(error)}` };
    throw error;
  }
}

function problemOf({ program, libraries }: RedisBinaries): string | undefined {
  const told = spawnSync(program, ["--version"], { encoding: "utf8", env: { LD_LIBRARY_PATH: libraries.join(":") } });
  return told.status === 0 ? undefined : (told.error?.message ?? told.stderr.trim());
}

function libraryFolders(root: string): readonly string[] {
  const files = readdirSync(root, { recursive: true, encoding: "utf8" }).filter((path) => /\.so(\.|$)/.test(path));
  return [...new Set(files.map((path) => join(root, dirname(path))))];
}

/** Also for a copy of the sources whose node_modules is a link. */
function cacheFolder(): string {
  const anyPackage = createRequire(import.meta.url).resolve("level/package.json");
  return join(dirname(dirname(anyPackage)), ".cache", "quorate-redis");
}
