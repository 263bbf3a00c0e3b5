import { describe, expect, test } from "vitest";
import { checkHistory } from "../../jepsen-like/analysis/check-history.js";
import { checkDecisionOrder } from "../../jepsen-like/analysis/decision-model.js";
import { tally } from "../../jepsen-like/analysis/invariants.js";
import { readHistory } from "../../jepsen-like/analysis/read-history.js";
import { leaderChangesPer20s, thinnessOf, type Thickness } from "../../jepsen-like/analysis/thinness.js";
import { formatHistory } from "../../src/check/index.js";
import { historyOf, invoke, ok } from "./events.js";

const DECIDES = { decides: true, duplicates: false, reorders: false, asks: true } as const;
const MOVES = { ...DECIDES, movesLeader: true, leavesDoubt: false };

const THICK: Thickness = {
  okDecisions: 900,
  committed: 700,
  aborted: 200,
  faultSeconds: 60,
  leaderChanges: 3,
  faultsInjected: 4,
  faultsFelt: 4,
  resolvedByInquiry: 0,
  registerOperations: 0,
  duplicates: 0,
  lateTries: 0,
};

describe("too thin a run", () => {
  test("a thick one is not", () => {
    expect(thinnessOf(THICK, MOVES)).toEqual([]);
    expect(leaderChangesPer20s(THICK)).toBe(1);
  });

  test.each([
    ["few decisions", { okDecisions: 499 }, /499 decisions/],
    ["hardly an abort", { committed: 900, aborted: 50 }, /50 of 950 transactions aborted/],
    ["no commit", { committed: 0, aborted: 900 }, /0 of 900 transactions committed/],
    ["nothing decided", { committed: 0, aborted: 0 }, /0 of 0/],
    ["no fault felt", { faultsFelt: 0 }, /none of 4 faults/],
    ["the leader stayed", { leaderChanges: 2 }, /2 leader changes in 60 s/],
  ] as const)("%s", (_name, change, why) => {
    expect(thinnessOf({ ...THICK, ...change }, MOVES).join("; ")).toMatch(why);
  });

  test("a fault that is not meant to move the leader need not move it", () => {
    expect(thinnessOf({ ...THICK, leaderChanges: 0 }, { ...MOVES, movesLeader: false })).toEqual([]);
  });
});

test("without faults on purpose none has to be felt; without transactions registers must have been used; repeated calls must have been repeated", () => {
  const calm = { ...THICK, faultsFelt: 0, faultsInjected: 0, leaderChanges: 0 };
  expect(thinnessOf(calm, { ...MOVES, movesLeader: false, faultless: true })).toEqual([]);
  const aim = { ...MOVES, movesLeader: false, decides: false };
  expect(thinnessOf({ ...THICK, okDecisions: 0, committed: 0, aborted: 0 }, aim)).toEqual(["0 operations were answered, 500 are needed"]);
  expect(thinnessOf({ ...THICK, okDecisions: 0, committed: 0, aborted: 0, registerOperations: 500 }, aim)).toEqual([]);
  expect(thinnessOf(THICK, { ...MOVES, duplicates: true })).toEqual(["0 calls were delivered again, 200 are needed"]);
});

test("a fault that is meant to leave branches in doubt is too thin when nobody had to ask", () => {
  expect(thinnessOf(THICK, { ...MOVES, leavesDoubt: true })).toEqual(["no participant had to ask for an outcome"]);
  expect(thinnessOf({ ...THICK, resolvedByInquiry: 1 }, { ...MOVES, leavesDoubt: true })).toEqual([]);
  // Who reserves is called until it is settled, and seldom asks.
  expect(thinnessOf(THICK, { ...MOVES, leavesDoubt: true, asks: false })).toEqual([]);
});

test("a run in which cancels are to overtake tries is too thin when hardly one did", () => {
  expect(thinnessOf({ ...THICK, lateTries: 9 }, { ...MOVES, reorders: true })).toEqual(["9 tries came after their cancel, 10 are needed"]);
  expect(thinnessOf({ ...THICK, lateTries: 10 }, { ...MOVES, reorders: true })).toEqual([]);
});

describe("the order of a transaction's answers", () => {
  const judge = (...list: Parameters<typeof historyOf>): number => checkDecisionOrder(historyOf(...list)).violations.length;

  test("a commit raced by an abort that finds it committed", () => {
    expect(
      judge(
        [0, invoke(0, "decide", "g", "commit")],
        [1, invoke(1, "decide", "g", "abort")],
        [2, ok(1, "decide", "g", "commit")],
        [3, ok(0, "decide", "g", "commit")],
      ),
    ).toBe(0);
  });

  test("an abort that learns of a commit which nobody had asked for yet", () => {
    expect(
      judge(
        [0, invoke(1, "decide", "g", "abort")],
        [1, ok(1, "decide", "g", "commit")],
        [2, invoke(0, "decide", "g", "commit")],
        [3, ok(0, "decide", "g", "commit")],
      ),
    ).toBe(1);
  });

  test("a status that is undecided after a decision was told", () => {
    expect(
      judge(
        [0, invoke(0, "decide", "g", "commit")],
        [1, ok(0, "decide", "g", "commit")],
        [2, invoke(1, "status", "g")],
        [3, ok(1, "status", "g", "preparing")],
      ),
    ).toBe(1);
  });

  test("a decision seen, then not seen, of a request that was never answered", () => {
    expect(
      judge(
        [0, invoke(0, "decide", "g", "commit")],
        [1, invoke(1, "status", "g")],
        [2, ok(1, "status", "g", "commit")],
        [3, invoke(1, "status", "g")],
        [4, ok(1, "status", "g", "open")],
      ),
    ).toBe(1);
  });

  test("a request that was never answered may have decided either way, or nothing", () => {
    for (const told of ["commit", "abort", "preparing", "expired"])
      expect(judge([0, invoke(0, "decide", "g", "commit")], [1, invoke(1, "status", "g")], [2, ok(1, "status", "g", told)])).toBe(0);
  });

  test("two decisions", () => {
    expect(
      judge(
        [0, invoke(0, "decide", "g", "commit")],
        [1, ok(0, "decide", "g", "commit")],
        [2, invoke(1, "status", "g")],
        [3, ok(1, "status", "g", "abort")],
      ),
    ).toBe(1);
  });
});

describe("a history file", () => {
  const GOOD = historyOf([0, invoke(0, "decide", "g", "commit")], [1, ok(0, "decide", "g", "commit", "1:7")]);

  test("is read as lines and as one array, with the same verdict", () => {
    expect(checkHistory(readHistory(formatHistory(GOOD)))).toMatchObject({ verdict: "valid", operations: 1, ok: 1 });
    expect(checkHistory(readHistory(JSON.stringify(GOOD)))).toEqual(checkHistory(GOOD));
  });

  test("without an answered operation it proves nothing", () => {
    expect(checkHistory([]).verdict).toBe("unknown");
    expect(checkHistory(historyOf([0, invoke(0, "decide", "g", "commit")])).verdict).toBe("unknown");
  });

  test("with a decision that moved to another place of the log it is invalid", () => {
    const bad = [...GOOD, ...historyOf([2, invoke(1, "decide", "g", "commit")], [3, ok(1, "decide", "g", "commit", "2:1")])].map(
      (event, index) => ({ ...event, index }),
    );
    expect(checkHistory(bad)).toMatchObject({ verdict: "invalid", violations: [{ invariant: "I2-decision" }] });
  });
});

test("an invariant nobody has named before still shows in the list", () => {
  const results = tally({ "I1-atomicity": 5 }, [{ invariant: "I99-new", message: "?" }]);
  expect(results.find((each) => each.invariant === "I99-new")).toMatchObject({ violations: 1 });
  expect(results.find((each) => each.invariant === "I1-atomicity")).toMatchObject({ checked: 5, violations: 0 });
});
