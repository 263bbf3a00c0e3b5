/**
 * etcd, ZooKeeper and, where there is none, a Java runtime: Debian's packages, unpacked into a cache folder of this checkout.
 *
 * Nothing is installed: no package script runs, so no daemon is started and the system stays as it is; root and any other user do the same.
 * apt checks what it downloads against Debian's signatures. Run by itself, this prints where everything is: `node test/bench/peers/packages.mjs`.
 */
import { execFileSync, spawnSync } from "node:child_process";
import {
  existsSync,
  lstatSync,
  mkdirSync,
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
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const CACHE = join(ROOT, "node_modules", ".cache", "quorate-peers");
/** Older Debian calls it etcd-server, some derivatives etcd. */
const ETCD = ["etcd-server", "etcd"];
/** The jars that a server needs: the rest of what the package depends on is for its admin pages and its tests. */
const ZOOKEEPER = [
  "libzookeeper-java",
  "libslf4j-java",
  "libnetty-java",
  "libdropwizard-metrics-java",
  "libsnappy-java",
  "libcommons-cli-java",
  "libcommons-io-java",
];
const JARS =
  /^(zookeeper|zookeeper-jute|slf4j-api|slf4j-simple|netty-(buffer|codec|common|handler|resolver|transport|transport-native-epoll|transport-native-unix-common)|metrics-core|snappy-java|commons-cli|commons-io)\.jar$/;
const JAVA = "default-jre-headless";
const APT_TIMEOUT_MS = 300_000;

/** This machine cannot have a system: the message says why. */
export class Unavailable extends Error {}

/** Paths of what these systems need: `{ etcd?, zookeeper?: { java, classpath }, versions }`. Throws Unavailable. */
export function preparePackages(systems) {
  const have = { versions: {} };
  if (systems.includes("etcd")) {
    const folder = unpacked("etcd", () => [ETCD.find(isKnown) ?? missing(ETCD)]);
    have.etcd = join(folder.root, "usr", "bin", "etcd");
    if (!existsSync(have.etcd)) throw new Unavailable(`the etcd package of this system has no usr/bin/etcd (${folder.root})`);
    Object.assign(have.versions, folder.versions);
  }
  if (systems.includes("zookeeper")) {
    const folder = unpacked("zookeeper", () => ZOOKEEPER.map((name) => (isKnown(name) ? name : missing([name]))));
    have.zookeeper = { java: javaProgram(have.versions), classpath: jars(join(folder.root, "usr", "share", "java")) };
    Object.assign(have.versions, folder.versions);
  }
  return have;
}

function jars(folder) {
  const found = readdirSync(folder).filter((name) => JARS.test(name));
  for (const needed of ["zookeeper.jar", "zookeeper-jute.jar", "slf4j-api.jar", "slf4j-simple.jar", "netty-handler.jar"])
    if (!found.includes(needed)) throw new Unavailable(`the ZooKeeper packages of this system have no ${needed} (${folder})`);
  return found.map((name) => join(folder, name)).join(":");
}

/** The java of this machine, or one from Debian's package. */
function javaProgram(versions) {
  if (process.env.QUORATE_PEERS_JAVA !== "package" && spawnSync("java", ["-version"]).status === 0) return "java";
  const folder = unpacked("java", () => {
    const real = dependency([]) ?? dependency(ownLists());
    return [real ?? missing([JAVA])];
  });
  const lib = join(folder.root, "usr", "lib", "jvm");
  const home = readdirSync(lib).find((name) => existsSync(join(lib, name, "bin", "java")) && !lstatSync(join(lib, name)).isSymbolicLink());
  if (home === undefined) throw new Unavailable(`the Java package of this system has no usr/lib/jvm/*/bin/java (${folder.root})`);
  const program = join(lib, home, "bin", "java");
  const tried = spawnSync(program, ["-version"], { encoding: "utf8" });
  if (tried.status !== 0) throw new Unavailable(`the unpacked Java does not run: ${tried.stderr || tried.error?.message}`);
  Object.assign(versions, folder.versions);
  return program;
}

/** A folder with these packages unpacked, from an earlier run if there was one: `{ root, versions }`. */
function unpacked(name, packages) {
  const folder = join(CACHE, name);
  const list = join(folder, "versions.json");
  const root = join(folder, "root");
  if (existsSync(list)) return { root, versions: JSON.parse(readFileSync(list, "utf8")) };
  needTools();
  const fresh = `${folder}.new`;
  try {
    for (const old of [fresh, folder]) rmSync(old, { recursive: true, force: true });
    mkdirSync(join(fresh, "root"), { recursive: true });
  } catch (error) {
    throw new Unavailable(`the packages are unpacked below ${CACHE}, which cannot be written: ${error.message}`);
  }
  const names = packages();
  console.error(`Downloading ${names.join(", ")} into ${folder}`);
  download(names, fresh);
  const versions = {};
  for (const file of readdirSync(fresh).filter((each) => each.endsWith(".deb"))) {
    const deb = join(fresh, file);
    execFileSync("dpkg-deb", ["-x", deb, join(fresh, "root")]);
    const [pkg, version] = execFileSync("dpkg-deb", ["-W", "--showformat=${Package}\n${Version}", deb], { encoding: "utf8" }).split("\n");
    versions[pkg] = version;
    rmSync(deb);
  }
  relink(join(fresh, "root"));
  writeFileSync(join(fresh, "versions.json"), `${JSON.stringify(versions)}\n`);
  renameSync(fresh, folder);
  return { root, versions };
}

/** With the system's package lists; where those are absent or old, with lists of our own, which any user may fetch. */
function download(names, folder) {
  const get = (extra) => spawnSync("apt-get", [...extra, "download", ...names], { cwd: folder, encoding: "utf8", timeout: APT_TIMEOUT_MS });
  const first = get([]);
  if (first.status === 0) return;
  const second = get(ownLists());
  if (second.status !== 0) throw new Unavailable(`apt-get download ${names.join(" ")} failed: ${second.stderr || second.error?.message}`);
}

let lists;
function ownLists() {
  if (lists !== undefined) return lists;
  const folder = join(CACHE, "apt");
  for (const each of ["lists/partial", "cache/archives/partial"]) mkdirSync(join(folder, each), { recursive: true });
  const options = ["-o", `Dir::State::Lists=${folder}/lists`, "-o", `Dir::Cache=${folder}/cache`];
  const updated = spawnSync("apt-get", [...options, "update", "-qq"], { encoding: "utf8", timeout: APT_TIMEOUT_MS });
  if (updated.status !== 0) throw new Unavailable(`apt-get update failed: ${updated.stderr || updated.error?.message}`);
  return (lists = options);
}

function isKnown(name) {
  const shown = (extra) => spawnSync("apt-cache", [...extra, "show", "--no-all-versions", name]).status === 0;
  return shown([]) || shown(ownLists());
}

/** What Debian's default runtime is at present, as these lists say. */
function dependency(extra) {
  const told = spawnSync("apt-cache", [...extra, "depends", JAVA], { encoding: "utf8" });
  return /Depends: (openjdk-\d+-jre-headless)/.exec(told.stdout)?.[1];
}

function needTools() {
  for (const tool of ["apt-get", "apt-cache", "dpkg-deb"])
    if (spawnSync(tool, ["--version"]).status !== 0) throw new Unavailable(`${tool} is missing: the peers come from Debian's packages`);
}

function missing(names) {
  throw new Unavailable(`this system's package lists know no ${names.join(" or ")}`);
}

/** Absolute links point into the system's own /etc and /usr: where the package brought the target, they shall point at that. */
function relink(root) {
  for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isSymbolicLink()) continue;
    const link = join(entry.parentPath ?? entry.path, entry.name);
    const target = readlinkSync(link);
    if (!target.startsWith("/") || !existsSync(join(root, target))) continue;
    unlinkSync(link);
    symlinkSync(relative(dirname(link), join(root, target)), link);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    console.log(JSON.stringify(preparePackages(["etcd", "zookeeper"]), undefined, 2));
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    console.error(`SKIP: ${error.message}`);
    process.exitCode = 1;
  }
}
