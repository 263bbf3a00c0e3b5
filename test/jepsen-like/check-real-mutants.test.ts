/**
 * `npm run mutants:real` takes minutes; that its bugs can still be planted, and are looked for by something that exists, takes none.
 */
import { expect, test } from "vitest";
import { COMPOSITIONS, WORKLOADS } from "../../jepsen-like/run.js";
import { tally } from "../../jepsen-like/analysis/invariants.js";
import { MUTANTS } from "../mutants/catalogue.mjs";
import { mutate, readSources } from "../mutants/plant.mjs";
import { REAL_MUTANTS } from "../mutants/real.mjs";

const SOURCES = readSources();
const INVARIANTS = tally({}, []).map(({ invariant }) => invariant);

test.each(REAL_MUTANTS.map((mutant) => [mutant.id, mutant] as const))("%s can be planted", (id, mutant) => {
  const edits = mutant.edits ?? MUTANTS.find((each) => each.id === id)?.edits;
  if (edits === undefined) throw new Error(`no mutant of the catalogue has the id ${id}`);
  expect(mutate(SOURCES, { id, rule: mutant.rule, edits })).not.toEqual(SOURCES);
  expect(COMPOSITIONS.map(({ name }) => name)).toContain(mutant.composition);
  expect(WORKLOADS.map(({ name }) => name)).toContain(mutant.workload);
  expect(INVARIANTS).toEqual(expect.arrayContaining([...mutant.breaks]));
});
