import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { gid, gidProblem, gidTimeMs, isGid, nameProblem, newGid, nodeId, Prng, uuid7, uuidTimeMs } from "../../src/base/index.js";

describe("gid", () => {
  test("holds the time it was made at and is well formed, for any time and randomness", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 48 - 1 }), fc.string(), (timeMs, seed) => {
        const made = newGid(timeMs, new Prng(seed).uint32);
        expect(isGid(made)).toBe(true);
        expect(made.length).toBeLessThanOrEqual(48);
        expect(gidTimeMs(made)).toBe(timeMs);
      }),
    );
  });

  test("of a later millisecond sorts after an earlier one", () => {
    const random = new Prng(1).uint32;
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 47 }), fc.integer({ min: 1, max: 2 ** 40 }), (timeMs, later) => {
        expect(newGid(timeMs, random) < newGid(timeMs + later, random)).toBe(true);
      }),
    );
  });

  test("is a UUID version 7, variant 10", () => {
    fc.assert(
      fc.property(fc.string(), (seed) => {
        const hex = uuid7(1_700_000_000_000, new Prng(seed).uint32);
        expect(hex).toMatch(/^[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}$/);
        expect(uuidTimeMs(hex)).toBe(1_700_000_000_000);
      }),
    );
  });

  test.each([
    ["q-0192f0c1a2b37c4d8e9f0a1b2c3d4e5F", /character "F" at position 33/],
    ["q'; drop table x; --aaaaaaaaaaaaaaaa", /character "'" at position 1/],
    [`${"q".repeat(30)}-0192f0c1a2b37c4d8e9f0a1b2c3d4e5f`, /63 characters long; the limit is 48/],
    ["hello", /must be <group>-<32 hex digits/],
    ["", /must be <group>-<32 hex digits/],
  ])("%j is refused with its problem", (text, problem) => {
    expect(gidProblem(text)).toMatch(problem);
    expect(() => gid(text)).toThrow(RangeError);
  });
});

test("names that could leave their place in SQL text are refused", () => {
  for (const good of ["bank-a", "orders_db", "a"]) expect(nameProblem("participant", good)).toBeUndefined();
  for (const bad of ["", "A", "a b", "a'b", "1a", "-a", "a".repeat(49), "ä"])
    expect(nameProblem("participant", bad)).toContain("participant");
});

test("node ids are integers from 1 to 255", () => {
  for (const good of [1, 255]) expect(nodeId(good)).toBe(good);
  for (const bad of [0, 256, 1.5, -1, Number.NaN]) expect(() => nodeId(bad)).toThrow(/1 to 255/);
});
