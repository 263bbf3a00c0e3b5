import { expect, test } from "vitest";
import { DUPLICATES_MIN, judgeEffects, tooThin, type Evidence } from "../../src/demo/evidence.js";
import type { Told } from "../../src/demo/verdict.js";

const told: Told = { committed: new Set(["t1"]), aborted: new Set(["t2"]), unknown: new Set(["t3"]) };

/** "t1 try" is one row, "t1 try 2" two. */
const found = (rows: readonly string[], more: Partial<Evidence> = {}): Evidence => ({
  duplicates: 30,
  reserved: 0,
  effects: rows.map((row) => {
    const [gid = "", phase, count = "1"] = row.split(" ");
    return { gid, phase: phase as "try" | "confirm" | "cancel" | "commit", count: Number(count) };
  }),
  ...more,
});

test.each([
  ["a bank that reserves", ["t1 try", "t1 confirm", "t2 try", "t2 cancel", "t3 try", "t3 cancel"]],
  ["one whose try was refused, so that nothing was given back", ["t1 try", "t1 confirm"]],
  ["a bank that prepares", ["t1 commit"]],
])("%s is right", (_, rows) => {
  expect(judgeEffects(told, "bank-a", found(rows))).toEqual([]);
});

test.each([
  ["two effects of one confirm", found(["t1 try", "t1 confirm 2"]), /t1: confirm took effect 2 times at bank-a/],
  ["two effects of one commit", found(["t1 commit 2"]), /t1: commit took effect 2 times/],
  ["a lost confirm", found([]), /t1 was reported committed, yet bank-a did not carry it out/],
  ["a committed transfer that was cancelled", found(["t1 try", "t1 cancel"]), /t1 was reported committed, yet bank-a cancelled it/],
  ["an aborted transfer that was confirmed", found(["t1 commit", "t2 commit"]), /t2 was reported aborted, yet bank-a carried it out/],
  ["both ends of one try", found(["t1 try", "t1 confirm", "t3 try", "t3 confirm", "t3 cancel"]), /t3 was confirmed and cancelled/],
  ["a settlement without a try", found(["t1 try", "t1 confirm", "t2 cancel"]), /t2 was settled at bank-a, yet never tried/],
  ["a try that nobody settled", found(["t1 try", "t1 confirm", "t3 try"]), /t3 was tried at bank-a, and neither/],
  ["money that stays set aside", found(["t1 try", "t1 confirm"], { reserved: 7 }), /7 is still set aside at bank-a/],
])("%s: found", (_, evidence, problem) => {
  expect(judgeEffects(told, "bank-a", evidence).join("\n")).toMatch(problem);
});

test("a run with too few repeated calls, or without a refusal, shows nothing", () => {
  expect(tooThin(told, DUPLICATES_MIN)).toEqual([]);
  expect(tooThin(told, DUPLICATES_MIN - 1).join()).toMatch(/only 19 repeated calls/);
  expect(tooThin({ ...told, aborted: new Set() }, DUPLICATES_MIN).join()).toMatch(/no transfer was refused/);
});
