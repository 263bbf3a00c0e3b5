import { describe, expect, test } from "vitest";
import { checkConfirms, checkReserves } from "../../src/check/index.js";
import type { DecidedFact } from "../../src/check/index.js";

const SERVICES = new Set(["seats"]);

function decided(...facts: readonly Partial<DecidedFact>[]): ReadonlyMap<string, DecidedFact> {
  return new Map(
    facts.map((fact, index) => {
      const gid = `t${index + 1}`;
      return [gid, { gid, decision: "commit", zxid: `1:${index + 1}`, yes: [], reason: undefined, ...fact }];
    }),
  );
}

const row = (gid: string, effects: number, branch = "a"): { participant: string; gid: string; branch: string; effects: number } => ({
  ...{ participant: "seats", gid, branch, effects },
});
const YES = [{ branch: "a", participant: "seats" }];

describe("I7, confirmed once", () => {
  test("one confirm of each committed branch, none of an aborted one, and others are no concern of it", () => {
    const facts = decided({ yes: [...YES, { branch: "b", participant: "bank" }] }, { decision: "abort" });
    expect(checkConfirms(facts, SERVICES, [row("t1", 1), { ...row("t1", 3, "b"), participant: "bank" }])).toEqual([]);
  });

  test.each([
    ["twice", decided({ yes: YES }), [row("t1", 2)], "t1/a@seats was confirmed 2 times"],
    ["never", decided({ yes: YES }), [], "t1/a@seats was never confirmed, and 1:1 commits it"],
    ["after an abort", decided({ decision: "abort" }), [row("t1", 1)], "t1/a@seats was confirmed, and the log says abort"],
    ["without a decision", decided(), [row("t1", 1)], "t1/a@seats was confirmed, and the log says nothing"],
    ["without its yes", decided({ yes: [] }), [row("t1", 1)], "t1/a@seats was confirmed, and the log says commit"],
  ])("%s", (_, facts, rows, message) => {
    expect(checkConfirms(facts, SERVICES, rows)).toEqual([{ invariant: "I7-confirm", message }]);
  });
});

test("I8, nothing is left reserved", () => {
  expect(checkReserves([{ participant: "seats", reserved: 0 }])).toEqual([]);
  expect(checkReserves([{ participant: "seats", reserved: 7 }])).toEqual([
    { invariant: "I8-reserve", message: "seats still has 7 reserved" },
  ]);
});
