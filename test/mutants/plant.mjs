/**
 * Builds a copy of the sources with edits applied, in a folder of its own. The product's sources are never touched.
 */
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const root = fileURLToPath(new URL("../..", import.meta.url));
/** Everything the simulator runs, and nothing else. */
export const SIMULATED_ROOMS = ["base", "check", "config", "coordinator", "replica", "sim", "txn", "wire", "zab"];
/** What tests need beside src. */
const BESIDE = ["bin", "test", "proto", "scripts", "jepsen-like", "package.json", "tsconfig.json", "vitest.config.ts"];

/** By path inside src; without `rooms` all of them. */
export function readSources(rooms = undefined) {
  const sources = new Map();
  const walk = (folder) => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) walk(path);
      else sources.set(relative(join(root, "src"), path), readFileSync(path, "utf8"));
    }
  };
  if (rooms === undefined) walk(join(root, "src"));
  else for (const room of rooms) walk(join(root, "src", room));
  return sources;
}

/** What these test files or folders hold, and what tests share. */
export function readTests(files) {
  const found = new Map();
  const walk = (path) => {
    if (statSync(path).isDirectory()) for (const name of readdirSync(path)) walk(join(path, name));
    else found.set(relative(root, path), readFileSync(path, "latin1"));
  };
  for (const path of [...files, "test/support", "test/testing", "test/conformance"]) walk(join(root, path));
  return found;
}

/** The source with one edit. Throws when the text to replace does not occur exactly once. */
export function applyEdit(source, { file, find, replace }) {
  const first = source.indexOf(find);
  if (first < 0) throw new Error(`src/${file} does not contain: ${find}`);
  if (source.indexOf(find, first + 1) >= 0) throw new Error(`src/${file} contains more than once: ${find}`);
  return source.slice(0, first) + replace + source.slice(first + find.length);
}

/** The sources with all edits of a mutant. Throws, with the mutant's id, when one cannot be made. */
export function mutate(sources, mutant) {
  const changed = new Map(sources);
  for (const edit of mutant.edits) {
    const source = changed.get(edit.file);
    if (source === undefined) throw new Error(`mutant ${mutant.id} cannot be planted: src/${edit.file} does not exist`);
    try {
      changed.set(edit.file, applyEdit(source, edit));
    } catch (error) {
      throw new Error(`mutant ${mutant.id} cannot be planted: ${error.message}`);
    }
  }
  return changed;
}

/** Whether every edit of a mutant is in one of these rooms. */
export function isWithin(mutant, rooms) {
  return mutant.edits.every(({ file }) => rooms.includes(file.split("/")[0]));
}

/** Equal for equal sources. */
export function digestOf(sources) {
  const hash = createHash("sha256");
  for (const path of [...sources.keys()].sort()) hash.update(`${path}\0${sources.get(path)}\0`);
  return hash.digest("hex").slice(0, 16);
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

function place(write) {
  const folder = mkdtempSync(join(tmpdir(), "quorate-mutant-"));
  write(folder);
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** Writes runnable modules. Returns the folder and how to remove it. */
export function build(sources) {
  return place((folder) => {
    writeModules(sources, join(folder, "src"));
    cpSync(join(root, "package.json"), join(folder, "package.json"));
  });
}

/** Writes these sources as they are, with all tests beside them, and the program built of them. Returns the folder and how to remove it. */
export function buildTested(sources) {
  return place((folder) => {
    for (const name of BESIDE) cpSync(join(root, name), join(folder, name), { recursive: true });
    writeModules(sources, join(folder, "dist/src"));
    for (const [path, source] of sources) {
      const target = join(folder, "src", path);
      mkdirSync(dirname(target), { recursive: true });
      writeFileSync(target, source);
    }
  });
}

function writeModules(sources, folder) {
  for (const [path, source] of sources) {
    const target = join(folder, path.replace(/\.ts$/, ".js"));
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, path.endsWith(".ts") ? transpile(source) : source);
  }
}
