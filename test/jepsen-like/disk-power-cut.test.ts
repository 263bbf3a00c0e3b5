/**
 * A short real run: every node loses its power under load, with what it had not synced. And the same, interrupted.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { mountedDisks } from "../../jepsen-like/disk/leftovers.js";
import { whyNoDisks } from "../../jepsen-like/disk/node-disks.js";
import type { RunReport } from "../../jepsen-like/run.js";
import { PROGRAM } from "../../src/cli/index.js";
import { quorate } from "../support/quorate.js";

const RUN = ["partition", "run", "power-cut", "--workload", "transfers", "--network", "proxies", "--workers", "12", "--seed", "1"];
const noDisks = await whyNoDisks();
if (noDisks !== undefined) console.warn(`SKIP power cuts of file systems, with those of process caches in their place: ${noDisks}`);

test("all nodes lose their power at once under load: every decision that a client was told is still there", async () => {
  const dir = mkdtempSync(join(tmpdir(), "quorate-power-cut-"));
  try {
    // A busy machine may decide too little for "valid"; what is wrong is wrong on any.
    const { stdout } = await quorate([...RUN, "--seconds", "9", "--output-dir", dir, "-o", "json"]);
    const report = JSON.parse(stdout) as RunReport;
    expect(report.violations).toEqual([]);
    expect(["valid", "unknown"]).toContain(report.verdict);
    expect(report.why ?? "too thin").toContain("too thin");
    expect(report.faultsFelt).toBeGreaterThan(0);
    expect(report.invariants.find(({ invariant }) => invariant === "I3-acknowledged")?.checked).toBeGreaterThan(0);
    const history = readFileSync(join(dir, "history.jsonl"), "utf8");
    expect(history).toContain(`"cut":"${noDisks === undefined ? "file system" : "process cache"}"`);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

test.skipIf(noDisks !== undefined)("a run that is interrupted leaves no disk mounted", async () => {
  const before = mountedDisks();
  const run = spawn(process.execPath, [PROGRAM, ...RUN, "--seconds", "60"], { stdio: "ignore" });
  const ended = once(run, "exit");
  const own = (): readonly string[] => mountedDisks().filter((path) => path.includes(`-${run.pid}-`) && !path.endsWith("trial"));
  await expect.poll(() => own().length, { timeout: 30_000 }).toBe(3);
  run.kill("SIGINT");
  await ended;
  await expect.poll(own, { timeout: 10_000 }).toEqual([]);
  expect(mountedDisks().filter((path) => path.includes(`-${run.pid}-`) && !before.includes(path))).toEqual([]);
});
