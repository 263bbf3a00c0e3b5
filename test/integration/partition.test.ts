/**
 * The fault harness itself, short: real runs with their verdicts, and a lie planted in a history.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { HistoryEvent } from "../../src/check/index.js";
import { LATE_TRIES_MIN } from "../../jepsen-like/analysis/thinness.js";
import type { RunReport } from "../../jepsen-like/run.js";
import { startCluster } from "../support/cluster.js";
import { quorate, quorateJson } from "../support/quorate.js";
import { withMariadb } from "../testing/with-mariadb.js";
import { withPostgres } from "../testing/with-postgres.js";

test("leadership handed over again and again under load: valid; the same history with one answer turned round: invalid", async () => {
  const dir = mkdtempSync(join(tmpdir(), "quorate-partition-run-"));
  try {
    const report = (await quorateJson([
      "partition",
      "run",
      "hand-over",
      "--seconds",
      "10",
      "--seed",
      "1",
      "--network",
      "proxies",
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

const LONGER = 3;

/**
 * A short run; `checked` by invariant. On a machine on which too little happens in so short a time, and nothing is broken, the run is
 * made longer: that is what its verdict asks for.
 */
async function runFor(
  seconds: number,
  composition: string,
  workload: string,
  more: readonly string[] = [],
): Promise<{ readonly report: RunReport; readonly checked: Readonly<Record<string, number>> }> {
  const run = async (length: number): Promise<RunReport> => {
    const args = ["partition", "run", composition, "--workload", workload, "--seconds", String(length), "--seed", "1", ...more];
    const { stdout, stderr } = await quorate([...args, "-o", "json"]);
    if (stdout === "") throw new Error(`quorate ${args.join(" ")} printed no report: ${stderr}`);
    return JSON.parse(stdout) as RunReport;
  };
  const first = await run(seconds);
  const thin = first.verdict === "unknown" && first.violations.length === 0 && first.why?.startsWith("too thin") === true;
  const report = thin ? await run(LONGER * seconds) : first;
  return { report, checked: Object.fromEntries(report.invariants.map((each) => [each.invariant, each.checked])) };
}

const PROXIES = ["--network", "proxies"];

test("participants are killed under transactions over lists: strictly serializable, and what was in doubt found out", async () => {
  const { report, checked } = await runFor(12, "participant-kill", "append", PROXIES);
  expect(report).toMatchObject({ verdict: "valid", violations: [], orphans: 0, locks: 0 });
  expect(report.resolvedByInquiry).toBeGreaterThan(0);
  expect(checked["append"]).toBeGreaterThan(500);
});

test("every call to a participant arrives again, late and out of order: one effect each", async () => {
  const { report, checked } = await runFor(8, "none", "duplicate-delivery", PROXIES);
  expect(report).toMatchObject({ verdict: "valid", violations: [] });
  expect(report.duplicates).toBeGreaterThan(1000);
  expect(checked["I6-duplicate"]).toBeGreaterThan(report.duplicates);
});

withPostgres(() =>
  test("PostgreSQL servers are killed under transfers: no money made or lost, nothing prepared, nothing locked", async () => {
    const { report, checked } = await runFor(15, "database-kill", "bank", PROXIES);
    expect(report).toMatchObject({ verdict: "valid", violations: [], orphans: 0, locks: 0 });
    expect(report.faultsFelt).toBeGreaterThan(0);
    expect(checked).toMatchObject({ "I9-conservation": 2, "I10-orphan": 3, "I11-lock": 3 });
  }),
);

test("cancels overtake tries, calls come twice and answers get lost, at an attached participant and a service: one effect, nothing reserved", async () => {
  const { report, checked } = await runFor(8, "none", "tcc-reorder", PROXIES);
  expect(report).toMatchObject({ verdict: "valid", violations: [], orphans: 0, locks: 0, reserved: 0 });
  expect(report.lateTries).toBeGreaterThanOrEqual(LATE_TRIES_MIN);
  expect(checked).toMatchObject({ "I8-reserve": 2, "I9-conservation": 2 });
  expect(checked["I7-confirm"]).toBeGreaterThan(100);
});

withPostgres(() =>
  withMariadb(() =>
    test("participants of every kind are killed under transactions over all of them: one decision, one effect each, nothing left", async () => {
      const { report, checked } = await runFor(12, "participant-kill", "all-kinds", PROXIES);
      expect(report).toMatchObject({ verdict: "valid", violations: [], orphans: 0, locks: 0, reserved: 0 });
      expect(report.faultsFelt).toBeGreaterThan(0);
      expect(checked).toMatchObject({ "I8-reserve": 2, "I9-conservation": 5, "I10-orphan": 6, "I11-lock": 6 });
    }),
  ),
);

test("a cluster of somebody's own is loaded and judged, its leadership handed over, and what cannot be seen is said", async () => {
  const cluster = await startCluster();
  try {
    const where = ["--endpoints", cluster.endpoints];
    const { report } = await runFor(8, "hand-over", "mix", where);
    expect(report).toMatchObject({ verdict: "valid", violations: [], nodes: 3 });
    expect(report.leaderChanges).toBeGreaterThan(0);
    expect(report.notChecked.join()).toContain("majority");
    const { code, stderr } = await quorate(["partition", "run", "kill-storm", ...where]);
    expect(code).toBe(2);
    expect(stderr).toContain("use none or hand-over");
  } finally {
    await cluster.dispose();
  }
});

describe("what does not exist is named, with what does, and nothing is started", () => {
  test.each([
    [["run", "earthquake"], /"earthquake" is no composition; there are .*leader-isolated.*mixed/],
    [["run", "none", "--workload", "lottery"], /"lottery" is no workload; there are mix, transfers/],
    [["run", "none", "--seed", "a b"], /--seed is "a b", but must be/],
    [["run", "none", "--seconds", "soon"], /--seconds is "soon", but must be an integer from 5/],
    [["run", "none", "--minutes", "0"], /--minutes is "0", but must be a number/],
    [["run", "database-kill"], /database-kill breaks database servers; use it with --workload bank or bank-mariadb or all-kinds/],
    [["run", "participant-kill", "--workload", "registers"], /breaks participants, and the workload registers has none/],
    [["check", "/no/such/history.jsonl"], /ENOENT/],
  ])("%j", async (args, why) => {
    const { code, stderr } = await quorate(["partition", ...args]);
    expect({ code, said: why.test(stderr) ? "why" : stderr }).toEqual({ code: 2, said: "why" });
  });
});
