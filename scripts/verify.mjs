/**
 * `npm run verify`: everything that must hold before a change is taken, changing nothing. `npm run fix` changes.
 *
 * `--no-tests` leaves the tests out.
 */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const LINES_MAX = 500;
/** Tools that read a default export. */
const CONFIGS = new Set(["eslint.config.js", "vitest.config.ts"]);

const steps = [
  ["format", "prettier", ["--check", "--log-level", "warn", "."]],
  ["lint", "eslint", ["."]],
  ["types", "tsc", ["--noEmit", "-p", "tsconfig.json"]],
];

let failed = 0;
function say(name, ok, startedMs) {
  if (!ok) failed += 1;
  console.log(`${ok ? "ok    " : "FAILED"} ${name} (${((Date.now() - startedMs) / 1000).toFixed(1)} s)`);
}

for (const [name, program, args] of steps) {
  const startedMs = Date.now();
  const { status } = spawnSync(join(root, "node_modules", ".bin", program), args, { cwd: root, stdio: "inherit" });
  say(name, status === 0, startedMs);
}

const startedMs = Date.now();
const untidy = tidyProblems();
for (const problem of untidy) console.log(`  ${problem}`);
say("tidy", untidy.length === 0, startedMs);

if (!process.argv.includes("--no-tests")) {
  const testsMs = Date.now();
  const { status } = spawnSync(process.execPath, [join(root, "scripts", "test.mjs")], { cwd: root, stdio: "inherit" });
  say("tests", status === 0, testsMs);
}
process.exit(failed === 0 ? 0 : 1);

/** What the linter does not see. */
function tidyProblems() {
  const problems = [];
  for (const path of files(root)) {
    const name = relative(root, path);
    const text = readFileSync(path, "utf8");
    const code = /\.(ts|mjs|js)$/.test(name);
    const base = name.split("/").at(-1) ?? "";
    if (code && !/^[a-z0-9]+([-.][a-z0-9]+)*$/.test(base)) problems.push(`${name}: file names are kebab-case`);
    if (code && /^\s*export default\b/m.test(text) && !CONFIGS.has(name)) problems.push(`${name}: named exports only`);
    if (name.startsWith("src/") && name.endsWith(".ts") && base !== "index.ts" && !text.startsWith("/**"))
      problems.push(`${name}: says in a header comment what it decides`);
    if (name.startsWith("src/") && name.endsWith(".ts") && codeLines(text) > LINES_MAX)
      problems.push(`${name}: over ${LINES_MAX} lines of code`);
    if (/\b(describe|test|it)\.only\(/.test(text) && name.startsWith("test/")) problems.push(`${name}: .only leaves the other tests out`);
    if (!text.endsWith("\n") && text !== "") problems.push(`${name}: ends without a line break`);
  }
  return problems;
}

function codeLines(text) {
  return text
    .replace(/\/\*[\s\S]*?\*\//g, "")
    .split("\n")
    .filter((line) => line.trim() !== "" && !line.trim().startsWith("//")).length;
}

function files(folder) {
  return ["src", "test", "scripts", "bin", "jepsen-like", "docs", "proto"].flatMap((top) => walk(join(folder, top)));
}

function walk(folder) {
  let names;
  try {
    names = readdirSync(folder);
  } catch {
    return [];
  }
  return names.flatMap((name) => {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) return name === "node_modules" || name === "golden" ? [] : walk(path);
    return /\.(ts|mjs|js|md|proto|json|txt)$/.test(name) ? [path] : [];
  });
}
