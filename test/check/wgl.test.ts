import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkLinearizable, REGISTER_MODEL, type RegisterInput, type RegisterOutput, type WglOperation } from "../../src/check/index.js";

type Op = WglOperation<RegisterInput, RegisterOutput>;

const read = (value: string | null, call: number, end: number): Op => ({ input: { f: "read" }, output: { value }, call, return: end });
const put = (value: string, call: number, end: number): Op => ({
  input: { f: "put", value, expect: undefined },
  output: end === Infinity ? undefined : { taken: true },
  call,
  return: end,
});
const cas = (expect: string | null, value: string, taken: boolean, call: number, end: number): Op => ({
  input: { f: "put", value, expect },
  output: end === Infinity ? undefined : { taken },
  call,
  return: end,
});
const judge = (...operations: Op[]): string => checkLinearizable(operations, REGISTER_MODEL).kind;

describe("a history of one register is judged", () => {
  test("good when a read during a put gives the old or the new value", () => {
    expect(judge(put("a", 0, 3), read("a", 1, 2))).toBe("ok");
    expect(judge(put("a", 0, 3), read(null, 1, 2))).toBe("ok");
  });
  test("bad when a read misses a put that was acknowledged before", () => {
    expect(judge(put("a", 0, 1), read(null, 2, 3))).toBe("bad");
  });
  test("bad when a read goes back behind another read", () => {
    expect(judge(put("a", 0, 9), read("a", 1, 2), read(null, 3, 4))).toBe("bad");
  });
  test("bad when a read gives a value that nobody put", () => {
    expect(judge(put("a", 0, 1), read("b", 2, 3))).toBe("bad");
  });
  test("bad when a read sees the future", () => {
    expect(judge(read("a", 0, 1), put("a", 2, 3))).toBe("bad");
  });
  test("bad when an acknowledged put vanishes under a later compare-and-put", () => {
    expect(judge(put("a", 0, 1), cas(null, "b", true, 2, 3))).toBe("bad");
  });
  test("bad when two compare-and-puts of one version are both taken", () => {
    expect(judge(put("a", 0, 1), cas("a", "b", true, 2, 5), cas("a", "c", true, 3, 6))).toBe("bad");
  });
  test("bad when an open put is seen and then not any more", () => {
    expect(judge(put("a", 0, 1), put("b", 2, Infinity), read("b", 3, 4), read("a", 5, 6))).toBe("bad");
  });
  test("good when an open put never shows, shows late, or shows at once", () => {
    expect(judge(put("a", 0, 1), put("b", 2, Infinity), read("a", 3, 4))).toBe("ok");
    expect(judge(put("a", 0, 1), put("b", 2, Infinity), read("a", 3, 4), read("b", 5, 6))).toBe("ok");
  });
  test("good when empty or when everything stayed open", () => {
    expect(judge()).toBe("ok");
    expect(judge(put("a", 0, Infinity), put("b", 1, Infinity))).toBe("ok");
  });
  test("unknown, not good, when the budget is spent", () => {
    const operations = Array.from({ length: 200 }, (_, index) => put(`v${index}`, index, 1000 + index));
    const result = checkLinearizable([...operations, read("nobody", 3000, 3001)], REGISTER_MODEL, 50_000);
    expect(result.kind).toBe("unknown");
  });
  test("with the longest order that works and what cannot follow it", () => {
    const result = checkLinearizable([put("a", 0, 1), read("x", 2, 3)], REGISTER_MODEL);
    expect(result).toMatchObject({ kind: "bad", longest: [{ input: { f: "put" } }], stuck: [{ input: { f: "read" } }] });
  });
});

// ---- against every order there is

/** `npm run check:brute` tries many more. */
const RUNS = process.env.QUORATE_BRUTE === "1" ? 100_000 : 5_000;

function bruteForce(operations: readonly Op[]): boolean {
  const go = (left: readonly Op[], state: string | null): boolean => {
    if (left.every((operation) => operation.return === Infinity)) return true;
    const firstReturn = Math.min(...left.map((operation) => operation.return));
    return left.some((operation, index) => {
      if (operation.call > firstReturn) return false;
      const next = REGISTER_MODEL.step(state, operation.input, operation.output);
      return next !== undefined && go([...left.slice(0, index), ...left.slice(index + 1)], next);
    });
  };
  return go(operations, null);
}

const values = fc.constantFrom("a", "b", "c");
const operation = fc.record({
  kind: fc.constantFrom("read", "put", "cas"),
  value: values,
  expect: fc.option(values, { nil: null }),
  seen: fc.option(values, { nil: null }),
  taken: fc.boolean(),
  open: fc.boolean(),
  at: fc.tuple(fc.integer({ min: 0, max: 1000 }), fc.integer({ min: 0, max: 1000 })),
});

test(`the checker agrees with trying every order, over ${RUNS} random histories of up to seven operations`, () => {
  let bad = 0;
  fc.assert(
    fc.property(fc.array(operation, { minLength: 1, maxLength: 7 }), (drawn) => {
      const operations = drawn.map(({ kind, value, expect: wanted, seen, taken, open, at }, index): Op => {
        // Distinct positions: equal ones are the caller's to order.
        const [call, end] = [Math.min(...at) * 20 + index, Math.max(...at) * 20 + 10 + index];
        if (kind === "read") return read(seen, call, end);
        if (kind === "put") return put(value, call, open ? Infinity : end);
        return cas(wanted, value, taken, call, open ? Infinity : end);
      });
      const expected = bruteForce(operations);
      if (!expected) bad += 1;
      expect(checkLinearizable(operations, REGISTER_MODEL).kind).toBe(expected ? "ok" : "bad");
    }),
    { numRuns: RUNS, seed: 7 },
  );
  expect(bad).toBeGreaterThan(RUNS / 10);
}, 1_200_000);
