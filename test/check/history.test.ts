import { describe, expect, test } from "vitest";
import {
  checkAcknowledged,
  checkAnswers,
  checkConservation,
  checkLedger,
  checkRegisters,
  CommittedLog,
  formatHistory,
  operations,
  parseHistory,
  type DecidedFact,
  type HistoryEvent,
  type HistoryValue,
} from "../../src/check/index.js";
import { zxid, ZXID_ZERO } from "../../src/base/index.js";

/** Builds a history: each step is one event, in order. */
function history(
  ...steps: readonly (readonly [process: number, type: HistoryEvent["type"], f: string, key: string, value: HistoryValue, zxid?: string])[]
): HistoryEvent[] {
  return steps.map(([process, type, f, key, value, at], index) => ({
    index,
    time: index * 1000,
    process,
    type,
    f,
    key,
    value,
    ...(at === undefined ? {} : { zxid: at }),
  }));
}
const names = (violations: readonly { readonly invariant: string }[]): string[] => violations.map(({ invariant }) => invariant);

test("a history survives being written and read", () => {
  const events = history([1, "invoke", "decide", "t1", "commit"], [1, "ok", "decide", "t1", "commit", "1:2"]);
  expect(parseHistory(formatHistory(events))).toEqual(events);
});

test("a process has one operation at a time, and none after it is in doubt", () => {
  expect(() => operations(history([1, "invoke", "read", "k", null], [1, "invoke", "read", "k", null]))).toThrow(RangeError);
  expect(() =>
    operations(history([1, "invoke", "read", "k", null], [1, "info", "read", "k", null], [1, "invoke", "read", "k", null])),
  ).toThrow(RangeError);
});

describe("answers", () => {
  test("of two clients with two decisions for one transaction are a violation", () => {
    const events = history(
      [1, "invoke", "decide", "t", "commit"],
      [2, "invoke", "decide", "t", "abort"],
      [1, "ok", "decide", "t", "commit"],
      [2, "ok", "decide", "t", "abort"],
    );
    expect(names(checkAnswers(events))).toEqual(["I2-decision"]);
  });
  test("that place one decision at two positions of the log are a violation", () => {
    const events = history(
      [1, "invoke", "decide", "t", "commit"],
      [1, "ok", "decide", "t", "commit", "1:5"],
      [2, "invoke", "decide", "t", "commit"],
      [2, "ok", "decide", "t", "commit", "2:1"],
    );
    expect(names(checkAnswers(events))).toEqual(["I2-decision"]);
  });
  test("that say less than was known before they were asked are a violation, and forgetting is none", () => {
    const asked = (value: string): HistoryEvent[] =>
      history(
        [1, "invoke", "decide", "t", "commit"],
        [1, "ok", "decide", "t", "commit"],
        [2, "invoke", "status", "t", null],
        [2, "ok", "status", "t", value],
      );
    expect(names(checkAnswers(asked("preparing")))).toEqual(["I13-monotonic"]);
    expect(checkAnswers(asked("expired"))).toEqual([]);
    expect(checkAnswers(asked("commit"))).toEqual([]);
  });
});

describe("ledgers", () => {
  const commit: DecidedFact = {
    gid: "t",
    decision: "commit",
    zxid: "1:1",
    yes: [
      { branch: "b1", participant: "p1" },
      { branch: "b2", participant: "p2" },
    ],
    reason: undefined,
  };
  const row = (participant: string, branch: string, effects = 1, gid = "t") => ({ participant, gid, branch, effects });
  const decided = (fact: DecidedFact): ReadonlyMap<string, DecidedFact> => new Map([[fact.gid, fact]]);
  test("with every branch of a commit once are right", () => {
    expect(checkLedger(decided(commit), [row("p1", "b1"), row("p2", "b2")])).toEqual([]);
  });
  test("with a branch of a commit missing, or one of an abort present, break atomicity", () => {
    expect(names(checkLedger(decided(commit), [row("p1", "b1")]))).toEqual(["I1-atomicity"]);
    expect(names(checkLedger(decided({ ...commit, decision: "abort", yes: [] }), [row("p1", "b1")]))).toEqual(["I1-atomicity"]);
  });
  test("with an effect twice, of nobody's yes, or of nothing decided are wrong", () => {
    expect(names(checkLedger(decided(commit), [row("p1", "b1", 2), row("p2", "b2")]))).toEqual(["I6-duplicate"]);
    expect(names(checkLedger(decided(commit), [row("p1", "b1"), row("p2", "b2"), row("p3", "b3")]))).toEqual(["I4-phantom"]);
    expect(names(checkLedger(new Map(), [row("p1", "b1")]))).toEqual(["I4-phantom"]);
  });
  test("that contradict what a client was told break the acknowledgement", () => {
    const told = (type: "ok" | "fail", value: string): HistoryEvent[] =>
      history([1, "invoke", "decide", "t", "commit"], [1, type, "decide", "t", value]);
    const rows = [row("p1", "b1"), row("p2", "b2")];
    expect(checkAcknowledged(told("ok", "commit"), decided(commit), rows)).toEqual([]);
    expect(names(checkAcknowledged(told("ok", "abort"), decided(commit), rows))).toEqual(["I3-acknowledged"]);
    expect(names(checkAcknowledged(told("ok", "commit"), new Map(), []))).toEqual(["I3-acknowledged"]);
    expect(names(checkAcknowledged(told("fail", "commit"), decided(commit), rows))).toEqual(["I3-acknowledged"]);
  });
  test("whose balances do not add up lost or made money", () => {
    expect(
      checkConservation(
        [
          { participant: "p1", total: 5 },
          { participant: "p2", total: -5 },
        ],
        0,
      ),
    ).toEqual([]);
    expect(names(checkConservation([{ participant: "p1", total: 5 }], 0))).toEqual(["I9-conservation"]);
  });
});

describe("registers", () => {
  test("of different names are judged apart", () => {
    const events = history(
      [1, "invoke", "put", "r1", { value: "v1", expect: null }],
      [1, "ok", "put", "r1", { taken: true, version: "1:1" }],
      [2, "invoke", "read", "r2", null],
      [2, "ok", "read", "r2", [null, null]],
    );
    expect(checkRegisters(events)).toEqual({ violations: [], unknown: [] });
  });
  test("whose version names two values, or whose value has two versions, are wrong", () => {
    const twoValues = history(
      [1, "invoke", "read", "r", null],
      [1, "ok", "read", "r", ["v1", "1:1"]],
      [2, "invoke", "read", "r", null],
      [2, "ok", "read", "r", ["v2", "1:1"]],
    );
    expect(names(checkRegisters(twoValues).violations)).toEqual(["linearizability"]);
    const twice = history(
      [1, "invoke", "put", "r", { value: "v1", expect: null }],
      [1, "ok", "put", "r", { taken: true, version: "1:1" }],
      [2, "invoke", "read", "r", null],
      [2, "ok", "read", "r", ["v1", "1:9"]],
    );
    expect(names(checkRegisters(twice).violations)).toEqual(["I6-duplicate"]);
  });
  test("are wrong when a compare-and-put is taken against a version that was replaced", () => {
    const events = history(
      [1, "invoke", "put", "r", { value: "v1", expect: "0:0" }],
      [1, "ok", "put", "r", { taken: true, version: "1:1" }],
      [2, "invoke", "put", "r", { value: "v2", expect: null }],
      [2, "ok", "put", "r", { taken: true, version: "1:2" }],
      [3, "invoke", "put", "r", { value: "v3", expect: "1:1" }],
      [3, "ok", "put", "r", { taken: true, version: "1:3" }],
    );
    expect(names(checkRegisters(events).violations)).toEqual(["linearizability"]);
  });
});

describe("the committed log", () => {
  const entry = (epoch: number, counter: number, byte = 0) => ({ zxid: zxid(epoch, counter), payload: Uint8Array.of(byte) });
  test("takes new entries once and recognizes known ones", () => {
    const log = new CommittedLog();
    expect(log.applied("n1", ZXID_ZERO, [entry(1, 1), entry(1, 2)])).toMatchObject({ fresh: { length: 2 } });
    expect(log.applied("n2", ZXID_ZERO, [entry(1, 1), entry(1, 2), entry(1, 3)])).toMatchObject({ fresh: { length: 1 } });
    expect(log.last).toEqual(zxid(1, 3));
  });
  test("notices another entry, other bytes, a gap, and a node that stands where nobody was", () => {
    const log = new CommittedLog();
    log.applied("n1", ZXID_ZERO, [entry(1, 1), entry(1, 2)]);
    expect(log.applied("n2", ZXID_ZERO, [entry(1, 1), entry(2, 1)])).toMatchObject({ invariant: "agreement" });
    expect(log.applied("n2", ZXID_ZERO, [entry(1, 1, 9)])).toMatchObject({ invariant: "agreement" });
    expect(log.applied("n2", ZXID_ZERO, [entry(1, 2)])).toMatchObject({ invariant: "agreement" });
    expect(log.applied("n2", zxid(7, 7), [entry(7, 8)])).toMatchObject({ invariant: "agreement" });
  });
  test("notices a second leader of an epoch, and a leader that lacks what was committed", () => {
    const log = new CommittedLog();
    log.applied("n1", ZXID_ZERO, [entry(1, 1)]);
    expect(log.established("n1/1", 1, zxid(1, 1))).toBeUndefined();
    expect(log.established("n2/1", 1, zxid(1, 1))).toMatchObject({ invariant: "one-leader" });
    expect(log.established("n3/1", 2, ZXID_ZERO)).toMatchObject({ invariant: "leader-completeness" });
  });
  test("notices replicas whose digests differ at the same entry", () => {
    const log = new CommittedLog();
    expect(log.digest("n1", zxid(1, 1), 5)).toBeUndefined();
    expect(log.digest("n2", zxid(1, 1), 6)).toMatchObject({ invariant: "I12-replicas" });
  });
});
