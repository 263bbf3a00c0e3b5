import { describe, expect, test } from "vitest";
import { latencies } from "../../jepsen-like/analysis/series.js";
import { tally } from "../../jepsen-like/analysis/invariants.js";
import { faultTimes, longestDoubt, summarize } from "../../jepsen-like/analysis/times.js";
import { reportPage } from "../../jepsen-like/report/html.js";
import { decades, linear, logarithmic, ticks } from "../../jepsen-like/report/svg.js";
import type { RunReport } from "../../jepsen-like/run.js";
import { doubt, historyOf, invoke, majority, nemesis, node, ok } from "./events.js";

const HISTORY = historyOf(
  [0, majority(true)],
  [0, node("n1", "leading", 1)],
  [5, invoke(0, "decide", "a", "commit")],
  [20, ok(0, "decide", "a", "commit", "1:5")],
  [100, nemesis({ fault: "<b>kill", at: "begin", leader: 1, epoch: 1, node: 1 })],
  [110, majority(false)],
  [300, node("n2", "leading", 2)],
  [310, majority(true)],
  [320, invoke(0, "decide", "b", "commit")],
  [400, ok(0, "decide", "b", "abort", "2:1")],
  [410, doubt("a/bank-a", 200)],
  [500, nemesis({ fault: "<b>kill", at: "end", verified: true })],
);

const REPORT: RunReport = {
  composition: "kill & <script>alert(1)</script>",
  workload: "mix",
  summary: "kills",
  seed: "s",
  command: "npx quorate partition run kill --seed s",
  seconds: 1,
  workers: 1,
  nodes: 3,
  faultsInjected: 1,
  faultsFelt: 1,
  faultSeconds: 0.4,
  leaderChanges: 1,
  leaderChangesPer20s: 50,
  epochBefore: 1,
  epochAfter: 2,
  resolvedByInquiry: 0,
  registerOperations: 0,
  lateTries: 3,
  reserved: 0,
  duplicates: 0,
  notChecked: [],
  footprints: [],
  latencies: latencies(HISTORY),
  times: summarize(faultTimes(HISTORY)),
  history: undefined,
  verdict: "invalid",
  violations: [{ invariant: "I1-atomicity", message: "g took effect < twice" }],
  why: undefined,
  invariants: tally({ "I1-atomicity": 1234567 }, [{ invariant: "I1-atomicity", message: "" }]),
  transactions: 2,
  okDecisions: 2,
  committed: 1,
  aborted: 1,
  unknownToClients: 0,
  orphans: 0,
  locks: 0,
  doubt: longestDoubt(HISTORY),
};

describe("the page", () => {
  const page = reportPage(REPORT, HISTORY);

  test("needs no script and no network", () => {
    expect(page).not.toMatch(/<script|<link|<img|<iframe|@import|url\(|\son\w+=/i);
    // The name of the SVG language is no address that anybody looks up.
    expect(page.replaceAll('xmlns="http://www.w3.org/2000/svg"', "")).not.toMatch(/https?:|src=|href=/);
  });

  test("closes every tag that it opens, and escapes what it was given", () => {
    const open: string[] = [];
    for (const [whole, close, name = ""] of page.matchAll(/<(\/?)([a-z][a-z0-9]*)[^>]*>/gi)) {
      if (whole.endsWith("/>") || name === "meta") continue;
      if (close === "/") expect(open.pop()).toBe(name);
      else open.push(name);
    }
    expect(open).toEqual([]);
    expect(page).toContain("kill &amp; &lt;script&gt;");
    expect(page).toContain("g took effect &lt; twice");
  });

  test("says what was broken, how often each promise was tested, and how to repeat it", () => {
    expect(page).toContain('class="verdict invalid"');
    expect(page).toContain("1,234,567 decided transactions");
    expect(page).toContain("not checked");
    expect(page).toContain("npx quorate partition run kill --seed s");
  });

  test("draws nothing outside its frame, and no number that is none", () => {
    expect(page).not.toMatch(/NaN|Infinity|undefined/);
  });

  test("a history without a single event is drawn as well", () => {
    expect(reportPage({ ...REPORT, times: [] }, [])).not.toMatch(/NaN|Infinity|undefined/);
  });
});

describe("scales", () => {
  test("ticks are round, begin at 0 and do not pass the end", () => {
    expect(ticks(30, 6)).toEqual([0, 5, 10, 15, 20, 25, 30]);
    expect(ticks(0.9, 4)).toEqual([0, 0.5]);
    expect(ticks(0, 4)).toEqual([0]);
    expect(decades(1, 1300)).toEqual([1, 10, 100, 1000]);
  });

  test("ends map to ends, and what lies beyond stays in the frame", () => {
    const y = linear(0, 10, 100, 0);
    expect([y.at(0), y.at(10), y.at(20), y.at(-5)]).toEqual([100, 0, 0, 100]);
    const log = logarithmic(1, 100, 100, 0);
    expect([log.at(1), log.at(10), log.at(100), log.at(0)]).toEqual([100, 50, 0, 100]);
  });
});
