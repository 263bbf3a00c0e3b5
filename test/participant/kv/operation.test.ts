import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { evaluate, locksOf } from "../../../src/participant/kv/evaluate.js";
import { decodeKvPayload, kvPayload, type KvOperation, type KvValue } from "../../../src/participant/kv/operation.js";

const key = fc.string({ unit: "grapheme", minLength: 1, maxLength: 8 }).filter((text) => !/\p{Surrogate}/u.test(text));
const text = fc.string({ unit: "grapheme", maxLength: 12 }).filter((value) => !/\p{Surrogate}/u.test(value));
const value: fc.Arbitrary<KvValue> = fc.oneof(text, fc.maxSafeInteger());
const operation: fc.Arbitrary<KvOperation> = fc.oneof(
  fc.record({ op: fc.constant("put" as const), key, value }),
  fc.record({ op: fc.constant("delete" as const), key }),
  fc.record({ op: fc.constant("add" as const), key, delta: fc.maxSafeInteger() }),
  fc.record({ op: fc.constant("add" as const), key, delta: fc.integer(), min: fc.integer(), max: fc.integer() }),
  fc.record({ op: fc.constant("append" as const), key, value: text }),
  fc.record({ op: fc.constant("require" as const), key, exists: fc.boolean() }),
  fc.record({ op: fc.constant("require" as const), key, equals: value }),
  fc.record({ op: fc.constant("get" as const), key }),
);
const operations = fc.array(operation, { minLength: 1, maxLength: 12 });

describe("payload", () => {
  test("every well-formed list survives the way through a payload", () => {
    fc.assert(
      fc.property(operations, (list) => {
        expect(decodeKvPayload(kvPayload(list))).toEqual({ operations: list });
      }),
    );
  });

  test.each([
    ["a text without a list", "7", /JSON array/],
    ["no operation", "[]", /empty/],
    ["an unknown operation", '[{"op":"increment","key":"a"}]', /operation 0: op must be one of put, delete/],
    ["a field of an object's prototype", '[{"op":"constructor","key":"a"}]', /op must be one of/],
    ["a missing key", '[{"op":"get"}]', /get needs "key"/],
    ["an empty key", '[{"op":"get","key":""}]', /must be a text that is not empty/],
    ["a key beyond the limit", JSON.stringify([{ op: "get", key: "ä".repeat(257) }]), /longer than 512 bytes/],
    ["half of a surrogate pair", '[{"op":"get","key":"\\ud800"}]', /half of a surrogate pair/],
    ["a misspelt bound", '[{"op":"add","key":"a","delta":1,"minimum":0}]', /add has no field "minimum"/],
    ["a fraction", '[{"op":"add","key":"a","delta":0.5}]', /"delta" must be an integer/],
    ["an integer that is not exact", '[{"op":"put","key":"a","value":9007199254740993}]', /integer within 2\^53/],
    ["a value that is neither", '[{"op":"put","key":"a","value":null}]', /must be a text or an integer/],
    ["an integer to append", '[{"op":"append","key":"a","value":1}]', /must be a text/],
    ["a requirement of nothing", '[{"op":"require","key":"a"}]', /exactly one/],
    ["two requirements in one", '[{"op":"require","key":"a","exists":true,"equals":1}]', /exactly one/],
    ["broken JSON", '[{"op":', /not UTF-8 JSON/],
  ])("%s is refused in words", (_, payload, problem) => {
    const decoded = decodeKvPayload(Buffer.from(payload));
    expect("problem" in decoded && decoded.problem).toMatch(problem);
  });

  test("a list that cannot be decoded cannot be encoded either", () => {
    expect(() => kvPayload([])).toThrow(RangeError);
    expect(() => kvPayload([{ op: "add", key: "a", delta: 0.5 }])).toThrow(/operation 0: add "delta"/);
  });
});

describe("evaluation", () => {
  const run = (list: readonly KvOperation[], state: { readonly [key: string]: KvValue } = {}) =>
    evaluate(list, (name) => (Object.hasOwn(state, name) ? state[name] : undefined));

  test("each operation sees the writes before it", () => {
    const effect = run(
      [
        { op: "get", key: "a" },
        { op: "add", key: "a", delta: 2 },
        { op: "get", key: "a" },
        { op: "delete", key: "a" },
        { op: "require", key: "a", exists: false },
        { op: "append", key: "a", value: "x" },
        { op: "append", key: "a", value: "y" },
        { op: "require", key: "a", equals: "xy" },
      ],
      { a: 5 },
    );
    expect(effect).toEqual({ writes: new Map([["a", "xy"]]), reads: [5, 7] });
  });

  test.each<[KvOperation, RegExp]>([
    [{ op: "add", key: "n", delta: -6, min: 0 }, /holds 5, and -1 is below the bound 0/],
    [{ op: "add", key: "n", delta: 6, max: 10 }, /holds 5, and 11 is above the bound 10/],
    [{ op: "add", key: "n", delta: Number.MAX_SAFE_INTEGER }, /beyond 2\^53/],
    [{ op: "add", key: "t", delta: 1 }, /its value is a text/],
    [{ op: "append", key: "n", value: "x" }, /its value is an integer/],
    [{ op: "require", key: "gone", exists: true }, /does not exist/],
    [{ op: "require", key: "n", exists: false }, /it exists/],
    [{ op: "require", key: "n", equals: "5" }, /holds another value/],
    [{ op: "require", key: "gone", equals: 0 }, /does not exist/],
  ])("%j is refused with the reason", (refused, problem) => {
    const effect = run([{ op: "put", key: "other", value: 1 }, refused], { n: 5, t: "text" });
    expect("problem" in effect && effect.problem).toMatch(problem);
  });

  test("bounds are inclusive", () => {
    expect(run([{ op: "add", key: "n", delta: -5, min: 0, max: 0 }], { n: 5 })).toMatchObject({ reads: [] });
  });

  test("every key that is touched is locked once, in one order, and exclusively when it is written", () => {
    fc.assert(
      fc.property(operations, (list) => {
        const locks = locksOf(list);
        const keys = locks.map((lock) => lock.key);
        expect(new Set(keys)).toEqual(new Set(list.map((each) => each.key)));
        expect(keys).toEqual([...new Set(keys)].sort((a, b) => (a < b ? -1 : 1)));
        for (const lock of locks)
          expect(lock.exclusive).toBe(list.some((each) => each.key === lock.key && each.op !== "get" && each.op !== "require"));
      }),
    );
  });
});
