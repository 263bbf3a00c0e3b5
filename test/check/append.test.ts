import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  appendTransactions,
  checkAppends,
  findAppendAnomalies,
  parseHistory,
  type AppendStep,
  type AppendTransaction,
} from "../../src/check/index.js";
import { someOrderFits, smallHistories } from "./append-model.js";

const RUNS = process.env.QUORATE_BRUTE === "1" ? 100_000 : 5_000;

/** `ax1`: append 1 to x. `rx12`: read x as [1 2]. */
function steps(...words: readonly string[]): AppendStep[] {
  return words.map((word): AppendStep => {
    const [f, key = "", ...values] = word;
    return f === "a" ? { f: "append", key, value: values.join("") } : { f: "read", key, values };
  });
}

let next = 0;
const t = (change: Partial<AppendTransaction>, ...words: readonly string[]): AppendTransaction => {
  const id = next++;
  return { id, process: id, type: "ok", call: 0, return: 100, steps: steps(...words), ...change };
};
const at = (call: number, end: number): Partial<AppendTransaction> => ({ call, return: end });
const kinds = (...transactions: readonly AppendTransaction[]): string[] =>
  findAppendAnomalies(transactions).map(({ kind, needs }) => (needs === "nothing" ? kind : `${kind} ${needs}`));

describe("a history of lists is judged", () => {
  test("good when its reads fit some order, and when it is empty", () => {
    expect(kinds()).toEqual([]);
    expect(kinds(t({}, "ax1", "rx1"), t({}, "rx1", "ay2"), t({}, "rx", "ry"), t({}, "rx1", "ry2"))).toEqual([]);
  });
  test("G0: two transactions appended behind each other", () => {
    expect(kinds(t({}, "ax1", "ay1"), t({}, "ax2", "ay2"), t({}, "rx12"), t({}, "ry21"))).toContain("G0");
  });
  test("G1a: a read of what failed", () => {
    expect(kinds(t({ type: "fail" }, "ax1"), t({}, "rx1"))).toContain("G1a");
  });
  test("G1b: a read in the middle of a transaction", () => {
    expect(kinds(t({}, "ax1", "ax2"), t({}, "rx1"), t({}, "rx12"))).toContain("G1b");
  });
  test("G1c: two transactions read each other", () => {
    expect(kinds(t({}, "ax1", "ry2"), t({}, "ay2", "rx1"))).toEqual(["G1c"]);
  });
  test("G-single: read skew, half of a transaction is seen", () => {
    expect(kinds(t({}, "ax1", "ay2"), t({}, "rx1", "ry"), t({}, "rx1", "ry2"))).toEqual(["G-single"]);
  });
  test("G-single: a lost update, both read the same and append", () => {
    expect(kinds(t({}, "rx", "ax1"), t({}, "rx", "ax2"), t({}, "rx12"))).toEqual(["G-single"]);
  });
  test("G2: write skew, each reads what the other appends to", () => {
    expect(kinds(t({}, "rx", "ay1"), t({}, "ry", "ax2"), t({}, "rx2", "ry1"))).toEqual(["G2"]);
  });
  test("G2: write skew that nobody reads afterwards", () => {
    expect(kinds(t({}, "rx", "ay1"), t({}, "ry", "ax2"))).toEqual(["G2"]);
  });
  test("bad when a read is stale by the clock alone, and good when it overlaps", () => {
    expect(kinds(t(at(0, 1), "ax1"), t(at(2, 3), "rx"), t(at(4, 5), "rx1"))).toEqual(["lost-append realtime", "G-single realtime"]);
    expect(kinds(t(at(0, 3), "ax1"), t(at(2, 3), "rx"), t(at(4, 5), "rx1"))).toEqual([]);
  });
  test("bad when one process reads backwards", () => {
    expect(kinds(t(at(0, 90), "ax1"), t({ ...at(1, 2), process: 50 }, "rx1"), t({ ...at(2, 4), process: 50 }, "rx"))).toEqual([
      "G-single process",
    ]);
  });
  test("lost append: acknowledged and never seen again", () => {
    expect(kinds(t(at(0, 1), "ax1"), t(at(2, 3), "ax2"), t(at(4, 5), "rx2"))).toContain("lost-append realtime");
  });
  test("a value twice, two orders, a value of nobody, a transaction that misses its own append or knows it too early", () => {
    expect(kinds(t({}, "ax1"), t({}, "rx11"))).toContain("duplicate");
    expect(kinds(t({}, "ax1"), t({}, "ax2"), t({}, "rx12"), t({}, "rx2"))).toContain("incompatible-order");
    expect(kinds(t({}, "rx7"))).toEqual(["phantom"]);
    expect(kinds(t({}, "ax1", "rx"))).toEqual(["internal"]);
    expect(kinds(t({}, "rx1", "ax1"))).toContain("internal");
    expect(kinds(t({}, "ax1"), t({}, "rx", "rx1"))).toContain("internal");
  });
  test("a transaction's own appends in another order, or the later without the earlier", () => {
    expect(kinds(t({}, "ax1", "ax2"), t({}, "rx21"))).toContain("incompatible-order");
    expect(kinds(t({}, "ax1", "ax2"), t({}, "rx2"))).toContain("incompatible-order");
  });
  test("an unknown transaction may have happened wholly or not at all", () => {
    const open = { type: "info", return: Infinity } as const;
    expect(kinds(t(open, "ax1", "ay2"), t({}, "rx"), t({}, "ry"))).toEqual([]);
    expect(kinds(t(open, "ax1", "ay2"), t({}, "rx1"), t({}, "ry2"))).toEqual([]);
    expect(kinds(t(open, "ax1", "ay2"), t(at(101, 102), "rx1"), t(at(103, 104), "ry"))).toEqual(["G-single realtime"]);
  });
  test("not at all when two appends have one value", () => {
    expect(() => kinds(t({}, "ax1"), t({}, "ax1"))).toThrow(RangeError);
  });
  test("with the cycle in words", () => {
    next = 0;
    const [found] = findAppendAnomalies([t({}, "ax1", "ry2"), t({}, "ay2", "rx1")]);
    expect(found).toMatchObject({ kind: "G1c", transactions: [0, 1], message: "0 -wr-> 1 -wr-> 0" });
  });
  test("without running out of stack or time over ten thousand transactions", () => {
    const many = Array.from({ length: 10_000 }, (_, i) => t(at(2 * i, 2 * i + 1), `a${i % 2 === 0 ? "x" : "y"}1`)).map(
      (transaction, i) => ({
        ...transaction,
        steps: [{ f: "append" as const, key: `k${i % 100}`, value: String(i) }],
      }),
    );
    expect(findAppendAnomalies(many)).toEqual([]);
    // One turn through all of them: the last one's append is read by the first.
    const chain = many.map((transaction, i) => ({
      ...transaction,
      ...at(0, 1),
      steps: [
        { f: "append" as const, key: `c${i}`, value: "1" },
        { f: "read" as const, key: `c${(i + 9_999) % 10_000}`, values: ["1"] },
      ],
    }));
    expect(findAppendAnomalies(chain)).toMatchObject([{ kind: "G1c" }]);
  });
});

describe("against every order there is", () => {
  test(`the checker agrees over ${RUNS} random histories of up to five transactions`, () => {
    const count = { good: 0, bad: 0 };
    fc.assert(
      fc.property(smallHistories(5), (history) => {
        const fits = someOrderFits(history);
        count[fits ? "good" : "bad"] += 1;
        expect(findAppendAnomalies(history).length === 0, JSON.stringify(history)).toBe(fits);
      }),
      { numRuns: RUNS, seed: 11 },
    );
    // Both verdicts are exercised.
    expect(Math.min(count.good, count.bad)).toBeGreaterThan(RUNS / 10);
  }, 1_200_000);
});

describe("what must not change the verdict", () => {
  const verdict = (history: readonly AppendTransaction[]): boolean => findAppendAnomalies(history).length === 0;
  const check = (name: string, property: (history: readonly AppendTransaction[], random: number) => void): void =>
    test(name, () => fc.assert(fc.property(smallHistories(6), fc.nat(1_000_000), property), { numRuns: 1_000, seed: 5 }));

  check("all times shifted and stretched", (history, by) => {
    const moved = history.map((one) => ({ ...one, call: one.call * 3 + by, return: one.return * 3 + by }));
    expect(verdict(moved)).toBe(verdict(history));
  });
  check("keys, values and processes renamed", (history) => {
    const renamed = history.map((one) => ({
      ...one,
      process: 100 - one.process,
      steps: one.steps.map((step): AppendStep =>
        step.f === "append"
          ? { ...step, key: `${step.key}'`, value: `v${step.value}` }
          : { ...step, key: `${step.key}'`, values: step.values?.map((value) => `v${value}`) },
      ),
    }));
    expect(verdict(renamed)).toBe(verdict(history));
  });
  check("the order in which the transactions are handed over", (history) => {
    expect(verdict([...history].reverse())).toBe(verdict(history));
  });
  check("a good history stays good with a longer interval", (history, which) => {
    if (!verdict(history)) return;
    const wider = history.map((one, index) =>
      index === which % history.length ? { ...one, call: one.call - 5_000, return: one.return + 5_000 } : one,
    );
    expect(verdict(wider)).toBe(true);
  });
  check("a history turns bad when an append that was read is taken out of it", (history) => {
    const read = new Set(
      history.flatMap(({ type, steps: all }) =>
        type === "ok" ? all.flatMap((s) => (s.f === "read" ? (s.values ?? []).map((v) => `${s.key}${v}`) : [])) : [],
      ),
    );
    const without = history.map((one) => ({ ...one, steps: one.steps.filter((s) => s.f !== "append" || !read.has(`${s.key}${s.value}`)) }));
    expect(verdict(without)).toBe(read.size === 0 && verdict(history));
  });
});

describe("the form of the history", () => {
  const line = (index: number, type: string, value: string, process = 0): string =>
    `{"index":${index},"time":${index},"process":${process},"type":"${type}","f":"txn","key":"","value":${value}}`;
  test("steps are read from Elle's micro-operations; a null read is an empty list", () => {
    const history = parseHistory(
      [
        line(0, "invoke", '[["append","x",1],["r","y",null]]'),
        line(1, "ok", '[["append","x",1],["r","y",null]]'),
        line(2, "invoke", '[["r","x",null]]'),
        line(3, "info", '[["r","x",null]]'),
      ].join("\n"),
    );
    expect(appendTransactions(history)).toEqual([
      {
        id: 0,
        process: 0,
        type: "ok",
        call: 0,
        return: 1,
        steps: [
          { f: "append", key: "x", value: "1" },
          { f: "read", key: "y", values: [] },
        ],
      },
      { id: 2, process: 0, type: "info", call: 2, return: Infinity, steps: [{ f: "read", key: "x", values: undefined }] },
    ]);
    expect(checkAppends(history)).toEqual([]);
  });
  test("a violation names the anomaly and what order it needs", () => {
    const history = parseHistory(
      [
        line(0, "invoke", '[["append","x",1]]'),
        line(1, "ok", '[["append","x",1]]'),
        line(2, "invoke", '[["r","x",null]]'),
        line(3, "ok", '[["r","x",[]]]'),
      ].join("\n"),
    );
    expect(checkAppends(history)).toMatchObject([
      { invariant: "append-lost-append", message: expect.stringContaining("(by realtime order)") as string },
      { invariant: "append-G-single" },
    ]);
  });
  test("another shape is refused", () => {
    expect(() => appendTransactions(parseHistory(line(0, "invoke", '[["append","x"]]')))).toThrow(RangeError);
    expect(() => appendTransactions(parseHistory(line(0, "invoke", '"x"')))).toThrow(RangeError);
  });
});
