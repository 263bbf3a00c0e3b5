import { expect, test } from "vitest";
import { runWorld } from "./run-world.js";

/** Seeds per claim; QUORATE_SEEDS raises it for longer hunts. */
const SEEDS = Number(process.env["QUORATE_SEEDS"] ?? 400);

function hunt(label: string, promise: boolean, transactions: number): Record<string, number> {
  const total: Record<string, number> = {};
  for (let i = 0; i < SEEDS; i++) {
    const seed = `${label}-${i}`;
    try {
      const { stats } = runWorld({ seed, transactions, promise });
      for (const [name, count] of Object.entries(stats)) total[name] = (total[name] ?? 0) + count;
    } catch (error) {
      throw new Error(`seed ${seed}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    }
  }
  return total;
}

test("atomic, decided once, and every prepared branch resolved, through any failover, loss, repetition and delay", () => {
  const total = hunt("faults", false, 25);
  if (process.env["QUORATE_SHOW"] !== undefined) process.stdout.write(`${JSON.stringify(total)}\n`);
  // The claim is empty unless all of this happened.
  const decided = (total["commits"] ?? 0) + (total["aborts"] ?? 0);
  expect(decided).toBeGreaterThan(SEEDS * 10);
  expect((total["commits"] ?? 0) / decided).toBeGreaterThan(0.1);
  expect((total["aborts"] ?? 0) / decided).toBeGreaterThan(0.1);
  expect(total["leaders"]).toBeGreaterThan(SEEDS * 2);
  expect(total["inquiries"]).toBeGreaterThan(SEEDS);
  expect(total["inquiryAborts"]).toBeGreaterThan(0);
  expect(total["readOnlyCommits"]).toBeGreaterThan(0);
  expect(total["delegatedCommits"]).toBeGreaterThan(SEEDS);
  expect(total["delegatedAborts"]).toBeGreaterThan(0);
  expect(total["forgotten"]).toBeGreaterThan(SEEDS);
}, 300_000);

test("a leader's death aborts nothing", () => {
  const total = hunt("promise", true, 15);
  if (process.env["QUORATE_SHOW"] !== undefined) process.stdout.write(`${JSON.stringify(total)}\n`);
  expect(total["aborts"]).toBe(0);
  expect(total["commits"]).toBeGreaterThan(SEEDS * 10);
  expect(total["delegatedCommits"]).toBeGreaterThan(SEEDS / 2);
  expect(total["leaders"]).toBeGreaterThan(SEEDS * 1.5);
}, 300_000);
