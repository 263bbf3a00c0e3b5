/**
 * The map of rooms, enforced: who may import whom, and through which door.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const SRC = fileURLToPath(new URL("../src", import.meta.url));

/** Everybody may import base. `types`: only with `import type`. */
const ROOMS: Readonly<Record<string, { readonly values: readonly string[]; readonly types?: readonly string[] }>> = {
  base: { values: [] },
  zab: { values: [] },
  txn: { values: [] },
  coordinator: { values: ["txn"] },
  check: { values: [] },
  wire: { values: [], types: ["zab", "txn", "coordinator", "replica"] },
  replica: { values: ["zab", "txn", "coordinator", "wire"] },
  storage: { values: [], types: ["zab", "replica"] },
  transport: { values: ["wire"], types: ["zab", "coordinator", "replica"] },
  participant: { values: ["storage"] },
  barrier: { values: ["participant"] },
  client: { values: ["wire"], types: ["txn", "coordinator", "participant"] },
  config: { values: [], types: ["zab", "coordinator", "replica"] },
  service: { values: ["client", "wire"], types: ["coordinator", "participant"] },
  http: { values: [] },
  server: {
    values: ["config", "replica", "storage", "transport", "client", "participant", "service"],
    types: ["zab", "coordinator", "wire"],
  },
  sim: {
    values: ["config", "zab", "txn", "coordinator", "replica", "wire", "check"],
    types: ["storage", "transport", "participant", "client"],
  },
  explore: { values: ["txn", "coordinator", "zab"] },
  testing: { values: ["config", "client", "participant", "server"], types: [] },
  bench: { values: ["client", "participant", "txn"], types: ["coordinator", "wire"] },
  demo: { values: ["client", "participant", "barrier", "testing"], types: ["coordinator", "txn", "wire"] },
};
/** Wires everything: may import all. */
const TOP = new Set(["cli"]);
/** Rooms that must stay a function of their inputs. */
const PURE = ["zab", "txn", "coordinator", "check", "replica", "explore"];

interface Import {
  readonly file: string;
  readonly room: string;
  readonly to: string;
  readonly typeOnly: boolean;
}

function sources(folder: string): readonly string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) return sources(path);
    return name.endsWith(".ts") ? [path] : [];
  });
}

const IMPORT = /^(?:import|export)\s+(type\s)?([^"';]*?)\s*from\s+"([^"]+)"|\bimport\("([^"]+)"\)/gm;

function importsOf(file: string): readonly Import[] {
  const text = readFileSync(file, "utf8");
  const name = relative(SRC, file);
  const room = name.includes("/") ? (name.split("/")[0] ?? "") : "";
  return [...text.matchAll(IMPORT)].map((match) => {
    const named = match[2] ?? "";
    const members =
      /^\{([\s\S]*)\}$/
        .exec(named)?.[1]
        ?.split(",")
        .filter((part) => part.trim() !== "") ?? [];
    const allTypes = members.length > 0 && members.every((part) => part.trim().startsWith("type "));
    return { file: name, room, to: match[3] ?? match[4] ?? "", typeOnly: match[1] !== undefined || allTypes };
  });
}

const FILES = sources(SRC);
const IMPORTS = FILES.flatMap(importsOf);

/** The room and the file inside it that a relative import leads to. */
function target(each: Import): { readonly room: string; readonly rest: string } | undefined {
  if (!each.to.startsWith(".")) return undefined;
  const path = relative(SRC, normalize(join(SRC, dirname(each.file), each.to)));
  const [room = "", ...rest] = path.split("/");
  return { room, rest: rest.join("/") };
}

describe("rooms", () => {
  test("every room is on the map", () => {
    const rooms = new Set(
      FILES.map((file) => relative(SRC, file))
        .filter((name) => name.includes("/"))
        .map((name) => name.split("/")[0] ?? ""),
    );
    for (const room of rooms) expect([...Object.keys(ROOMS), ...TOP], `src/${room}`).toContain(room);
  });

  test("the reader of imports sees them", () => {
    expect(IMPORTS.length).toBeGreaterThan(FILES.length);
    expect(importsOf(join(SRC, "replica/replica.ts")).filter((each) => each.to === "../zab/index.js")).toHaveLength(1);
    expect(importsOf(join(SRC, "cli/registry.ts")).some((each) => each.to === "./commands/dev.js")).toBe(true);
  });

  test("imports follow the direction of the map", () => {
    const wrong = IMPORTS.flatMap((each) => {
      const to = target(each);
      if (to === undefined || each.room === "" || TOP.has(each.room) || to.room === each.room || to.room === "base") return [];
      const allowed = ROOMS[each.room];
      const ok = allowed?.values.includes(to.room) === true || (each.typeOnly && allowed?.types?.includes(to.room) === true);
      return ok ? [] : [`${each.file} imports ${each.typeOnly ? "types of " : ""}${to.room}`];
    });
    expect(wrong).toEqual([]);
  });

  test("a room is entered by its index, or by a door that is named here", () => {
    const doors = new Set([
      "replica/ports.js",
      "config/file.js",
      "sim/cli.js",
      "participant/kv/index.js",
      "participant/mysql/index.js",
      "participant/postgres/index.js",
      "participant/contract.js",
    ]);
    const wrong = IMPORTS.flatMap((each) => {
      const to = target(each);
      if (to === undefined || to.room === each.room || each.room === "" || TOP.has(each.room)) return [];
      return to.rest === "index.js" || doors.has(`${to.room}/${to.rest}`) ? [] : [`${each.file} imports ${each.to}`];
    });
    expect(wrong).toEqual([]);
  });

  test("relative imports name the built file", () => {
    const wrong = IMPORTS.filter((each) => each.to.startsWith(".") && !each.to.endsWith(".js") && !each.to.endsWith(".json"));
    expect(wrong).toEqual([]);
  });
});

describe("a running node", () => {
  test("loads nothing after its start: its files may be replaced on disk meanwhile", () => {
    const rooms = ["base", "zab", "txn", "coordinator", "replica", "wire", "storage", "transport", "client", "service", "config", "server"];
    const lazy = FILES.filter((file) => rooms.includes(relative(SRC, file).split("/")[0] ?? "")).filter((file) =>
      /\bimport\(|\bcreateRequire\b|\brequire\(/.test(readFileSync(file, "utf8").replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "")),
    );
    expect(lazy.map((file) => relative(SRC, file))).toEqual([]);
  });
});

describe("pure rooms", () => {
  test("touch no clock, no randomness, no I/O and no promise", () => {
    const forbidden =
      /\b(async|await|Promise|EventEmitter|setTimeout|setInterval|setImmediate|queueMicrotask|performance)\b|\b(process|console)\s*[.[]|\bDate\b|Math\.random|from "node:/;
    const wrong = FILES.flatMap((file) => {
      const name = relative(SRC, file);
      if (!PURE.includes(name.split("/")[0] ?? "")) return [];
      const code = readFileSync(file, "utf8")
        .replace(/\/\*[\s\S]*?\*\//g, "")
        .replace(/\/\/.*$/gm, "")
        .replace(/"(?:[^"\\]|\\.)*"|`(?:[^`\\]|\\.)*`/g, '""');
      const match = forbidden.exec(code);
      return match === null ? [] : [`${name}: ${match[0]}`];
    });
    expect(wrong).toEqual([]);
  });
});
