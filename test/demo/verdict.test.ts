import { expect, test } from "vitest";
import { judge, type Stores, type Told } from "../../src/demo/verdict.js";

const told = (more: Partial<Told> = {}): Told => ({
  committed: new Set(["t1"]),
  aborted: new Set(["t2"]),
  unknown: new Set(["t3"]),
  ...more,
});
const stores = (a: Record<string, number>, b: Record<string, number>, more: Partial<Stores> = {}): Stores => ({
  ledgers: [new Map(Object.entries(a)), new Map(Object.entries(b))],
  sumBefore: 100,
  sumAfter: 100,
  orphans: 0,
  locks: 0,
  ...more,
});

test("a run is right when every committed transfer stands in both ledgers, no aborted one does, and an unknown one in both or none", () => {
  expect(judge(told(), stores({ t1: -5 }, { t1: 5 }))).toEqual([]);
  expect(judge(told(), stores({ t1: -5, t3: -1 }, { t1: 5, t3: 1 }))).toEqual([]);
});

test.each([
  ["half a transfer", told(), stores({ t1: -5 }, {}), /t1 has a ledger row in 1 of 2/],
  ["half of an unknown one", told(), stores({ t1: -5, t3: -1 }, { t1: 5 }), /t3 has a ledger row in 1 of 2/],
  ["a lost commit", told(), stores({}, {}), /t1 was reported committed/],
  ["an abort that took effect", told(), stores({ t1: -5, t2: -1 }, { t1: 5, t2: 1 }), /t2 was reported aborted/],
  ["a phantom", told(), stores({ t1: -5, t9: -1 }, { t1: 5, t9: 1 }), /t9 has a ledger row, yet no client sent it/],
  ["money out of nothing", told(), stores({ t1: -5 }, { t1: 6 }), /moved 1 out of nothing/],
  ["another sum", told(), stores({ t1: -5 }, { t1: 5 }, { sumAfter: 99 }), /was 100 and is 99/],
  ["an orphan", told(), stores({ t1: -5 }, { t1: 5 }, { orphans: 1 }), /1 prepared branches/],
  ["a lock", told(), stores({ t1: -5 }, { t1: 5 }, { locks: 2 }), /2 locks/],
])("%s is found", (_, said, found, problem) => {
  expect(judge(said, found).join("\n")).toMatch(problem);
});
