/**
 * `npm run explore`: tries every run of small worlds over the real consensus core, state machine and driver, and prints what it
 * reached. Exits with 1 when one breaks a rule, with the shortest trace.
 *
 * Options: --world NAME for one of them, --all for the large ones too, --states N at most for each (default 50000000), --depth N
 * moves at most, --mutant ID to plant a bug of test/mutants/catalogue.mjs first, --progress for a line a depth, --list.
 */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { MUTANTS } from "../test/mutants/catalogue.mjs";
import { mutate } from "../test/mutants/plant.mjs";
import { buildOpened, plant, readOpened } from "./opened.mjs";

const { values } = parseArgs({
  options: {
    world: { type: "string" },
    states: { type: "string", default: "50000000" },
    depth: { type: "string", default: "Infinity" },
    mutant: { type: "string" },
    all: { type: "boolean", default: false },
    progress: { type: "boolean", default: false },
    list: { type: "boolean", default: false },
  },
});

function sourcesToRun() {
  const sources = readOpened();
  if (values.mutant === undefined) return sources;
  const mutant = MUTANTS.find(({ id }) => id === values.mutant);
  if (mutant === undefined)
    throw new Error(`no planted bug has the id ${values.mutant}; ids are ${MUTANTS.map(({ id }) => id).join(", ")}`);
  return plant(sources, mutant, mutate);
}

function report(result, seconds) {
  const { world, states, moves, depth, exhausted, ends, marks, happened, violation } = result;
  const extent = violation !== undefined ? "stopped at a violation" : exhausted ? "exhausted" : "NOT exhausted";
  console.log(`${world}: ${states} states, ${moves} moves, depth ${depth}, ${ends} ends, ${extent}, ${seconds.toFixed(1)} s`);
  for (const [mark, count] of [...marks].sort()) console.log(`  ${mark}: ${count} states`);
  for (const [what, count] of [...happened].sort()) console.log(`  ${what}: ${count} moves`);
  if (violation === undefined) return;
  console.log(`  VIOLATION: ${violation.message}`);
  violation.trace.forEach((label, i) => console.log(`  ${String(i + 1).padStart(3)}. ${label}`));
}

const { folder, remove } = buildOpened(sourcesToRun());
try {
  const { EXPLORATIONS } = await import(pathToFileURL(join(folder, "src/explore/index.js")).href);
  const names = EXPLORATIONS.map(({ name }) => name);
  if (values.world !== undefined && !names.includes(values.world))
    throw new Error(`no world ${values.world}; worlds are ${names.join(", ")}`);
  for (const { name, large, run } of EXPLORATIONS) {
    if (values.world !== undefined && values.world !== name) continue;
    if (values.list) {
      console.log(large ? `${name} (large)` : name);
      continue;
    }
    if (large && !values.all && values.world === undefined) {
      console.log(`${name}: left out, it is large; --all runs it`);
      continue;
    }
    const started = performance.now();
    const onDepth = values.progress
      ? (depth, states, frontier) => console.log(`  depth ${depth}: ${states} states, ${frontier} of them new`)
      : undefined;
    const result = run({ statesMax: Number(values.states), depthMax: Number(values.depth), onDepth });
    report(result, (performance.now() - started) / 1000);
    if (result.violation !== undefined) process.exitCode = 1;
  }
} finally {
  remove();
}
