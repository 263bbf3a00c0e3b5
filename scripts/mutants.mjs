/**
 * `npm run mutants`: plants each bug of test/mutants/catalogue.mjs in a copy of the sources and lets the simulator look for it.
 *
 * Prints one row for each: the rule it breaks, what noticed it, after how many seeds. Exits with 1 when one stays unnoticed, or when
 * the sources without any bug do not hold.
 *
 * Options: --seeds N at most for each (default 300), --from N (default 1), --only 1,4,7, --write FILE to keep the table.
 */
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { CONTROLS, MUTANTS } from "../test/mutants/catalogue.mjs";
import { build, mutate, readSources } from "../test/mutants/plant.mjs";

const { values } = parseArgs({
  options: {
    seeds: { type: "string" },
    from: { type: "string" },
    only: { type: "string" },
    write: { type: "string" },
    child: { type: "string" },
  },
});
const seeds = Number(values.seeds ?? 300);
const from = Number(values.from ?? 1);
/** Seeds the unchanged sources must hold for, so that red means the bug. */
const CLEAN_SEEDS = 20;

/** In the child: runs seeds until one fails. */
async function search(folder) {
  const { runBatch } = await import(pathToFileURL(join(folder, "src/sim/index.js")).href);
  const result = runBatch({ from, seeds, failuresMax: 1, clock: () => performance.now() });
  const [failure] = result.failures;
  const found = failure && {
    seed: failure.seed,
    invariant: failure.violation.invariant,
    message: failure.violation.message.split("\n")[0],
  };
  process.stdout.write(JSON.stringify({ seeds: result.seeds, found }));
}

/** A mutant may loop for ever or exhaust memory: it runs in a process of its own. */
function hunt(folder, count) {
  return new Promise((resolve) => {
    const args = [fileURLToPath(import.meta.url), "--child", folder, "--seeds", String(count), "--from", String(from)];
    const child = spawn(process.execPath, ["--max-old-space-size=1500", ...args], { stdio: ["ignore", "pipe", "inherit"] });
    let text = "";
    const timer = setTimeout(() => child.kill("SIGKILL"), 10 * 60_000);
    child.stdout.on("data", (chunk) => (text += chunk));
    child.on("exit", (code, signal) => {
      clearTimeout(timer);
      if (text !== "") resolve(JSON.parse(text));
      else
        resolve({ seeds: 0, found: { seed: from, invariant: signal === "SIGKILL" ? "never ends" : "process", message: `exit ${code}` } });
    });
  });
}

async function main() {
  const sources = readSources();
  for (const control of [{ id: "none", rule: "The sources as they are.", edits: [] }, ...CONTROLS]) {
    const planted = build(mutate(sources, control));
    const { seeds: held, found } = await hunt(planted.folder, CLEAN_SEEDS);
    planted.remove();
    if (found !== undefined) {
      console.log(`${control.rule} Seed ${found.seed} must hold but fails: ${found.invariant}: ${found.message}`);
      return 1;
    }
    console.log(`  -  holds for ${held} seeds: ${control.rule}`);
  }
  const wanted = values.only?.split(",");
  const rows = [];
  for (const mutant of MUTANTS) {
    if (wanted !== undefined && !wanted.includes(mutant.id)) continue;
    const planted = build(mutate(sources, mutant));
    const { seeds: tried, found } = await hunt(planted.folder, seeds);
    planted.remove();
    rows.push({ mutant, tried, found });
    console.log(
      `${mutant.id.padStart(3)}  ${found === undefined ? `ALIVE after ${tried} seeds` : `caught in seed ${tried}: ${found.invariant}`}  ${mutant.rule}`,
    );
    if (found !== undefined) console.log(`     ${found.message.slice(0, 180)}`);
  }
  const alive = rows.filter(({ found }) => found === undefined);
  console.log(`${rows.length - alive.length} of ${rows.length} planted bugs were caught`);
  if (values.write !== undefined) writeFileSync(values.write, table(rows));
  return alive.length === 0 && rows.length > 0 ? 0 : 1;
}

function table(rows) {
  const lines = rows.map(
    ({ mutant, tried, found }) =>
      `| ${mutant.id} | ${mutant.rule} | ${found === undefined ? "nothing" : found.invariant} | ${found === undefined ? `alive after ${tried}` : tried} |`,
  );
  return [
    "# Planted bugs",
    "",
    "Written by `npm run mutants -- --write`. Each row is a rule of the protocol that was broken on purpose in a copy of the sources; the",
    "simulator had to notice. Seeds count from the first one tried; fewer is sooner.",
    "",
    "| | rule broken | noticed by | seeds |",
    "|---|---|---|---|",
    ...lines,
    "",
  ].join("\n");
}

if (values.child !== undefined) await search(values.child);
else process.exitCode = await main();
