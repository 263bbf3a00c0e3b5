/**
 * The judge of a run, against histories in which exactly one promise is broken.
 */
import { describe, expect, test } from "vitest";
import { RSS_GROWTH_MB_MAX } from "../../jepsen-like/analysis/footprint.js";
import { judge } from "../../jepsen-like/analysis/judge.js";
import type { HistoryEvent, HistoryValue } from "../../src/check/index.js";
import { doubt, historyOf, info, invoke, majority, nemesis, ok, said } from "./events.js";

type Line = Parameters<typeof historyOf>[0];
type Changes = Readonly<Record<string, readonly Line[]>>;

const LIST = ["a@bank-a", "b@bank-b"];
const lists = (branches: readonly string[]): HistoryValue => branches;

/** One committed and one aborted transaction, both told, both recorded, one ledger row for each branch that committed. */
const PARTS: Changes = {
  commit: [
    [0, { ...invoke(0, "decide", "g1", "commit"), branches: LIST }],
    [5, ok(0, "decide", "g1", "commit", "1:1")],
  ],
  abort: [
    [10, { ...invoke(0, "decide", "g2", "commit"), branches: LIST }],
    [15, ok(0, "decide", "g2", "abort", "1:2")],
  ],
  records: [
    [
      20,
      said("record", "", [
        ["g1", "commit", "1:1", null, lists(LIST), lists(LIST)],
        ["g2", "abort", "1:2", "vote-no", lists(["a@bank-a"]), lists(LIST)],
      ]),
    ],
  ],
  rowsA: [[21, said("ledger", "bank-a", [["g1", "a", 1]])]],
  rowsB: [[22, said("ledger", "bank-b", [["g1", "b", 1]])]],
  books: [
    [23, said("balance", "bank-a", { total: 95, lowest: 0, expected: 100 })],
    [24, said("balance", "bank-b", { total: 105, lowest: 5, expected: 100 })],
  ],
  left: [
    [25, said("left", "bank-a", { orphans: 0, locks: 0 })],
    [26, said("active", "", 0)],
    [27, said("touched", "g9", "commit")],
  ],
  digests: [
    [28, said("digest", "n1", { at: "1:2", digest: 7 })],
    [29, said("digest", "n2", { at: "1:2", digest: 7 })],
  ],
  recovery: [[30, said("recovery", "", true)]],
  counts: [[31, said("counts", "", { branches: 4, resolvedByInquiry: 1, duplicates: 6, lateTries: 2 })]],
};

function run(changes: Changes = {}): readonly HistoryEvent[] {
  const lines = Object.values({ ...PARTS, ...changes }).flat();
  return historyOf(...lines.sort(([a], [b]) => a - b));
}

function broken(changes: Changes): readonly string[] {
  return [...new Set(judge(run(changes)).violations.map(({ invariant }) => invariant))];
}

/** A late enlistment that failed so, of a branch that the record of the aborted transaction holds. */
function refusedEnlistment(error: string): Changes {
  return {
    enlisted: [
      [11, invoke(3, "enlist", "g2", "late@bank-a")],
      [16, { process: 3, type: "fail", f: "enlist", key: "g2", value: "late@bank-a", error }],
    ],
    records: [
      [
        20,
        said("record", "", [
          ["g1", "commit", "1:1", null, lists(LIST), lists(LIST)],
          ["g2", "abort", "1:2", "vote-no", lists([]), lists([...LIST, "late@bank-a"])],
        ]),
      ],
    ],
  };
}

test("a run that kept every promise is valid, and says what was held against each", () => {
  const judgement = judge(run());
  expect(judgement).toMatchObject({
    verdict: "valid",
    violations: [],
    committed: 1,
    aborted: 1,
    okDecisions: 2,
    resolvedByInquiry: 1,
    duplicates: 6,
    lateTries: 2,
  });
  const checked = Object.fromEntries(judgement.invariants.map((each) => [each.invariant, each.checked]));
  expect(checked).toMatchObject({
    "I1-atomicity": 2,
    "I2-decision": 2,
    "I3-acknowledged": 2,
    "I4-phantom": 2,
    "I4-branches": 2,
    "I6-duplicate": 8,
    "I9-conservation": 2,
    "I10-orphan": 2,
    "I11-lock": 2,
    "I12-replicas": 1,
    "I13-monotonic": 2,
    "I14-bounded": 0,
    "L1-recovery": 1,
  });
});

describe("one broken promise each", () => {
  const record = (g1: HistoryValue): Changes => ({
    records: [[20, said("record", "", [g1, ["g2", "abort", "1:2", "vote-no", [], lists(LIST)]])]],
  });

  test.each<[string, string, Changes]>([
    ["a committed branch without its row", "I1-atomicity", { rowsB: [[22, said("ledger", "bank-b", [])]] }],
    [
      "an aborted branch with a row",
      "I1-atomicity",
      {
        rowsB: [
          [
            22,
            said("ledger", "bank-b", [
              ["g1", "b", 1],
              ["g2", "b", 1],
            ]),
          ],
        ],
      },
    ],
    [
      "a branch settled against the decision",
      "I1-atomicity",
      { problem: [[19, said("problem", "bank-a", { what: "heuristic", message: "?" })]] },
    ],
    [
      "two decisions told",
      "I2-decision",
      {
        again: [
          [16, invoke(1, "decide", "g1", "abort")],
          [17, ok(1, "decide", "g1", "abort", "1:1")],
        ],
      },
    ],
    ["told a commit that the log does not hold", "I3-acknowledged", record(["g1", null, "", null, [], lists(LIST)])],
    [
      "an effect of what failed",
      "I3-acknowledged",
      {
        commit: [
          [0, invoke(0, "decide", "g1", "commit")],
          [5, { process: 0, type: "fail", f: "decide", key: "g1", value: "commit" }],
        ],
      },
    ],
    [
      "an effect that nobody sent",
      "I4-phantom",
      {
        rowsB: [
          [
            22,
            said("ledger", "bank-b", [
              ["g1", "b", 1],
              ["g7", "b", 1],
            ]),
          ],
        ],
      },
    ],
    [
      "a branch lost on the way to the record",
      "I4-branches",
      { ...record(["g1", "commit", "1:1", null, ["a@bank-a"], ["a@bank-a"]]), rowsB: [[22, said("ledger", "bank-b", [])]] },
    ],
    [
      "an acknowledged enlistment lost",
      "I4-branches",
      {
        enlisted: [
          [1, invoke(3, "enlist", "g1", "late@bank-a")],
          [2, ok(3, "enlist", "g1", "late@bank-a")],
        ],
      },
    ],
    [
      "a branch in the record that nobody sent",
      "I4-branches",
      {
        records: [
          [
            20,
            said("record", "", [
              ["g1", "commit", "1:1", null, lists(LIST), lists(LIST)],
              ["g2", "abort", "1:2", null, [], ["x@bank-a"]],
            ]),
          ],
        ],
      },
    ],
    ["an effect twice", "I6-duplicate", { rowsA: [[21, said("ledger", "bank-a", [["g1", "a", 2]])]] }],
    [
      "a repeated call that was answered otherwise",
      "I6-duplicate",
      { problem: [[19, said("problem", "bank-a", { what: "duplicate", message: "?" })]] },
    ],
    [
      "money made",
      "I9-conservation",
      {
        books: [
          [23, said("balance", "bank-a", { total: 101, lowest: 0, expected: 100 })],
          [24, said("balance", "bank-b", { total: 100, lowest: 0, expected: 100 })],
        ],
      },
    ],
    ["an overdrawn account", "I9-conservation", { books: [[23, said("balance", "bank-a", { total: 200, lowest: -1, expected: 200 })]] }],
    ["a prepared branch left", "I10-orphan", { left: [[25, said("left", "bank-a", { orphans: 1, locks: 0 })]] }],
    ["a transaction that the cluster still works on", "I10-orphan", { left: [[26, said("active", "", 1)]] }],
    ["a lock left", "I11-lock", { left: [[25, said("left", "bank-a", { orphans: 0, locks: 2 })]] }],
    ["an account that cannot be written", "I11-lock", { left: [[27, said("touched", "g9", "abort: lock timeout")]] }],
    [
      "two states at one entry",
      "I12-replicas",
      {
        digests: [
          [28, said("digest", "n1", { at: "1:2", digest: 7 })],
          [29, said("digest", "n2", { at: "1:2", digest: 8 })],
        ],
      },
    ],
    [
      "one node's state changed under it",
      "I12-replicas",
      {
        digests: [
          [28, said("digest", "n1", { at: "1:2", digest: 7 })],
          [29, said("digest", "n1", { at: "1:2", digest: 8 })],
        ],
      },
    ],
    [
      "a decision taken back",
      "I13-monotonic",
      {
        again: [
          [16, invoke(1, "status", "g1")],
          [17, ok(1, "status", "g1", "preparing")],
        ],
      },
    ],
    ["a cluster that did not come back", "L1-recovery", { recovery: [[30, said("recovery", "", "no leader within 30000 ms")]] }],
    [
      "a participant that died by itself",
      "L1-recovery",
      { problem: [[19, said("problem", "bank-a", { what: "died", message: "exit status 1" })]] },
    ],
  ])("%s: %s", (_name, invariant, changes) => {
    expect(broken(changes)).toContain(invariant);
    expect(judge(run(changes)).invariants.find((each) => each.invariant === invariant)?.violations).toBeGreaterThan(0);
  });
});

test("an enlistment refused because the decision was there may have been recorded at its first arrival; one refused otherwise was not", () => {
  expect(broken(refusedEnlistment("QUORATE_ALREADY_DECIDED"))).toEqual([]);
  expect(broken(refusedEnlistment("QUORATE_INVALID_ARGUMENT"))).toEqual(["I4-branches"]);
});

describe("a participant that reserves", () => {
  const reserving = (reserved: number): Changes => ({
    left: [
      [25, said("left", "bank-a", { orphans: 0, locks: 0 })],
      [25, said("left", "bank-b", { orphans: 0, locks: 0, reserved })],
      [26, said("active", "", 0)],
    ],
  });

  test("is held to its confirms and its reserve; others are not", () => {
    const judgement = judge(run({ ...reserving(0), rowsA: [[21, said("ledger", "bank-a", [["g1", "a", 2]])]] }));
    expect(judgement.invariants.find(({ invariant }) => invariant === "I7-confirm")).toMatchObject({ checked: 1, violations: 0 });
    expect(judgement.invariants.find(({ invariant }) => invariant === "I8-reserve")).toMatchObject({ checked: 1, violations: 0 });
    const none = judge(run()).invariants.filter(({ invariant }) => invariant === "I7-confirm" || invariant === "I8-reserve");
    expect(none.map(({ checked }) => checked)).toEqual([0, 0]);
  });

  test.each<[string, readonly HistoryValue[]]>([
    ["was confirmed twice", [["g1", "b", 2]]],
    ["was never confirmed", []],
    [
      "was confirmed against the log",
      [
        ["g1", "b", 1],
        ["g2", "b", 1],
      ],
    ],
  ])("a branch %s", (_what, rows) => {
    expect(broken({ ...reserving(0), rowsB: [[22, said("ledger", "bank-b", rows)]] })).toContain("I7-confirm");
  });

  test("something is still reserved", () => {
    expect(broken(reserving(3))).toEqual(["I8-reserve"]);
    expect(judge(run(reserving(3)))).toMatchObject({ verdict: "invalid", reserved: 3 });
  });
});

describe("what was not read back", () => {
  test("makes the verdict unknown, with the reason, and judges nothing by what is missing", () => {
    const { verdict, why, invariants } = judge(run({ rowsB: [[22, said("unread", "", "the ledger of bank-b: no answer")]] }));
    expect({ verdict, why }).toEqual({ verdict: "unknown", why: "a final read failed: the ledger of bank-b: no answer" });
    expect(invariants.find(({ invariant }) => invariant === "I1-atomicity")?.checked).toBe(0);
  });

  test("does not excuse what is broken already", () => {
    const changes = {
      rowsB: [[22, said("unread", "", "the ledger of bank-b: no answer")]],
      left: [[25, said("left", "bank-a", { orphans: 1, locks: 0 })]],
    } as const;
    expect(judge(run(changes)).verdict).toBe("invalid");
  });
});

describe("transactions over lists", () => {
  const step: HistoryValue = [["append", "x", 1]];

  test("count as decisions: an abort that was told is one, and its record is held against it", () => {
    const changes: Changes = {
      commit: [
        [0, { ...invoke(0, "txn", "g1", step), branches: LIST }],
        [5, ok(0, "txn", "g1", step, "1:1")],
      ],
      abort: [
        [10, { ...invoke(0, "txn", "g2", [["append", "x", 2]]), branches: LIST }],
        [15, { process: 0, type: "fail", f: "txn", key: "g2", value: [["append", "x", 2]], error: "QUORATE_ABORTED" }],
      ],
    };
    expect(judge(run(changes))).toMatchObject({ verdict: "valid", okDecisions: 2, transactions: 2 });
    const lie: Changes = {
      ...changes,
      records: [
        [
          20,
          said("record", "", [
            ["g1", "abort", "1:1", null, [], lists(LIST)],
            ["g2", "abort", "1:2", null, [], lists(LIST)],
          ]),
        ],
      ],
    };
    expect(broken(lie)).toEqual(expect.arrayContaining(["I1-atomicity", "I3-acknowledged"]));
  });
});

describe("doubt", () => {
  const MS = 9_000;

  test("before anybody asked for a decision is its client's own", () => {
    const asked = (atMs: number): readonly HistoryEvent[] =>
      historyOf([0, majority(true)], [atMs, invoke(0, "decide", "g", "commit")], [10_000, doubt("g/b@bank-a", MS)]);
    expect(judge(asked(1_000)).violations).toMatchObject([{ invariant: "I5-in-doubt" }]);
    expect(judge(asked(6_000)).violations).toEqual([]);
  });

  test("while a participant is away does not count, nor does news that came late count twice", () => {
    const away = historyOf(
      [0, majority(true)],
      [3_000, nemesis({ fault: "participant-pause", at: "begin", participant: "bank-b" })],
      [7_000, nemesis({ fault: "participant-pause", at: "end", verified: true })],
      [10_000, doubt("g/b@bank-a", MS)],
    );
    expect(judge(away).doubt).toMatchObject({ withMajorityMs: 3_000 });
    const late = historyOf(
      [0, majority(false)],
      [9_500, majority(true)],
      [20_000, { ...doubt("g/b@bank-a", MS), value: { ms: MS, open: false, agoMs: 10_000 } }],
    );
    expect(judge(late).doubt).toMatchObject({ withMajorityMs: 500 });
  });
});

describe("memory over a long run", () => {
  const samples = (rssMb: (i: number) => number, outcomes: (i: number) => number, everyS = 10): readonly HistoryEvent[] =>
    historyOf(
      ...Array.from({ length: 61 }, (_, i): Line => [
        i * everyS * 1000,
        said("footprint", "n1", { rssMb: rssMb(i), logMb: 20, diskMb: 30, outcomes: outcomes(i) }),
      ]),
    );
  const leaking = (i: number): number => 100 + (i * RSS_GROWTH_MB_MAX) / 20;

  test("that grows without more to remember is a leak", () => {
    expect(judge(samples(leaking, () => 0)).violations).toMatchObject([{ invariant: "I14-bounded" }]);
    expect(
      judge(
        samples(
          () => 100,
          () => 0,
        ),
      ).violations,
    ).toEqual([]);
  });

  test("that grows with what has to be remembered is not", () => {
    expect(judge(samples(leaking, (i) => i * 5_000)).violations).toEqual([]);
  });

  test("is not judged in a short run", () => {
    const judgement = judge(samples(leaking, () => 0, 1));
    expect(judgement.violations).toEqual([]);
    expect(judgement.footprints).toMatchObject([{ node: "n1", samples: 61, rssMb: { first: 100 } }]);
  });
});

test("an unknown outcome leaves everything possible but two different effects", () => {
  const open: Changes = {
    commit: [
      [0, { ...invoke(7, "decide", "g1", "commit"), branches: LIST }],
      [5, info(7, "decide", "g1", "commit")],
    ],
  };
  expect(judge(run(open))).toMatchObject({ verdict: "valid", unknownToClients: 1 });
  expect(broken({ ...open, rowsB: [[22, said("ledger", "bank-b", [])]] })).toEqual(["I1-atomicity"]);
});
