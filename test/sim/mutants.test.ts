import { describe, expect, test } from "vitest";
import { CONTROLS, MUTANTS } from "../mutants/catalogue.mjs";
import { applyEdit, mutate, readSources } from "../mutants/plant.mjs";

/** The hunt itself is `npm run mutants`; here only that every bug can still be planted. */
describe("every planted bug fits the sources as they are", () => {
  const sources = readSources();
  test.each([...MUTANTS, ...CONTROLS].map((mutant) => [mutant.id, mutant] as const))("%s", (_id, mutant) => {
    const changed = mutate(sources, mutant);
    expect(mutant.edits.length).toBeGreaterThan(0);
    for (const { file } of mutant.edits) expect(changed.get(file)).not.toBe(sources.get(file));
  });
});

test("an edit must match exactly once", () => {
  const edit = { file: "x.ts", find: "b", replace: "c" };
  expect(applyEdit("abd", edit)).toBe("acd");
  expect(() => applyEdit("ad", edit)).toThrow("does not contain");
  expect(() => applyEdit("abb", edit)).toThrow("more than once");
});
