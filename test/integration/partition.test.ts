/**
 * The fault harness itself, short: a real run with its verdict, and a lie planted in its history.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { HistoryEvent } from "../../src/check/index.js";
import type { RunReport } from "../../jepsen-like/run.js";
import { quorate, quorateJson } from "../support/quorate.js";

test("leadership handed over again and again under load: valid; the same history with one answer turned round: invalid", async () => {
  const dir = mkdtempSync(join(tmpdir(), "quorate-partition-run-"));
  try {
    const report = (await quorateJson([
      "partition",
      "run",
      "hand-over",
      "--seconds",
      "6",
      "--seed",
      "1",
      "--output-dir",
      dir,
    ])) as RunReport;
    expect(report).toMatchObject({ verdict: "valid", violations: [], orphans: 0, locks: 0, seed: "1" });
    expect(report.faultsFelt).toBeGreaterThan(0);
    expect(report.leaderChanges).toBeGreaterThan(0);
    for (const each of report.invariants)
      expect(each, each.invariant).toMatchObject({ checked: expect.any(Number) as number, violations: 0 });
    expect(readFileSync(join(dir, "report.html"), "utf8")).toContain('class="verdict valid"');

    const history = join(dir, "history.jsonl");
    expect((await quorate(["partition", "check", history])).code).toBe(0);
    const events = readFileSync(history, "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as HistoryEvent);
    const told = new Set<string>();
    const lie = events.find((event) => {
      const repeated = event.type === "ok" && event.f === "decide" && told.has(event.key);
      told.add(event.type === "ok" ? event.key : "");
      return repeated;
    });
    if (lie === undefined) throw new Error("no transaction was answered twice");
    const turned = events.map((event) => (event === lie ? { ...event, value: event.value === "commit" ? "abort" : "commit" } : event));
    writeFileSync(history, turned.map((event) => `${JSON.stringify(event)}\n`).join(""));
    const { code, stdout } = await quorate(["partition", "check", history]);
    expect(code).not.toBe(0);
    expect(stdout).toContain("I2-decision");
    expect(stdout).toContain(lie.key);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});
