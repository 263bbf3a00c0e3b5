/**
 * etcd, ZooKeeper and, where there is none, a Java runtime: Debian's packages, unpacked into a cache folder of this checkout.
 *
 * Nothing is installed: no package script runs, so no daemon is started and the system stays as it is; root and any other user do the same.
 * apt checks what it downloads against Debian's signatures. Run by itself, this prints where everything is: `node test/bench/peers/packages.mjs`.
 */
import { spawnSync } from "node:child_process";
import { existsSync, lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { DebianPackages, PackagesUnavailableError as Unavailable } from "../../../dist/src/testing/debian-packages.js";

/** This machine cannot have a system: the message says why. */
export { Unavailable };

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
const packages = new DebianPackages(CACHE);
const unpacked = (name, names) => packages.unpack(name, names, (text) => console.error(text));

/** Paths of what these systems need: `{ etcd?, zookeeper?: { java, classpath }, versions }`. Throws Unavailable. */
export function preparePackages(systems) {
  const have = { versions: {} };
  if (systems.includes("etcd")) {
    const folder = unpacked("etcd", () => [packages.firstKnown(ETCD)]);
    have.etcd = join(folder.root, "usr", "bin", "etcd");
    if (!existsSync(have.etcd)) throw new Unavailable(`the etcd package of this system has no usr/bin/etcd (${folder.root})`);
    Object.assign(have.versions, folder.versions);
  }
  if (systems.includes("zookeeper")) {
    const folder = unpacked("zookeeper", () => ZOOKEEPER.map((name) => packages.firstKnown([name])));
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
    // What Debian's default runtime is at present, as the lists say.
    const real = packages.dependencies(JAVA).find((name) => /^openjdk-\d+-jre-headless$/.test(name));
    if (real === undefined) throw new Unavailable(`this system's package lists know no ${JAVA}`);
    return [real];
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

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    console.log(JSON.stringify(preparePackages(["etcd", "zookeeper"]), undefined, 2));
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    console.error(`SKIP: ${error.message}`);
    process.exitCode = 1;
  }
}
