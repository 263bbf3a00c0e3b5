/**
 * `npm run mutants`: plants each bug of test/mutants/catalogue.mjs in a copy of the sources and lets every net look for it.
 *
 * Prints one row for each: what noticed it, after how many seeds. Exits with 0 when the gate holds: each is noticed by something, enough
 * of them by search alone, and the sources without any bug hold for the same seeds, worlds and tests. With 1 when it does not. With 2
 * when time is over before everything was tried: what was found is kept in a temporary folder, and the next run goes on from there.
 *
 * Options: --only 5,9  these mutants;  --nets simulation,explorer,tests  these nets;  --seeds N  at most for each hunt (default 2000);
 * --starts N  hunts for each mutant, from different seeds (default 5);  --jobs N  hunts at once (default 1);  --minutes N  to spend;
 * --states N  of each world at most (default 150000);  --write  docs/mutants.md, when everything was tried;  --list.
 */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { CONTROLS, MUTANTS } from "../test/mutants/catalogue.mjs";
import * as nets from "../test/mutants/nets.mjs";
import { digestOf, mutate, readSources, readTests, SIMULATED_ROOMS } from "../test/mutants/plant.mjs";
import { document, judge, line } from "../test/mutants/report.mjs";
import { added, Results } from "../test/mutants/results.mjs";
import { plant, readOpened } from "./opened.mjs";

const { values } = parseArgs({
  options: {
    only: { type: "string" },
    nets: { type: "string", default: "simulation,explorer,tests" },
    seeds: { type: "string", default: "2000" },
    starts: { type: "string", default: "5" },
    jobs: { type: "string", default: "1" },
    minutes: { type: "string", default: "Infinity" },
    states: { type: "string", default: "150000" },
    write: { type: "boolean", default: false },
    list: { type: "boolean", default: false },
  },
});

const DOCUMENT = fileURLToPath(new URL("../docs/mutants.md", import.meta.url));
const NOTHING = { id: "none", rule: "The sources as they are.", edits: [] };
/** Hunts begin at seeds so far apart that they never meet. */
const STARTS = Array.from({ length: Number(values.starts) }, (_, index) => 1 + index * 200_000);
/** The unchanged sources run at least this far from each start, so that the batch shows something. */
const BASELINE_SEEDS_MIN = 40;
/** Above this only the very seeds that a hunt ended with. */
const BASELINE_SEEDS_MAX = 300;
const CONTROL_SEEDS = 20;
/** Where the catalogue says that random simulation cannot notice a bug, this many seeds of each hunt have to agree. */
const UNSEEN_SEEDS = 60;
const SAFETY_MS = 60_000;
const UNTESTED_ROOMS = ["bench", "cli", "demo", "explore", "sim"];

const seedsMax = Number(values.seeds);
const statesMax = Number(values.states);
const untilMs = Date.now() + Number(values.minutes) * 60_000;
const wanted = values.only === undefined ? MUTANTS : values.only.split(",").map(mutantOf);
const chosen = new Set(values.nets.split(","));
const results = new Results();
const sources = readSources();
const simulated = readSources(SIMULATED_ROOMS);
/** What the tests of any room with a bug are about: the rest is not used there. */
const tested = new Map([...sources].filter(([path]) => !UNTESTED_ROOMS.includes(path.split("/")[0])));

function mutantOf(id) {
  const mutant = MUTANTS.find((each) => each.id === id);
  if (mutant === undefined) throw new Error(`no mutant has the id ${id}; ids are ${MUTANTS.map((each) => each.id).join(", ")}`);
  return mutant;
}

const isOver = () => Date.now() >= untilMs;
const range = (from, count) => Array.from({ length: count }, (_, index) => from + index);

// ---- one piece of work each; all are kept, and done only once

/** Goes on until the bug is found, or `limit` seeds are tried; undefined: not there yet. */
async function hunt(mutant, start, limit) {
  const name = [digestOf(mutate(simulated, mutant)), mutant.id, "seeds", start];
  const before = results.get(...name);
  if (before?.found !== undefined || (before?.tried ?? 0) >= limit) return before;
  if (isOver()) return undefined;
  const tried = before?.tried ?? 0;
  const after = added(before, await nets.simulate(mutant, range(start + tried, limit - tried), untilMs));
  results.set(after, ...name);
  return after.found !== undefined || after.tried >= limit ? after : undefined;
}

async function worlds(mutant, consensus = undefined) {
  const name = [
    digestOf(plant(readOpened(), mutant, mutate)),
    mutant.id,
    "worlds",
    ...(consensus === undefined ? [] : [consensus]),
    statesMax,
  ];
  return results.get(...name) ?? (isOver() ? undefined : results.set(await nets.explore(mutant, statesMax, consensus), ...name));
}

async function tests(mutant, files = nets.testsOf(mutant)) {
  const name = [
    digestOf(mutate(tested, { ...mutant, edits: mutant.edits.filter(({ file }) => tested.has(file)) })),
    digestOf(readTests(files)),
    mutant.id,
    "tests",
  ];
  return results.get(...name) ?? (isOver() ? undefined : results.set(await nets.test(mutant, files), ...name));
}

/** The unchanged sources over the seeds of all hunts from one start. */
async function baseline(start, hunts) {
  const digest = digestOf(simulated);
  const longest = Math.max(BASELINE_SEEDS_MIN, ...hunts.filter(({ found }) => found !== undefined).map(({ tried }) => tried));
  const inARow = Math.min(BASELINE_SEEDS_MAX, longest);
  const further = new Set(hunts.flatMap(({ found }) => (found !== undefined && found.seed >= start + inARow ? [found.seed] : [])));
  let sum = results.get(digest, "none", "row", start);
  if ((sum?.tried ?? 0) < inARow) {
    if (isOver()) return undefined;
    sum = added(sum, await nets.simulate(NOTHING, range(start + (sum?.tried ?? 0), inARow - (sum?.tried ?? 0)), untilMs, Infinity));
    results.set(sum, digest, "none", "row", start);
    if (sum.tried < inARow) return undefined;
  }
  let batch = sum;
  for (const seed of further) {
    let one = results.get(digest, "none", "seed", seed);
    if (one === undefined) {
      if (isOver()) return undefined;
      one = results.set(await nets.simulate(NOTHING, [seed], untilMs, Infinity), digest, "none", "seed", seed);
    }
    batch = added(batch, one);
  }
  const vacuity = await nets.vacuityOf({ ...batch, seeds: batch.tried, safetyMs: SAFETY_MS });
  return { start, ...batch, vacuity };
}

// ---- all of it

/** Runs `tasks`, functions, some at a time; their results in order. */
async function all(tasks) {
  const out = [];
  let next = 0;
  const lane = async () => {
    while (next < tasks.length) {
      const index = next++;
      out[index] = await tasks[index]();
    }
  };
  await Promise.all(Array.from({ length: Number(values.jobs) }, lane));
  return out;
}

async function main() {
  if (values.list) {
    for (const { id, rule } of MUTANTS) console.log(`${id.padStart(9)}  ${rule}`);
    return 0;
  }
  // By name, before any time is spent: a bug that cannot be planted proves nothing.
  for (const mutant of [...MUTANTS, ...CONTROLS]) mutate(sources, mutant);

  const on = (net, mutant) => chosen.has(net) && REACH[net](mutant);
  const rows = wanted.map((mutant) => ({ mutant, hunts: on("simulation", mutant) ? [] : undefined }));
  const tasks = [];
  for (const row of rows) if (on("explorer", row.mutant)) tasks.push(async () => (row.explored = (await worlds(row.mutant)) ?? PENDING));
  for (const row of rows) if (on("tests", row.mutant)) tasks.push(async () => (row.tested = (await tests(row.mutant)) ?? PENDING));
  const limitOf = ({ unseen }) => (unseen === undefined ? seedsMax : Math.min(UNSEEN_SEEDS, seedsMax));
  // Every bug from the first seed, then every bug from the second: what is there after a while is a picture of the whole. Short
  // hunts first, so that one long hunt does not stand in the way of the rest.
  for (const limit of [60, 400, seedsMax])
    for (const [index, start] of STARTS.entries())
      for (const row of rows)
        if (row.hunts !== undefined)
          tasks.push(async () => (row.hunts[index] = (await hunt(row.mutant, start, Math.min(limit, limitOf(row.mutant)))) ?? PENDING));
  await all(tasks);

  const controls = await all(CONTROLS.map((mutant) => async () => ({ mutant, ...((await hunt(mutant, 1, CONTROL_SEEDS)) ?? PENDING) })));
  const done = rows.every(({ hunts, explored, tested }) => [explored, tested, ...(hunts ?? [])].every((result) => result !== PENDING));
  const batches = await all(
    chosen.has("simulation")
      ? STARTS.map(
          (start, index) => async () =>
            (await baseline(
              start,
              rows.flatMap(({ hunts }) => (hunts?.[index] === undefined || hunts[index] === PENDING ? [] : [hunts[index]])),
            )) ?? PENDING,
        )
      : [],
  );
  const clean = chosen.has("tests")
    ? ((await tests(NOTHING, [...new Set(rows.flatMap(({ mutant }) => nets.testsOf(mutant)))].sort())) ?? PENDING)
    : { ran: 0, failed: [] };
  const cleanWorlds = chosen.has("explorer")
    ? await all([true, false].map((consensus) => async () => (await worlds(NOTHING, consensus)) ?? PENDING))
    : [];
  const facts = {
    ...{ seedsMax, statesMax, starts: STARTS },
    ...{
      baseline: batches.filter((batch) => batch !== PENDING),
      controls,
      worlds: cleanWorlds,
      tests: clean === PENDING ? { ran: 0, failed: [] } : clean,
    },
  };
  const shown = rows.map((row) => ({
    mutant: row.mutant,
    hunts: row.hunts?.filter((result) => result !== undefined && result !== PENDING),
    explored: row.explored === PENDING ? undefined : row.explored,
    tested: row.tested === PENDING ? undefined : row.tested,
  }));
  for (const row of shown) if (row.hunts?.length === 0) row.hunts = undefined;
  const verdict = judge(shown, facts);
  for (const row of verdict.judged) console.log(line(row));
  const complete =
    done && ![...batches, ...controls, ...cleanWorlds, clean].some((result) => result === PENDING || result.pending === true);
  if (!complete) {
    console.log("Not everything was tried: run it again to go on.");
    return 2;
  }
  const whole = wanted === MUTANTS && ["simulation", "explorer", "tests"].every((net) => chosen.has(net));
  // The minimum is one of the whole catalogue.
  const problems = whole
    ? verdict.problems
    : verdict.problems.filter((problem) => !problem.includes("are needed") || problem.includes("shows nothing"));
  for (const problem of problems) console.log(`FAILED: ${problem}`);
  console.log(`${verdict.judged.length} planted bugs, ${verdict.searched.length} noticed by random simulation or the explorer`);
  if (values.write && !whole) console.log("docs/mutants.md is only written for the whole catalogue and every net.");
  else if (values.write)
    writeFileSync(DOCUMENT, document(verdict, { ...facts, commit: commitOf(), date: new Date().toISOString().slice(0, 10) }));
  return problems.length === 0 ? 0 : 1;
}

/** Stands for a result that is still to come. */
const PENDING = { pending: true };
const REACH = {
  simulation: (mutant) => nets.isSimulated(mutant),
  explorer: (mutant) => nets.isExplored(mutant),
  tests: (mutant) => nets.testsOf(mutant).length > 0,
};

function commitOf() {
  return execFileSync("git", ["rev-parse", "--short=10", "HEAD"], { cwd: fileURLToPath(new URL("..", import.meta.url)) })
    .toString()
    .trim();
}

process.exitCode = await main();
