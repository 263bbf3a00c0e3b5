/**
 * Builds a copy of the simulated rooms with edits applied, in a folder of its own. The product's sources are never touched.
 */
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const root = fileURLToPath(new URL("../..", import.meta.url));
/** Everything the simulator runs, and nothing else. */
const ROOMS = ["base", "check", "config", "coordinator", "replica", "sim", "txn", "wire", "zab"];

/** Transpiled once, by path inside src. */
export function readSources(rooms = ROOMS) {
  const sources = new Map();
  const walk = (folder) => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) walk(path);
      else sources.set(relative(join(root, "src"), path), readFileSync(path, "utf8"));
    }
  };
  for (const room of rooms) walk(join(root, "src", room));
  return sources;
}

/** The source with one edit. Throws when the text to replace does not occur exactly once. */
export function applyEdit(source, { file, find, replace }) {
  const first = source.indexOf(find);
  if (first < 0) throw new Error(`src/${file} does not contain: ${find}`);
  if (source.indexOf(find, first + 1) >= 0) throw new Error(`src/${file} contains more than once: ${find}`);
  return source.slice(0, first) + replace + source.slice(first + find.length);
}

/** The sources with all edits of a mutant. */
export function mutate(sources, mutant) {
  const changed = new Map(sources);
  for (const edit of mutant.edits) {
    const source = changed.get(edit.file);
    if (source === undefined) throw new Error(`src/${edit.file} does not exist`);
    changed.set(edit.file, applyEdit(source, edit));
  }
  return changed;
}

const transpiled = new Map();

function transpile(source) {
  let out = transpiled.get(source);
  if (out === undefined) {
    const options = { target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.ESNext, verbatimModuleSyntax: true };
    out = ts.transpileModule(source, { compilerOptions: options }).outputText;
    transpiled.set(source, out);
  }
  return out;
}

/** Writes runnable modules. Returns the folder and how to remove it. */
export function build(sources) {
  const folder = mkdtempSync(join(tmpdir(), "quorate-mutant-"));
  for (const [path, source] of sources) {
    const target = join(folder, "src", path.replace(/\.ts$/, ".js"));
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, path.endsWith(".ts") ? transpile(source) : source);
  }
  cpSync(join(root, "package.json"), join(folder, "package.json"));
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}
