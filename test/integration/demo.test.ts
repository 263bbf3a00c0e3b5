/**
 * The demo's kinds whose banks are processes of their own, over real servers, each with a kill in the middle.
 */
import { describe, expect, test } from "vitest";
import type { TransferReport } from "../../src/demo/transfer.js";
import { quorate, quorateJson } from "../support/quorate.js";
import { withMariadb } from "../testing/with-mariadb.js";
import { withPostgres } from "../testing/with-postgres.js";

const PATIENCE_MS = 120_000;
const TRANSFERS = 200;

async function demo(kind: string, kill: string): Promise<TransferReport> {
  return (await quorateJson(["demo", "transfer", "--kind", kind, "--kill", kill, "--transfers", String(TRANSFERS)])) as TransferReport;
}

function expectPass(report: TransferReport, targets: readonly string[]): void {
  expect(report).toMatchObject({ ok: true, problems: [], targetsKilled: targets, sumAfter: report.sumBefore });
  expect(report.committed).toBeGreaterThan(0);
  expect(report.aborted).toBeGreaterThan(0);
  expect(report.duplicates ?? 0).toBeGreaterThanOrEqual(20);
}

describe("banks that reserve", () => {
  withPostgres(() => {
    test(
      "both processes are killed in turn, calls come twice, and every effect is there once",
      async () => {
        expectPass(await demo("tcc", "participant"), ["bank-a", "bank-b"]);
      },
      PATIENCE_MS,
    );
  });
});

describe("banks of three kinds", () => {
  withPostgres(() => {
    withMariadb(() => {
      test(
        "both database servers are killed in turn, and the money of all three adds up",
        async () => {
          expectPass(await demo("mixed", "database"), ["PostgreSQL", "MariaDB"]);
        },
        PATIENCE_MS,
      );
    });
  });
});

test.each([
  [["--kind", "kv", "--kill", "participant"], /--kill participant needs --kind tcc or mixed/],
  [["--kind", "postgres", "--kill", "database"], /--kill database needs --kind tcc or mixed/],
  [["--kind", "tcc", "--dsn", "postgres://localhost/x"], /--kind tcc starts database servers of its own; leave --dsn out/],
])("%j is refused before anything is started", async (args, message) => {
  const { code, stderr } = await quorate(["demo", "transfer", ...args]);
  expect([code, stderr]).toEqual([2, expect.stringMatching(message)]);
});
