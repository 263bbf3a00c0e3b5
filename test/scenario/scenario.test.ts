/**
 * Directed scenarios: each text file is played on the real code, and what happens must be, line by line, what the file says.
 *
 * SCENARIO_UPDATE=1 writes down what happens now; the difference is then read like any other change. Expectations inside a
 * scenario hold or fail either way.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { DeskWorld } from "./desk-world.js";
import { formatScript, parseScript, play, wordsOf, type Interpreter } from "./script.js";
import { ZabWorld } from "./zab-world.js";

const folder = new URL(".", import.meta.url);
const update = process.env.SCENARIO_UPDATE === "1";
const files = readdirSync(folder)
  .filter((name) => name.endsWith(".txt"))
  .sort();

/** The first line says which world: `# world: peers 3`, or `# world: desk`. */
function worldOf(text: string): Interpreter {
  const words = wordsOf((text.split("\n", 1)[0] ?? "").replace(/^# world: /, ""));
  if (words.verb === "peers") return new ZabWorld(words);
  if (words.verb === "desk") return new DeskWorld(words);
  throw new Error("the first line must be `# world: peers N` or `# world: desk`");
}

function record(text: string): string {
  return formatScript(play(parseScript(text), worldOf(text)));
}

describe("scenario", () => {
  test.each(files)("%s", (name) => {
    const file = new URL(name, folder);
    const text = readFileSync(file, "utf8");
    const now = record(text);
    if (update) writeFileSync(file, now);
    else expect(now).toBe(text);
  });

  test("every scenario expects something that is never recorded anew", () => {
    for (const name of files) expect(readFileSync(new URL(name, folder), "utf8"), name).toMatch(/^expect /m);
  });
});

describe("the interpreter", () => {
  const WORLD = "# world: peers 3\n\n";

  test("stops at a broken expectation, an unknown command and a missing rule", () => {
    expect(() => record(`${WORLD}start 1 2 3\nsettle\nexpect leader 2\n----\n`)).toThrow('`expect leader 2`: it is "3"');
    expect(() => record(`${WORLD}strat 1\n----\n`)).toThrow("`strat 1`: unknown command");
    expect(() => record(`${WORLD}start 1\n`)).toThrow("commands without a ----");
    expect(() => record("start 1\n----\n")).toThrow("the first line");
  });

  test("gives the same trace for the same script", () => {
    const script = `${WORLD}start 1 2 3\nsettle\npropose 3 a\nsettle\n----\n`;
    const once = record(script);
    expect(once).toContain("commits 1:1=a");
    expect(record(script)).toBe(once);
    expect(record(once)).toBe(once);
  });

  test("a line of the trace that is not what happens is noticed", () => {
    const once = record(`${WORLD}start 1 2 3\nsettle\n----\n`);
    expect(record(once.replace("following n3", "following n2"))).not.toBe(once.replace("following n3", "following n2"));
  });
});
