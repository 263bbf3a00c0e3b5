/**
 * A place of its own for a run with network namespaces: this program once more, in new network and mount namespaces.
 *
 * What is made in there is seen by nobody outside, collides with nothing outside, and is taken down by the kernel when the last process
 * in there has ended, by whatever cause: there is nothing to clean up and nothing that can be left behind half made. The machine's own
 * interfaces, routes and firewall are not touched. A plain user gets the same by a user namespace, where the kernel allows it.
 */
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { Socket } from "node:net";
import { QuorateError } from "../../src/base/index.js";
import { NETNS_DIR } from "./namespace-layout.js";
import type { NetworkAbility, NetworkKind } from "./network.js";

/** Set inside: why namespaces were chosen. Not QUORATE_*, which nodes read as settings. */
const SANDBOX_VARIABLE = "PARTITION_SANDBOX";
/** Closes when the parent is gone. */
const PARENT_FD = 3;
const CANNOT_CHECK_MS = 15_000;

/** Program, and the Debian package that has it. */
export const TOOLS: Readonly<Record<string, string>> = {
  unshare: "util-linux",
  nsenter: "util-linux",
  mount: "mount",
  bash: "bash",
  ip: "iproute2",
  ss: "iproute2",
  nft: "nftables",
};

export const NETWORK_DEMANDS = ["auto", "namespaces", "proxies"] as const;
export type NetworkDemand = (typeof NETWORK_DEMANDS)[number];

export interface NetworkChoice {
  readonly kind: NetworkKind;
  /** For people. */
  readonly why: string;
}

const UNSHARE_ROOT = ["unshare", "--net", "--mount", "--"];
const UNSHARE_USER = ["unshare", "--user", "--map-current-user", "--keep-caps", "--net", "--mount", "--"];
/** A place for names of namespaces that ends with the sandbox; over all of /run for whom the folder cannot be made. */
const MOUNT = `{ mkdir -p ${NETNS_DIR} && mount -t tmpfs tmpfs ${NETNS_DIR}; } 2>/dev/null || { mount -t tmpfs tmpfs /run && mkdir ${NETNS_DIR}; }`;

/** Every feature of the kernel that is used, once: prints the first step that fails. */
const CHECK = [
  ["private mounts", MOUNT],
  ["network namespaces", "ip netns add node && ip netns add switch"],
  ["virtual cables (veth)", "ip link add card0 netns node type veth peer name port0 netns switch && ip -n node link set card0 up"],
  [
    "bridges",
    "ip -n switch link add bridge0 type bridge && ip -n switch link set bridge0 up && ip -n switch link set port0 master bridge0 up",
  ],
  ["entering a namespace", `nsenter --net=${NETNS_DIR}/switch -- true`],
  [
    "nftables in a bridge",
    `printf '%s\\n' 'table bridge q {' 'chain f {' 'type filter hook forward priority 0; policy accept;' 'iifname "port0" oifname "port1" numgen random mod 100 < 30 counter drop' '}' '}' | nsenter --net=${NETNS_DIR}/switch -- nft -f -`,
  ],
  ["counters as JSON", `nsenter --net=${NETNS_DIR}/switch -- nft -j list chain bridge q f`],
  ["ending sockets (ss --kill)", `nsenter --net=${NETNS_DIR}/node -- ss --kill --no-header --tcp dst 10.77.0.1`],
]
  .map(([what = "", how = ""]) => `said=$({ ${how}; } 2>&1) || { echo "${what}: \${said%%$'\\n'*}"; exit 1; }`)
  .join("\n");

/** Inside: the reason for namespaces. Outside: undefined. */
export function sandboxed(): string | undefined {
  return process.env[SANDBOX_VARIABLE];
}

/** What stands in the way of namespaces here, with its remedy; undefined: nothing. */
export function namespaceObstacle(): string | undefined {
  const missing = Object.keys(TOOLS).filter(
    (tool) => spawnSync(tool, ["--version"], { stdio: "ignore", env: environment() }).error !== undefined,
  );
  if (missing.length > 0) {
    const packages = [...new Set(missing.map((tool) => TOOLS[tool]))].join(" ");
    return `${missing.join(", ")} ${missing.length === 1 ? "is" : "are"} missing; run scripts/fault-tools.sh as root, or install ${packages}`;
  }
  const [program = "", ...args] = unshare();
  const check = spawnSync(program, [...args, "bash", "-c", CHECK], { encoding: "utf8", timeout: CANNOT_CHECK_MS, env: environment() });
  if (check.status === 0) return undefined;
  const said = check.stdout.trim() === "" ? (check.stderr.trim().split("\n").at(-1) ?? "") : check.stdout.trim();
  const remedy = process.getuid?.() === 0 ? "this kernel or container does not allow it" : "run as root";
  return `${said === "" ? (check.error?.message ?? "unshare failed") : said}; ${remedy}`;
}

/** Throws QUORATE_CONFIG when namespaces are demanded and cannot be had, or cannot do what is needed. */
export function chooseNetwork(demand: NetworkDemand, needs: readonly NetworkAbility[]): NetworkChoice {
  const inside = sandboxed();
  if (inside !== undefined) return { kind: "namespaces", why: inside };
  const proxiesOnly = needs.includes("delay");
  const namespacesOnly = needs.includes("cable");
  if (demand === "proxies") {
    if (namespacesOnly) throw new QuorateError("QUORATE_CONFIG", "only network namespaces have cables to pull; use --network namespaces");
    return { kind: "proxies", why: "demanded" };
  }
  if (proxiesOnly) {
    const why = "delays need proxies: not every kernel can delay packets";
    if (demand === "namespaces") throw new QuorateError("QUORATE_CONFIG", `${why}; use --network proxies`);
    return { kind: "proxies", why };
  }
  const obstacle = namespaceObstacle();
  if (obstacle === undefined)
    return { kind: "namespaces", why: demand === "namespaces" ? "demanded" : "the tools are there and the kernel allows them" };
  if (demand === "namespaces" || namespacesOnly) throw new QuorateError("QUORATE_CONFIG", `network namespaces cannot be used: ${obstacle}`);
  return { kind: "proxies", why: `network namespaces cannot be used: ${obstacle}` };
}

/** How a run in a sandbox ended. */
export interface SandboxEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Runs this same command line in a sandbox, with this process's output. Signals are passed on. */
export function runInSandbox({ why }: NetworkChoice): Promise<SandboxEnd> {
  const { command, env } = inSandbox([process.execPath, ...process.execArgv, ...process.argv.slice(1)], why);
  const [program = "", ...args] = command;
  const child = spawn(program, args, {
    // A group of its own: a terminal's Ctrl-C comes once, through this process.
    detached: true,
    stdio: ["ignore", "inherit", "inherit", "pipe"],
    env,
  });
  passSignals(child);
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code, signal) => resolve({ code, signal }));
  });
}

/** The command that runs `command` in a sandbox of its own, and becomes it; to be run with this environment. */
export function inSandbox(
  command: readonly string[],
  why: string,
): { readonly command: readonly string[]; readonly env: NodeJS.ProcessEnv } {
  return {
    command: [...unshare(), "bash", "-c", `${MOUNT}; exec "$@"`, "sandbox", ...command],
    env: { ...environment(), [SANDBOX_VARIABLE]: why },
  };
}

/** Inside: ends this process like an interrupt when the one that made the sandbox is gone. */
export function endWithParent(): void {
  const parent = new Socket({ fd: PARENT_FD, readable: true, writable: false });
  const gone = (): void => void process.kill(process.pid, "SIGTERM");
  parent.once("close", gone).once("error", () => undefined);
  parent.resume();
  parent.unref();
}

/** The tools are where a plain user's path does not lead. */
function environment(): NodeJS.ProcessEnv {
  return { ...process.env, PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin` };
}

function unshare(): readonly string[] {
  return process.getuid?.() === 0 ? UNSHARE_ROOT : UNSHARE_USER;
}

function passSignals(child: ChildProcess): void {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => child.kill(signal));
}
