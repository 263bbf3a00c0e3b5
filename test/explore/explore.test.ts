/**
 * The small worlds are tried to the end on every run of the tests, and planted bugs show that the search would notice.
 */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, test } from "vitest";
import { buildOpened, open, plant, readOpened } from "../../scripts/opened.mjs";
import { must } from "../../src/base/index.js";
import type { Exploration, SearchResult } from "../../src/explore/index.js";
import { MUTANTS } from "../mutants/catalogue.mjs";
import type { Mutant } from "../mutants/catalogue.mjs";
import { mutate } from "../mutants/plant.mjs";

const SOURCES = readOpened();

function known(id: string): Mutant {
  return must(
    MUTANTS.find((mutant) => mutant.id === id),
    `mutant ${id}`,
  );
}

async function explore(names: readonly string[], statesMax: number, planted?: Mutant): Promise<ReadonlyMap<string, SearchResult>> {
  const { folder, remove } = buildOpened(planted === undefined ? SOURCES : plant(SOURCES, planted, mutate));
  try {
    const loaded = (await import(pathToFileURL(join(folder, "src/explore/index.js")).href)) as {
      readonly EXPLORATIONS: readonly Exploration[];
    };
    return new Map(
      names.map((name) => {
        const exploration = must(
          loaded.EXPLORATIONS.find((each) => each.name === name),
          `world ${name}`,
        );
        return [name, exploration.run({ statesMax, depthMax: Infinity })];
      }),
    );
  } finally {
    remove();
  }
}

describe("the small worlds", () => {
  test("every run of them keeps the rules, and all that should be reached is", async () => {
    const results = await explore(
      ["commit", "commit-read-only", "commit-failover-promised", "broadcast", "reelection", "two-of-three"],
      500_000,
    );
    const reached: Readonly<Record<string, readonly string[]>> = {
      commit: ["told commit", "told abort", "both committed", "both rolled back"],
      "commit-read-only": ["committed with a reader", "committed with readers only", "duplicate rolled back"],
      "commit-failover-promised": ["failed over", "commit after a failover", "both committed"],
      broadcast: ["leader of epoch 1", "2 entries delivered"],
      reelection: ["leader of epoch 1", "leader of epoch 2", "1 entries delivered"],
      "two-of-three": ["leader of epoch 1", "1 entries delivered"],
    };
    for (const [name, { violation, exhausted, states, marks, ends }] of results) {
      expect({ name, violation, exhausted }).toEqual({ name, violation: undefined, exhausted: true });
      expect([...marks.keys()], name).toEqual(expect.arrayContaining([...(reached[name] ?? [])]));
      expect(
        [...marks.keys()].filter((mark) => mark.startsWith("cut")),
        name,
      ).toEqual([]);
      expect(states, name).toBeGreaterThan(500);
      expect(ends, name).toBeGreaterThan(0);
    }
  });
});

test("a world with a try and a prepare keeps the rules, and all that should be reached is", async () => {
  const result = (await explore(["commit-mixed"], 500_000)).get("commit-mixed");
  expect(result).toMatchObject({ violation: undefined, exhausted: true });
  expect([...(result?.marks.keys() ?? [])]).toEqual(
    expect.arrayContaining(["told commit", "told abort", "both committed", "cancelled before it was tried", "late try refused"]),
  );
});

describe("planted bugs", () => {
  test.each([
    ["1", "broadcast", "which its disk does not have"],
    ["2", "commit", "told and not applied"],
    ["3", "broadcast", "durable on 1 of 3 nodes"],
    ["4", "broadcast", "durable on 1 of 3 nodes"],
    ["8+40", "resynchronization", "below the commit"],
    ["19", "commit-failover-abort", "its applied log says commit"],
    ["20", "commit-timeout", "told and not applied"],
    ["21", "commit-failover-inquiry", "told and not applied"],
    ["23", "commit-failover", "its applied log says nothing"],
    ["34", "commit-failover", "abort without cause"],
    ["60", "commit-delegated", "leader 1 proposes abort, the participant's row is none"],
    ["61", "commit-delegated", "sends a one-phase commit, its applied log holds no BEGIN"],
    ["62-world", "commit-delegated", "proposes abort, the participant's row is none"],
    ["63", "commit-read-only", "whose row is none is told to commit"],
    ["64", "commit-read-only", "is prepared for ever"],
    ["65", "commit-delegated", "leader 2 proposes commit, the participant's row is prepared"],
    ["70", "commit-mixed", "tried too early: leader 1 asks a, its applied log holds no BEGIN"],
    ["72", "commit-mixed", "tries first: leader 1 asks b to prepare, and a has reserved nothing"],
    ["75", "commit-failover-mixed", "tries first: leader 2 asks b to prepare, and a has reserved nothing"],
  ])("%s is found in %s", async (mutant, world, message) => {
    const result = (await explore([world], 100_000, known(mutant))).get(world);
    expect(result?.violation?.message).toContain(message);
  });

  // What ends a hopeless attempt to lead at once; without each of them somebody waits for initLimit.
  test.each([
    ["a broken connection is no sign", "zab/peer.ts", 'if (role.kind === "leading") onElectorLost(core, role, peer);', ""],
    ["everybody may still come", "zab/learner-tracker.ts", "(inOffice || leading.electors.has(id))", "true"],
    ["the dead have voted", "zab/election.ts", "  looking.received.delete(peer);\n  // The", "  // The"],
  ])("%s", async (rule, file, find, replace) => {
    const result = (await explore(["two-of-three"], 100_000, { id: rule, rule, edits: [{ file, find, replace }] })).get("two-of-three");
    expect(result?.violation?.message).toContain("waits for initLimit");
  });
});

describe("the opened copy", () => {
  test("has no private name left, and differs in nothing else", () => {
    const opened = open(SOURCES);
    for (const [path, source] of opened) {
      const before = must(SOURCES.get(path), path);
      if (path.startsWith("base/") || path.startsWith("explore/")) expect(source).toBe(before);
      else {
        expect(source.match(/^(?!\s*(?:\/\/|\*|\/\*)).*[\w.\s(]#[A-Za-z_]/gm), path).toBeNull();
        expect(source.replaceAll("private_", "#"), path).toBe(before);
      }
    }
  });
});
