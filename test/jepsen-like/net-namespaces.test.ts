/**
 * The network of namespaces against what really arrives, and a run in it that leaves nothing on this machine. Runs the built program.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import type { HistoryEvent } from "../../src/check/index.js";
import { inSandbox, namespaceObstacle } from "../../jepsen-like/net/sandbox.js";
import type { RunReport } from "../../jepsen-like/run.js";
import { quorate } from "../support/quorate.js";

const obstacle = namespaceObstacle();
if (obstacle !== undefined) console.warn(`SKIP network namespaces: ${obstacle}`);

interface Arrivals {
  readonly [link: string]: number;
}

interface Seen {
  readonly whole: Arrivals;
  readonly oneWay: Arrivals;
  readonly participants: Arrivals;
  readonly lossy: Arrivals;
  readonly healed: Arrivals;
  readonly unplugged: Arrivals;
  readonly plugged: Arrivals;
  readonly oneWayFelt: { readonly felt: boolean };
  readonly lossyFelt: { readonly felt: boolean; readonly facts: { readonly dropped: number } };
  readonly quietFelt: { readonly felt: boolean };
  readonly cableFelt: { readonly felt: boolean };
  readonly connected: readonly boolean[];
  readonly cut: number;
  readonly resetErrors: readonly (readonly string[])[];
}

/** The links whose datagrams did not all arrive, with how many did. */
function hurt(arrivals: Arrivals, sent: number): Arrivals {
  return Object.fromEntries(Object.entries(arrivals).filter(([, count]) => count !== sent));
}

describe.skipIf(obstacle !== undefined)("network namespaces", () => {
  test("what the switch is told to lose is lost, in that direction alone, and nothing else", () => {
    const { command, env } = inSandbox([process.execPath, fileURLToPath(new URL("net-hosts.mjs", import.meta.url))], "test");
    const [program = "", ...args] = command;
    const seen = JSON.parse(execFileSync(program, args, { encoding: "utf8", env })) as Seen;

    expect(Object.keys(seen.whole).length).toBe(18);
    expect(hurt(seen.whole, 5)).toEqual({});
    expect(hurt(seen.oneWay, 5)).toEqual({ "n1>n2": 0, "n1>n3": 0 });
    expect(seen.oneWayFelt.felt).toBe(true);
    expect(hurt(seen.participants, 5)).toEqual({ "participants>n3": 0, "n3>participants": 0 });

    expect(Object.keys(hurt(seen.lossy, 200)).sort()).toEqual(["n2>n3", "n3>n1"]);
    expect(seen.lossy["n3>n1"]).toBe(0);
    expect(seen.lossy["n2>n3"]).toBeGreaterThan(110);
    expect(seen.lossy["n2>n3"]).toBeLessThan(170);
    // The counters say what the hosts say.
    expect(seen.lossyFelt).toMatchObject({ felt: true, facts: { dropped: 400 - (seen.lossy["n2>n3"] ?? 0) } });
    expect(hurt(seen.healed, 5)).toEqual({});
    // A cut that works, on links on which nobody said anything: nobody felt it.
    expect(seen.quietFelt.felt).toBe(false);

    expect(seen.cut).toBe(1);
    expect(seen.resetErrors).toEqual([["ECONNRESET"], ["ECONNABORTED"]]);

    expect(hurt(seen.unplugged, 5)).toEqual({ "n1>n2": 0, "n1>n3": 0, "n2>n1": 0, "n3>n1": 0 });
    expect(seen.connected).toEqual([false, true, true]);
    expect(seen.cableFelt.felt).toBe(true);
    expect(hurt(seen.plugged, 5)).toEqual({});
  }, 60_000);

  test("a run in them is valid, its faults verified, and afterwards no process, namespace, interface, mount or folder of it is left", async () => {
    const mark = randomUUID();
    const dir = mkdtempSync(join(tmpdir(), "quorate-net-test-"));
    const before = machine();
    try {
      const command = "partition run one-way --network namespaces --workload transfers --seconds 10 --seed 5 -o json --output-dir";
      const { stdout, stderr } = await quorate([...command.split(" "), dir], { RUN_MARK: mark });
      expect(stderr).toContain("network: namespaces (demanded)");
      const report = JSON.parse(stdout) as RunReport;
      expect(report.violations).toEqual([]);
      expect(report.verdict, report.why).toBe("valid");
      expect(report.faultsFelt).toBeGreaterThan(0);
      expect(report.faultsFelt).toBe(report.faultsInjected);
      const faults = readFileSync(join(dir, "history.jsonl"), "utf8")
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line) as HistoryEvent)
        .filter((event) => event.f === "nemesis")
        .map((event) => event.value);
      expect(faults).toContainEqual(expect.objectContaining({ at: "begin", network: "namespaces", direction: "from the leader" }));
      expect(faults).toContainEqual(expect.objectContaining({ at: "end", verified: true, passed: 0 }));
      await expect.poll(() => processesWith(mark)).toEqual([]);
      expect(machine()).toEqual(before);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  }, 90_000);
});

test("namespaces that are demanded where they cannot be had: nothing is started, and the message names what is missing and the remedy", async () => {
  // A path that leads to no tool but this one.
  const { code, stdout, stderr } = await quorate(["partition", "run", "one-way", "--network", "namespaces"], { PATH: "/nonexistent" });
  expect(stdout).toBe("");
  expect(code).toBe(2);
  expect(stderr).toMatch(/missing; run scripts\/fault-tools\.sh as root, or install .*util-linux/);
});

/** What of the machine's network and mounts a run could have changed. */
function machine(): object {
  const ip = spawnSync("ip", ["-oneline", "link", "show"], { encoding: "utf8" });
  const names = existsSync("/run/netns") ? readdirSync("/run/netns") : [];
  const routes = readFileSync("/proc/net/route", "utf8");
  const mounts = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line.includes("netns") || line.includes("quorate"));
  return { links: ip.stdout.split("\n").map((line) => line.split(" ")[1]), names, routes, mounts };
}

function processesWith(mark: string): readonly string[] {
  return readdirSync("/proc").filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/environ`, "utf8").includes(mark);
    } catch {
      return false;
    }
  });
}
