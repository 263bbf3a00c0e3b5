import { describe, expect, test } from "vitest";
import { series, quantile } from "../../jepsen-like/analysis/series.js";
import { decisionPoints, faultBands, majoritySpans, reigns } from "../../jepsen-like/analysis/timeline.js";
import { checkDoubt, faultTimes, IN_DOUBT_MS_MAX, longestDoubt, summarize } from "../../jepsen-like/analysis/times.js";
import { doubt, historyOf, invoke, majority, nemesis, node, ok } from "./events.js";

const LEADER_CUT_OFF = historyOf(
  [0, node("n1", "leading", 1)],
  [10, invoke(0, "decide", "a", "commit")],
  [20, ok(0, "decide", "a", "commit", "1:5")],
  [100, nemesis({ fault: "leader-isolated", at: "begin", leader: 1, epoch: 1, node: 1 })],
  [120, invoke(0, "decide", "b", "commit")],
  [1100, node("n2", "looking", 1, false)],
  [1300, node("n2", "leading", 2)],
  [1310, node("n1", "looking", 1, false)],
  [1400, ok(0, "decide", "b", "commit", "2:1")],
  [2000, nemesis({ fault: "leader-isolated", at: "end", verified: true })],
  [2100, invoke(0, "decide", "c", "commit")],
  [2200, ok(0, "decide", "c", "abort", "2:2")],
  [2300, invoke(0, "decide", "d", "commit")],
  [2400, ok(0, "decide", "d", "commit", "2:3")],
);

describe("the table of times", () => {
  test("tells when a fault was noticed, who led next, the first commit of that epoch, and the silence in between", () => {
    expect(faultTimes(LEADER_CUT_OFF)).toEqual([
      {
        band: expect.objectContaining({ fault: "leader-isolated", verified: true, detail: "n1" }) as object,
        detectMs: 1000,
        electMs: 1200,
        firstCommitMs: 1300,
        unavailableMs: 1380,
      },
    ]);
  });

  test("leaves out the times of faults that nobody felt, and says how many were", () => {
    const unfelt = LEADER_CUT_OFF.map((event) =>
      event.f === "nemesis" && event.index === 9 ? { ...event, value: { fault: "leader-isolated", at: "end", verified: false } } : event,
    );
    expect(summarize(faultTimes(unfelt))).toEqual([
      {
        fault: "leader-isolated",
        injected: 1,
        felt: 0,
        detectMs: undefined,
        electMs: undefined,
        firstCommitMs: undefined,
        unavailableMs: undefined,
      },
    ]);
  });

  test("a new leader that was seen before anybody was seen looking is when it was noticed", () => {
    const history = historyOf(
      [0, nemesis({ fault: "kill", at: "begin", epoch: 1 })],
      [90, node("n2", "leading", 2)],
      [900, node("n1", "looking", 1)],
    );
    expect(faultTimes(history)).toMatchObject([{ detectMs: 90, electMs: 90 }]);
  });

  test("an election that came after the next fault began is not this fault's", () => {
    const history = historyOf(
      [0, nemesis({ fault: "a", at: "begin", epoch: 1 })],
      [10, nemesis({ fault: "a", at: "end", verified: true })],
      [20, nemesis({ fault: "b", at: "begin", epoch: 1 })],
      [30, node("n2", "leading", 2)],
      [40, nemesis({ fault: "b", at: "end", verified: true })],
    );
    expect(faultTimes(history).map((each) => each.electMs)).toEqual([undefined, 10]);
  });
});

describe("the timeline", () => {
  test("a fault that never ended lasts to the end and was not verified", () => {
    const history = historyOf([5, nemesis({ fault: "kill", at: "begin", node: 3 })], [50, majority(true)]);
    expect(faultBands(history)).toMatchObject([{ fault: "kill", fromNs: 5e6, toNs: 50e6, verified: false }]);
  });

  test("two leaders at once, in different epochs, are two reigns that overlap", () => {
    expect(reigns(LEADER_CUT_OFF)).toEqual([
      { leader: "n1", epoch: 1, fromNs: 0, toNs: 1310e6 },
      { leader: "n2", epoch: 2, fromNs: 1300e6, toNs: 2400e6 },
    ]);
  });

  test("an answer that stayed unknown is no decision, and a request never answered stays open", () => {
    const history = historyOf(
      [0, invoke(0, "decide", "a", "commit")],
      [1, invoke(1, "decide", "b", "commit")],
      [2, { process: 0, type: "info", f: "decide", key: "a", value: "commit" }],
    );
    expect(decisionPoints(history).map(({ atNs, outcome }) => [atNs, outcome])).toEqual([
      [2e6, "unknown"],
      [Infinity, "unknown"],
    ]);
  });

  test("rates and latencies of a step are those of the answers in it", () => {
    const { stepS, steps } = series(LEADER_CUT_OFF);
    expect(stepS).toBe(0.25);
    expect(steps.map((step) => step.commitsPerS)).toEqual([4, 0, 0, 0, 0, 4, 0, 0, 0, 4]);
    expect(steps.map((step) => step.abortsPerS)).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 4, 0]);
    expect(steps[5]).toMatchObject({ p50Ms: 1280, p99Ms: 1280, open: 0 });
    expect(steps[1]).toMatchObject({ p50Ms: undefined, open: 1 });
    expect([quantile([1, 2, 3, 4], 0.5), quantile([1, 2, 3, 4], 0.99), quantile([], 0.5)]).toEqual([2, 4, undefined]);
  });
});

describe("the longest doubt", () => {
  test("counts only a stretch in which a majority was connected all the time", () => {
    const history = historyOf([0, majority(true)], [1000, majority(false)], [4000, majority(true)], [5000, doubt("g/bank-a", 4500)]);
    expect(longestDoubt(history)).toEqual({ maxMs: 4500, withMajorityMs: 1000, starvedMs: 0, key: "g/bank-a", written: 1, open: 0 });
    expect(majoritySpans(history)).toEqual([
      { fromNs: 0, toNs: 1e9 },
      { fromNs: 4e9, toNs: 5e9 },
    ]);
  });

  test("longer than allowed is a violation, but not while there was no majority", () => {
    const ms = IN_DOUBT_MS_MAX + 1;
    const blocked = historyOf([0, majority(true)], [ms + 10, doubt("g/bank-a", ms)]);
    expect(checkDoubt(longestDoubt(blocked))).toMatchObject([
      { invariant: "I5-in-doubt", message: expect.stringContaining("g/bank-a") as string },
    ]);
    expect(checkDoubt(longestDoubt(historyOf([0, majority(false)], [ms + 10, doubt("g/bank-a", ms)])))).toEqual([]);
    expect(checkDoubt(longestDoubt(historyOf([0, majority(true)], [ms, doubt("g/bank-a", ms - 1)])))).toEqual([]);
  });

  test("what a starved machine withheld is told apart, and is not more than the samples say", () => {
    const sample = (starvedMs: number): Parameters<typeof historyOf>[0][1] => ({
      type: "info",
      f: "sample",
      value: { inDoubt: 1, starvedMs },
    });
    const history = historyOf(
      [0, majority(true)],
      [1000, sample(900)],
      [2000, sample(5000)],
      [8000, doubt("g/bank-a", 7500)],
      [9000, sample(0)],
    );
    expect(longestDoubt(history)).toMatchObject({ withMajorityMs: 7500, starvedMs: 1900 });
    expect(checkDoubt(longestDoubt(history))).toEqual([]);
    const rested = history.map((event) => (event.f === "sample" ? { ...event, value: { inDoubt: 1, starvedMs: 0 } } : event));
    expect(checkDoubt(longestDoubt(rested))).toHaveLength(1);
  });

  test("says nothing about a majority where the history does not", () => {
    expect(longestDoubt(historyOf([900, doubt("g/b", 800, true)]))).toMatchObject({ maxMs: 800, withMajorityMs: undefined, open: 1 });
  });
});
