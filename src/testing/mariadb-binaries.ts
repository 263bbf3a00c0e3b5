/**
 * Finds a MariaDB server: the system's own if one is installed, else Debian's packages, unpacked below node_modules/.cache and not installed.
 */
import { existsSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { messageOf } from "../base/index.js";
import { DebianPackages, isInstalled, PackagesUnavailableError } from "./debian-packages.js";

export interface MariadbBinaries {
  /** The server's program. */
  readonly program: string;
  /** Holds the messages, the character sets and the SQL of the system tables. */
  readonly share: string;
  /** Folder of libraries that this system does not have; undefined: it has them all. */
  readonly libraries: string | undefined;
  /** Root of what was unpacked; undefined: the system's own server. */
  readonly root: string | undefined;
}

/** Older Debian has the version in the name. */
const SERVER_PACKAGES = ["mariadb-server-core", "mariadb-server-core-10.11", "mariadb-server-core-10.6", "mariadb-server-core-10.5"];
const PROGRAMS = ["sbin/mariadbd", "sbin/mysqld"];
const SHARES = ["share/mariadb", "share/mysql"];
const SYSTEM_TABLES = /^(mariadb|mysql)_system_tables\.sql$/;

let known: MariadbBinaries | { readonly missing: string } | undefined;

/** Where the server is, or why there is none, for a test that must say what it skips. Downloads it at the first call on a machine. */
export function findMariadb(): MariadbBinaries | { readonly missing: string } {
  return (known ??= find());
}

function find(): MariadbBinaries | { readonly missing: string } {
  if (process.platform !== "linux") return { missing: "the MariaDB launcher takes Debian's packages, which run on Linux only" };
  const system = below("/usr");
  if (system !== undefined) return { ...system, libraries: undefined, root: undefined };
  try {
    const packages = new DebianPackages(cacheFolder());
    const { root } = packages.unpack(
      "mariadb",
      () => {
        const server = packages.firstKnown(SERVER_PACKAGES);
        // Its libraries, as far as this system lacks them.
        return [server, ...packages.dependencies(server).filter((name) => name.startsWith("lib") && !isInstalled(name))];
      },
      (text) => process.stderr.write(`${text}\n`),
    );
    const unpacked = below(join(root, "usr"));
    if (unpacked === undefined) return { missing: `the MariaDB package of this system has no server program and system tables (${root})` };
    return { ...unpacked, libraries: libraryFolder(root), root };
  } catch (error) {
    if (error instanceof PackagesUnavailableError) return { missing: `MariaDB: ${messageOf(error)}` };
    throw error;
  }
}

function below(usr: string): { readonly program: string; readonly share: string } | undefined {
  const program = PROGRAMS.map((name) => join(usr, name)).find((path) => existsSync(path));
  const share = SHARES.map((name) => join(usr, name)).find((path) => existsSync(path) && readdirSync(path).some(isSystemTables));
  return program === undefined || share === undefined ? undefined : { program, share };
}

/** The SQL files that make the system tables, in the order in which they are run. */
export function systemTables(share: string): readonly string[] {
  const names = readdirSync(share);
  return ["system_tables.sql", "performance_tables.sql", "system_tables_data.sql"].flatMap((suffix) =>
    names.filter((name) => name === `mariadb_${suffix}` || name === `mysql_${suffix}`).slice(0, 1),
  );
}

function isSystemTables(name: string): boolean {
  return SYSTEM_TABLES.test(name);
}

/** Debian keeps them in a folder named after the machine: usr/lib/x86_64-linux-gnu. */
function libraryFolder(root: string): string | undefined {
  const lib = join(root, "usr", "lib");
  if (!existsSync(lib)) return undefined;
  const name = readdirSync(lib).find((each) => each.includes("-linux-gnu"));
  return name === undefined ? undefined : join(lib, name);
}

/** `node_modules/.cache/quorate-mariadb` of this checkout, or of the project that installed this package. */
function cacheFolder(): string {
  let root = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(root, "package.json")) && dirname(root) !== root) root = dirname(root);
  const modules = root.lastIndexOf("/node_modules/");
  return join(modules < 0 ? join(root, "node_modules") : root.slice(0, modules + "/node_modules".length), ".cache", "quorate-mariadb");
}
