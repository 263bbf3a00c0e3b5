/**
 * `quorate dev` as a user has it: real processes, real signals.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { PROGRAM } from "../../src/cli/index.js";
import { plainEnvironment, quorate, quorateJson } from "../support/quorate.js";

/** Everything the command prints is read; a test that waits longer than this has failed. */
const PATIENCE_MS = 20_000;

interface DevJson {
  readonly leader: number;
  readonly epoch: number;
  readonly endpoints: string;
  readonly shiftedBy: number;
  readonly dataDir: string;
  readonly nodes: readonly { readonly id: number; readonly pid: number; readonly endpoint: string; readonly admin: string }[];
}

class Dev {
  readonly process: ChildProcess;
  stdout = "";
  stderr = "";
  readonly ended: Promise<number | null>;

  constructor(args: readonly string[], tmp: string) {
    const env = { ...plainEnvironment(), TMPDIR: tmp };
    this.process = spawn(process.execPath, [PROGRAM, "dev", ...args], { stdio: ["ignore", "pipe", "pipe"], env });
    this.process.stdout?.setEncoding("utf8").on("data", (chunk: string) => (this.stdout += chunk));
    this.process.stderr?.setEncoding("utf8").on("data", (chunk: string) => (this.stderr += chunk));
    this.ended = new Promise((resolve) => this.process.once("exit", resolve));
  }

  async ready(): Promise<DevJson> {
    await expect.poll(() => this.stdout, { timeout: PATIENCE_MS, interval: 20 }).toMatch(/\n}\n$/);
    return JSON.parse(this.stdout) as DevJson;
  }
}

let tmp: string;
let running: Dev[];

beforeEach(() => {
  tmp = mkdtempSync(join(tmpdir(), "quorate-dev-test-"));
  running = [];
});

afterEach(async () => {
  for (const dev of running) {
    dev.process.kill("SIGKILL");
    await dev.ended;
  }
  rmSync(tmp, { recursive: true, force: true });
});

function dev(...args: readonly string[]): Dev {
  const started = new Dev(["-o", "json", ...args], tmp);
  running.push(started);
  return started;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

const allGone = async (pids: readonly number[]): Promise<void> => {
  await expect.poll(() => pids.filter(isAlive), { timeout: PATIENCE_MS }).toEqual([]);
};

describe("quorate dev", () => {
  test("brings up three processes and one leader, and Ctrl-C leaves no process and no temporary folder", async () => {
    const started = dev();
    const cluster = await started.ready();
    const pids = cluster.nodes.map((node) => node.pid);
    expect(new Set(pids).size).toBe(3);
    expect(pids.filter(isAlive)).toEqual(pids);
    expect(cluster.nodes.every((node) => node.endpoint.startsWith("quorate://127.0.0.1:"))).toBe(true);
    const status = (await quorateJson(["status", "--endpoints", cluster.endpoints])) as {
      cluster: { leader: number };
      nodes: { role: string; reachable: boolean }[];
    };
    expect(status.cluster.leader).toBe(cluster.leader);
    expect(status.nodes.filter((node) => node.role === "leading")).toHaveLength(1);
    expect(existsSync(cluster.dataDir)).toBe(true);

    started.process.kill("SIGINT");
    expect(await started.ended).toBe(0);
    await allGone(pids);
    expect(readdirSync(tmp)).toEqual([]);
  });

  test("shifts its ports as a block when one is taken, says so, and prints the line to export", async () => {
    const other = await occupy(7501);
    const started = new Dev([], tmp);
    running.push(started);
    await expect.poll(() => started.stdout, { timeout: PATIENCE_MS }).toContain("Ctrl-C stops the cluster.");
    if (other !== undefined) await new Promise((resolve) => other.close(resolve));
    const shift = Number(/^Port 7\d\d\d is in use: all ports are shifted by (\d+)\.$/m.exec(started.stderr)?.[1]);
    expect(shift).toBeGreaterThan(0);
    const endpoints = [0, 1, 2].map((i) => `127.0.0.1:${7400 + shift + i}`).join(",");
    expect(started.stdout).toContain(`export QUORATE_ENDPOINTS=${endpoints}\n`);
    expect(started.stdout).toMatch(/3 nodes, leader n[123], epoch \d+/);
    expect(started.stdout).toContain(`http://127.0.0.1:${7600 + shift}`);
    expect(await quorate(["health"], { QUORATE_ENDPOINTS: endpoints })).toMatchObject({ code: 0, stderr: "" });
  });

  test("reports a node that was killed, starts it again with --restart, and kill -9 of dev itself leaves no node", async () => {
    const started = dev("--restart");
    const cluster = await started.ready();
    const victim = cluster.nodes.find((node) => node.id !== cluster.leader);
    process.kill(victim?.pid ?? 0, "SIGKILL");
    await expect
      .poll(() => started.stderr, { timeout: PATIENCE_MS })
      .toContain(`n${victim?.id} (pid ${victim?.pid}) ended by SIGKILL. Starting it again.`);
    let pids: number[] = [];
    await expect
      .poll(
        async () => {
          const { stdout } = await quorate(["status", "-o", "json", "--endpoints", cluster.endpoints]);
          const nodes = (JSON.parse(stdout) as { nodes: { pid?: number; phase?: string }[] }).nodes;
          pids = nodes.flatMap((node) => node.pid ?? []);
          return nodes.filter((node) => node.phase === "broadcast").length;
        },
        { timeout: PATIENCE_MS },
      )
      .toBe(3);
    expect(pids).not.toContain(victim?.pid);

    started.process.kill("SIGKILL");
    await started.ended;
    await allGone(pids);
    // What it had to leave behind is swept by the next one.
    expect(readdirSync(tmp)).toHaveLength(1);
    const next = dev();
    const cleaned = await next.ready();
    expect(readdirSync(tmp).map((name) => join(tmp, name))).toEqual([cleaned.dataDir]);
  });

  test("keeps what it is told to keep: the same folder has the same cluster again, and no other", async () => {
    const dataDir = join(tmp, "kept");
    const first = dev("--data-dir", dataDir);
    const before = await first.ready();
    first.process.kill("SIGTERM");
    expect(await first.ended).toBe(0);

    const second = dev("--data-dir", dataDir);
    const after = await second.ready();
    expect(after.epoch).toBeGreaterThan(before.epoch);
    second.process.kill("SIGTERM");
    expect(await second.ended).toBe(0);

    const foreign = await quorate(["dev", "--data-dir", dataDir, "--cluster-id", "other"]);
    expect(foreign.code).toBe(5);
    expect(foreign.stderr).toMatch(/belongs to cluster "dev", but this node is configured for cluster "other".*\[QUORATE_DATA_FOLDER\]/);
    const larger = await quorate(["dev", "--data-dir", dataDir, "--nodes", "5"]);
    expect(larger).toMatchObject({ code: 2 });
    expect(larger.stderr).toContain("give --nodes 3");
  });
});

/** Listens on a port, unless somebody does already. */
function occupy(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(undefined));
    server.listen(port, "127.0.0.1", () => resolve(server));
  });
}
