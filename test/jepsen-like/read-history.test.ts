import { describe, expect, test } from "vitest";
import { checkHistory } from "../../jepsen-like/analysis/check-history.js";
import { readHistory } from "../../jepsen-like/analysis/read-history.js";
import { formatHistory } from "../../src/check/index.js";
import { historyOf, info, invoke, nemesis, ok } from "./events.js";

const GOOD = historyOf([0, invoke(0, "decide", "g", "commit")], [1, ok(0, "decide", "g", "commit", "1:7")]);
const text = formatHistory(GOOD);

describe("what is no history is refused, with the number of the line and the reason", () => {
  const line = (event: object): string =>
    `${text}\n${JSON.stringify({ index: 9, time: 9, process: 5, type: "invoke", f: "x", ...event })}\n`;

  test.each([
    ["half a line", `${text}{"index":`, /^line 3 is no JSON/],
    ["another kind of file", `{"name":"quorate"}\n`, /^line 1 is no event: "index" must be a whole number, got nothing/],
    ["a list", `[1, 2]\n`, /^event 1 is no event: it is no JSON object/],
    ["a text", `${text}"hello"\n`, /^line 3 is no event: it is no JSON object/],
    ["no clock", line({ time: "now" }), /^line 4 is no event: "time" must be a number of nanoseconds, got "now"/],
    ["no process", line({ process: null }), /^line 4 is no event: "process" must be a whole number or "nemesis", got null/],
    ["another type", line({ type: ":ok" }), /^line 4 is no event: "type" must be invoke, ok, fail or info, got ":ok"/],
    ["no function", line({ f: 3 }), /^line 4 is no event: "f" must name what was asked, got 3/],
    [
      "lines in another order",
      `${formatHistory(historyOf([0, nemesis({})], [1, nemesis({})]).toReversed())}`,
      /^line 2: index 0 comes after 1/,
    ],
    ["a completion of nothing", line({ type: "ok", f: "decide", key: "g", value: "commit" }), /^line 4: ok of process 5 completes nothing/],
    [
      "two operations of one process at once",
      formatHistory(historyOf([0, invoke(0, "decide", "a")], [1, invoke(0, "decide", "b")])),
      /^line 2: process 0 has two operations open, the other since line 1/,
    ],
    [
      "a process that goes on after an unknown outcome",
      formatHistory(historyOf([0, invoke(0, "decide", "a")], [1, info(0, "decide", "a")], [2, invoke(0, "decide", "b")])),
      /^line 3: process 0 is used again after line 2, whose outcome stayed unknown/,
    ],
    [
      "an answer to another question",
      formatHistory(historyOf([0, invoke(0, "decide", "a")], [1, ok(0, "status", "a", "commit")])),
      /^line 2: status completes decide of line 1/,
    ],
    ["a decision without a transaction", line({ f: "decide", value: "commit" }), /^line 4: decide needs the transaction as "key"/],
    ["a transaction of no steps", line({ f: "txn", key: "t", value: "r x" }), /^line 4: the value of a txn is a list of steps/],
    ["a step nobody knows", line({ f: "txn", key: "t", value: [["w", "x", 1]] }), /^line 4: \["w","x",1\] is neither/],
    ["a put of nothing", line({ f: "put", key: "r" }), /^line 4: put needs/],
    [
      "a read of something else",
      formatHistory(historyOf([0, invoke(0, "read", "r")], [1, ok(0, "read", "r", { 0: 90 })])),
      /^line 2: read is answered with \[value, version\] or \[null, null\], got \{"0":90\}/,
    ],
    ["a doubt without a length", line({ process: -1, type: "info", f: "doubt", key: "g/b", value: null }), /^line 4: doubt needs/],
  ])("%s", (_name, source, why) => {
    expect(() => readHistory(source)).toThrow(why);
    expect(() => readHistory(Buffer.from(source))).toThrow(why);
  });
});

test("the fault injector may have a name, and what the checkers do not know is left alone", () => {
  const events = readHistory('{"index":0,"time":0,"process":"nemesis","type":"info","f":"start","value":null}\n');
  expect(events).toMatchObject([{ process: -1, f: "start", key: "" }]);
  expect(checkHistory(events)).toMatchObject({ verdict: "unknown", why: "it holds no answered decision, status or register operation" });
});

test("transactions over lists, as Elle writes them, are judged", () => {
  const txn = (process: number, before: object[], after: object[]): Parameters<typeof historyOf> => [
    [process, invoke(process, "txn", `t${process}`, before as never)],
    [process + 0.5, ok(process, "txn", `t${process}`, after as never)],
  ];
  const append = ["append", "x", 1] as unknown as object;
  const good = historyOf(...txn(0, [append], [append]), ...txn(1, [["r", "x", null]], [["r", "x", [1]]]));
  expect(checkHistory(readHistory(formatHistory(good)))).toMatchObject({ verdict: "valid", okDecisions: 2 });
  const stale = historyOf(...txn(0, [append], [append]), ...txn(1, [["r", "x", null]], [["r", "x", []]]));
  const report = checkHistory(readHistory(formatHistory(stale)));
  expect(report.verdict).toBe("invalid");
  expect(report.invariants.find(({ invariant }) => invariant === "append")?.violations).toBeGreaterThan(0);
});
