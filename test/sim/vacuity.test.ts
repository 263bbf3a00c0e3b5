import { expect, test } from "vitest";
import { judgeVacuity, runBatch } from "../../src/sim/index.js";

const FULL = { seeds: 10, safetyMs: 60_000, decisions: 4000, commits: 3200, leaderChanges: 30, resolvedByInquiry: 1 };

test("a batch in which everything happened shows something", () => {
  expect(judgeVacuity(FULL)).toEqual([]);
});

test.each([
  [{ decisions: 499, commits: 400 }, "499 decisions; 500 are needed"],
  [{ commits: 399 }, "only 10.0 % of the decisions are commits"],
  [{ commits: 3601 }, "only 10.0 % of the decisions are aborts"],
  [{ leaderChanges: 29 }, "29 changes of leader in 600 s of faults; 30 are needed"],
  [{ resolvedByInquiry: 0 }, "no branch in doubt learned its outcome by asking"],
])("one that lacks a thing is named: %o", (lack, problem) => {
  expect(judgeVacuity({ ...FULL, ...lack })).toEqual([problem]);
});

test("a batch without seeds lacks everything", () => {
  expect(judgeVacuity({ seeds: 0, safetyMs: 60_000, decisions: 0, commits: 0, leaderChanges: 0, resolvedByInquiry: 0 })).toHaveLength(3);
});

test("a real batch whose faults last a moment shows nothing", () => {
  const safetyMs = 500;
  const { seeds, decisions, commits, leaderChanges, failures } = runBatch({ from: 1, seeds: 2, seed: { safetyMs }, clock: () => 0 });
  expect(failures).toEqual([]);
  expect(judgeVacuity({ seeds, safetyMs, decisions, commits, leaderChanges, resolvedByInquiry: 1 })).not.toEqual([]);
});
