/**
 * Debian's packages, unpacked into a cache folder and not installed: no package script runs, so no daemon is started and the system stays
 * as it is; root and any other user do the same. apt checks what it downloads against Debian's signatures.
 */
import { execFileSync, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, relative } from "node:path";
import { messageOf } from "../base/index.js";

const APT_TIMEOUT_MS = 300_000;

/** This machine cannot have the packages: the message says why. */
export class PackagesUnavailableError extends Error {}

export interface UnpackedPackages {
  /** The root of what was unpacked: has usr/ and so on. */
  readonly root: string;
  /** By package name. */
  readonly versions: Readonly<Record<string, string>>;
}

/** The package lists of this machine; where those are absent or old, lists of our own below `cache`, which any user may fetch. */
export class DebianPackages {
  readonly #cache: string;
  #ownLists: readonly string[] | undefined;

  /** `cache`: a folder that may be removed at any time. */
  constructor(cache: string) {
    this.#cache = cache;
  }

  /**
   * A folder with these packages unpacked, from an earlier run if there was one. `names` is called only if there was none; `note` before
   * anything is downloaded. Throws PackagesUnavailableError.
   */
  unpack(name: string, names: () => readonly string[], note: (text: string) => void): UnpackedPackages {
    const folder = join(this.#cache, name);
    const list = join(folder, "versions.json");
    const root = join(folder, "root");
    const have = (): UnpackedPackages | undefined =>
      existsSync(list) ? { root, versions: JSON.parse(readFileSync(list, "utf8")) as Record<string, string> } : undefined;
    const cached = have();
    if (cached !== undefined) return cached;
    needTools();
    const fresh = this.#freshFolder(folder);
    try {
      const packages = names();
      note(`Downloading Debian packages ${packages.join(", ")} into ${folder}`);
      this.#download(packages, fresh);
      writeFileSync(join(fresh, "versions.json"), `${JSON.stringify(unpackAll(fresh))}\n`);
      // Another process may have been quicker: its folder is as good.
      if (!existsSync(list)) {
        rmSync(folder, { recursive: true, force: true });
        renameSync(fresh, folder);
      }
    } catch (error) {
      const done = have();
      if (done === undefined) throw error;
    } finally {
      rmSync(fresh, { recursive: true, force: true });
    }
    return { root, versions: JSON.parse(readFileSync(list, "utf8")) as Record<string, string> };
  }

  /** The first of these names that the package lists know. Throws PackagesUnavailableError. */
  firstKnown(names: readonly string[]): string {
    const found = names.find((name) => this.#isKnown(name, [])) ?? names.find((name) => this.#isKnown(name, this.#lists()));
    if (found === undefined) throw new PackagesUnavailableError(`this system's package lists know no ${names.join(" or ")}`);
    return found;
  }

  /** Names of the packages that this one needs, as the lists say. */
  dependencies(name: string): readonly string[] {
    const ask = (extra: readonly string[]): readonly string[] => {
      const told = spawnSync("apt-cache", [...extra, "depends", name], { encoding: "utf8" });
      return [...(told.stdout ?? "").matchAll(/^ *\|?Depends: ([a-z0-9][a-z0-9.+-]*)$/gm)].map((match) => match[1] ?? "");
    };
    const known = ask([]);
    return known.length > 0 ? known : ask(this.#lists());
  }

  #isKnown(name: string, extra: readonly string[]): boolean {
    return spawnSync("apt-cache", [...extra, "show", "--no-all-versions", name]).status === 0;
  }

  #freshFolder(folder: string): string {
    try {
      mkdirSync(dirname(folder), { recursive: true });
      const fresh = mkdtempSync(`${folder}.`);
      mkdirSync(join(fresh, "root"));
      // Read by the account that runs the server when this one is root.
      execFileSync("chmod", ["755", fresh]);
      return fresh;
    } catch (error) {
      throw new PackagesUnavailableError(`the packages are unpacked below ${this.#cache}, which cannot be written: ${messageOf(error)}`);
    }
  }

  #download(names: readonly string[], folder: string): void {
    const get = (extra: readonly string[]): ReturnType<typeof spawnSync> =>
      spawnSync("apt-get", [...extra, "download", ...names], { cwd: folder, encoding: "utf8", timeout: APT_TIMEOUT_MS });
    if (get([]).status === 0) return;
    const second = get(this.#lists());
    if (second.status !== 0)
      throw new PackagesUnavailableError(
        `apt-get download ${names.join(" ")} failed: ${String(second.stderr || (second.error?.message ?? "no reason given"))}`,
      );
  }

  #lists(): readonly string[] {
    if (this.#ownLists !== undefined) return this.#ownLists;
    const folder = join(this.#cache, "apt");
    try {
      for (const each of ["lists/partial", "cache/archives/partial"]) mkdirSync(join(folder, each), { recursive: true });
    } catch (error) {
      throw new PackagesUnavailableError(`package lists are kept below ${folder}, which cannot be written: ${messageOf(error)}`);
    }
    const options = ["-o", `Dir::State::Lists=${folder}/lists`, "-o", `Dir::Cache=${folder}/cache`];
    const updated = spawnSync("apt-get", [...options, "update", "-qq"], { encoding: "utf8", timeout: APT_TIMEOUT_MS });
    if (updated.status !== 0)
      throw new PackagesUnavailableError(`apt-get update failed: ${updated.stderr || (updated.error?.message ?? "no reason given")}`);
    return (this.#ownLists = options);
  }
}

/** Whether the package is installed on this machine. */
export function isInstalled(name: string): boolean {
  const told = spawnSync("dpkg-query", ["-W", "-f=${db:Status-Status}", name], { encoding: "utf8" });
  return told.status === 0 && told.stdout === "installed";
}

/** Unpacks every .deb of the folder into its root/; versions by package. */
function unpackAll(folder: string): Readonly<Record<string, string>> {
  const versions: Record<string, string> = {};
  for (const file of readdirSync(folder).filter((each) => each.endsWith(".deb"))) {
    const deb = join(folder, file);
    execFileSync("dpkg-deb", ["-x", deb, join(folder, "root")]);
    const told = execFileSync("dpkg-deb", ["-W", "--showformat=${Package}\n${Version}", deb], { encoding: "utf8" });
    const [name = file, version = ""] = told.split("\n");
    versions[name] = version;
    rmSync(deb);
  }
  relink(join(folder, "root"));
  return versions;
}

function needTools(): void {
  for (const tool of ["apt-get", "apt-cache", "dpkg-deb"])
    if (spawnSync(tool, ["--version"]).status !== 0)
      throw new PackagesUnavailableError(`${tool} is missing: this machine has no Debian packages to unpack`);
}

/** Absolute links point into the system's own /etc and /usr: where the package brought the target, they shall point at that. */
function relink(root: string): void {
  for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isSymbolicLink()) continue;
    const link = join(entry.parentPath, entry.name);
    const target = readlinkSync(link);
    if (!target.startsWith("/") || !existsSync(join(root, target))) continue;
    unlinkSync(link);
    symlinkSync(relative(dirname(link), join(root, target)), link);
  }
}
