import { describe, expect, test } from "vitest";
import { CONTROLS, MUTANTS } from "./catalogue.mjs";
import { applyEdit, isWithin, mutate, readSources, SIMULATED_ROOMS } from "./plant.mjs";

/** The hunt itself is `npm run mutants`; here only that every bug can still be planted. */
describe("every planted bug fits the sources as they are", () => {
  const sources = readSources();
  test.each([...MUTANTS, ...CONTROLS].map((mutant) => [mutant.id, mutant] as const))("%s", (_id, mutant) => {
    const changed = mutate(sources, mutant);
    expect(mutant.edits.length).toBeGreaterThan(0);
    for (const { file } of mutant.edits) expect(changed.get(file)).not.toBe(sources.get(file));
  });
});

test("ids are different, and there are bugs inside and outside of the simulated rooms", () => {
  expect(new Set(MUTANTS.map(({ id }) => id)).size).toBe(MUTANTS.length);
  expect(MUTANTS.length).toBeGreaterThanOrEqual(30);
  expect(new Set(MUTANTS.map((mutant) => isWithin(mutant, SIMULATED_ROOMS)))).toEqual(new Set([true, false]));
});

test("an edit must match exactly once", () => {
  const edit = { file: "x.ts", find: "b", replace: "c" };
  expect(applyEdit("abd", edit)).toBe("acd");
  expect(() => applyEdit("ad", edit)).toThrow("does not contain");
  expect(() => applyEdit("abb", edit)).toThrow("more than once");
});

test("a bug that cannot be planted any more is an error by name", () => {
  const gone = { id: "77", rule: "None.", edits: [{ file: "x.ts", find: "b", replace: "c" }] };
  expect(() => mutate(new Map([["x.ts", "a"]]), gone)).toThrow("mutant 77 cannot be planted: src/x.ts does not contain: b");
  expect(() => mutate(new Map(), gone)).toThrow("mutant 77 cannot be planted: src/x.ts does not exist");
});
