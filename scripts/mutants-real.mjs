/**
 * `npm run mutants:real`: plants each bug of test/mutants/real.mjs in a copy of the program, builds it, and lets the partition tests look
 * for it: real processes, real faults.
 *
 * Prints one row for each. Exits with 1 when one stays unnoticed, when another invariant than expected is all that breaks, or when the
 * sources without the bug do not hold under the same faults. A fault that this machine cannot have is said aloud and fails its row.
 *
 * Options: --only 19,25; --seconds N of each run (default 20); --attempts N runs at most for each (default 3); --seed S (default 1).
 */
import { spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import ts from "typescript";
import { MUTANTS } from "../test/mutants/catalogue.mjs";
import { mutate, readSources } from "../test/mutants/plant.mjs";
import { REAL_MUTANTS } from "../test/mutants/real.mjs";

const { values } = parseArgs({
  options: {
    only: { type: "string" },
    seconds: { type: "string", default: "20" },
    attempts: { type: "string", default: "3" },
    seed: { type: "string", default: "1" },
  },
});
const root = fileURLToPath(new URL("..", import.meta.url));
const seconds = Number(values.seconds);
const attempts = Number(values.attempts);
/** Start, healing and reading back beside the run itself. */
const MARGIN_S = 120;

/** The whole program with these sources, as `npm run build` makes it. */
function buildProgram(sources) {
  const folder = mkdtempSync(join(tmpdir(), "quorate-mutant-"));
  const emit = (path, text) => {
    const target = join(folder, "dist", path.replace(/\.ts$/, ".js"));
    mkdirSync(dirname(target), { recursive: true });
    const compilerOptions = { target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.ESNext, verbatimModuleSyntax: true };
    writeFileSync(target, path.endsWith(".ts") ? ts.transpileModule(text, { compilerOptions }).outputText : text);
  };
  for (const [path, text] of sources) emit(join("src", path), text);
  for (const path of filesOf(join(root, "jepsen-like"))) emit(relative(root, path), readFileSync(path, "utf8"));
  for (const name of ["bin", "proto", "package.json"]) cpSync(join(root, name), join(folder, name), { recursive: true });
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  return { program: join(folder, "bin", "quorate.js"), remove: () => rmSync(folder, { recursive: true, force: true }) };
}

function filesOf(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? filesOf(path) : [path];
  });
}

/** One run: its report, or the words it ended with. */
function run(program, { composition, workload, workers = 24 }, seed) {
  const what = ["partition", "run", composition, "--workload", workload, "--workers", String(workers)];
  const args = [program, ...what, "--seconds", String(seconds), "--seed", seed, "-o", "json"];
  return new Promise((resolve) => {
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
    const timer = setTimeout(() => child.kill("SIGKILL"), (seconds + MARGIN_S) * 1000);
    let [out, said] = ["", ""];
    child.stdout.on("data", (chunk) => (out += chunk));
    child.stderr.on("data", (chunk) => (said += chunk));
    child.on("close", () => {
      clearTimeout(timer);
      try {
        resolve({ report: JSON.parse(out), said });
      } catch {
        resolve({ report: undefined, said });
      }
    });
  });
}

/** What a report says of this bug: the first expected invariant that is broken. */
function finding(report, breaks) {
  return report?.violations.find(({ invariant }) => breaks.includes(invariant));
}

/** The faults must have been felt, or a run that holds shows nothing. */
function trouble({ report, said }) {
  if (report === undefined) return `no report: ${said.trim().split("\n").at(-1) ?? ""}`;
  if (report.verdict === "invalid") return report.violations.map(({ invariant, message }) => `${invariant}: ${message}`)[0];
  if (report.composition !== "none" && report.faultsFelt === 0) return "no fault was felt";
  return undefined;
}

async function judge(mutant, clean) {
  const sound = await run(clean, mutant, `${values.seed}-clean`);
  const why = trouble(sound);
  if (why !== undefined) return { noticed: false, text: `the sources without the bug do not hold: ${why}` };
  const edits = mutant.edits ?? MUTANTS.find(({ id }) => id === mutant.id)?.edits;
  if (edits === undefined) throw new Error(`no mutant of the catalogue has the id ${mutant.id}`);
  const planted = buildProgram(mutate(readSources(), { ...mutant, edits }));
  try {
    let last = "";
    for (let attempt = 1; attempt <= attempts; attempt++) {
      const { report, said } = await run(planted.program, mutant, `${values.seed}-${attempt}`);
      const found = finding(report, mutant.breaks);
      if (found !== undefined) return { noticed: true, text: `run ${attempt}: ${found.invariant}: ${found.message}` };
      last =
        report === undefined ? said.trim().split("\n").at(-1) : `verdict ${report.verdict}, ${report.violations.length} other findings`;
    }
    return { noticed: false, text: `${attempts} runs: ${last}` };
  } finally {
    planted.remove();
  }
}

const wanted = values.only?.split(",");
const chosen = REAL_MUTANTS.filter(({ id }) => wanted === undefined || wanted.includes(id));
const clean = buildProgram(readSources());
let unnoticed = 0;
try {
  for (const mutant of chosen) {
    const { noticed, text } = await judge(mutant, clean.program);
    if (!noticed) unnoticed += 1;
    console.log(
      `${mutant.id.padEnd(20)} ${noticed ? "noticed" : "NOT NOTICED"}  ${mutant.composition}, ${mutant.workload}: ${mutant.rule}`,
    );
    console.log(`${" ".repeat(20)} ${text.split("\n")[0].slice(0, 200)}`);
  }
} finally {
  clean.remove();
}
console.log(`${chosen.length - unnoticed} of ${chosen.length} planted bugs were noticed in real processes; seed ${values.seed}`);
process.exitCode = unnoticed === 0 && chosen.length > 0 ? 0 : 1;
