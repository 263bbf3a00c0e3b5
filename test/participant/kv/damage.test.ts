/**
 * LevelDB opens without an error after a bit of its log flipped, and with nothing in it after its log is gone. These tests damage the
 * files of a closed store in every such way: it must then either refuse to start, or still hold every single promise.
 */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { newGid, Prng } from "../../../src/base/index.js";
import { kv, kvPayload } from "../../../src/participant/kv/index.js";
import type { BranchRef } from "../../../src/participant/index.js";

const random = new Prng("damage");
const CLUSTER = "cluster";
let root: string;
let original: string;
/** One group before the last one of `original`. */
let earlier: string;
const prepared: BranchRef[] = [];
const committed: BranchRef[] = [];
let copies = 0;

const at = (dir: string) => kv({ name: "bank", dir });
const copy = (): string => {
  const to = join(root, `copy-${++copies}`);
  cpSync(original, to, { recursive: true });
  return to;
};
const files = (dir: string, pattern: RegExp): string[] =>
  readdirSync(join(dir, "level"))
    .filter((name) => pattern.test(name))
    .map((name) => join(dir, "level", name))
    .sort((a, b) => statSync(b).size - statSync(a).size);

/** Opens a damaged store: "refused" with the reason, or "whole" when nothing is missing. Anything else fails the test. */
async function verdict(dir: string): Promise<string> {
  const bank = at(dir);
  try {
    await bank.start(CLUSTER);
  } catch (error) {
    await bank.close();
    expect((error as { code?: string }).code).toBe("QUORATE_DATA_FOLDER");
    return `refused: ${(error as Error).message}`;
  }
  try {
    expect((await bank.listInDoubt()).length).toBe(prepared.length);
    for (const ref of prepared) expect((await bank.branch(ref)).state).toBe("prepared");
    for (const ref of committed) expect((await bank.branch(ref)).state).toBe("committed");
    for (let i = 0; i < committed.length; i++) expect(await bank.get(`committed-${i}`)).toBe(i);
    return "whole";
  } finally {
    await bank.close();
  }
}

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "quorate-kv-damage-"));
  original = join(root, "original");
  earlier = join(root, "earlier");
  const bank = at(original);
  await bank.start(CLUSTER);
  for (let i = 0; i < 60; i++) {
    const ref = { gid: newGid(1000 + i, random.uint32), branch: "b" };
    const payload = kvPayload([
      { op: "put", key: i % 2 === 0 ? `committed-${i / 2}` : `prepared-${i}`, value: Math.floor(i / 2) },
      { op: "put", key: `filler-${i}`, value: "x".repeat(1200) },
    ]);
    expect((await bank.prepare({ ...ref, payload, epoch: 1 })).vote).toBe("yes");
    if (i % 2 === 0) {
      await bank.commit(ref);
      committed.push(ref);
    } else prepared.push(ref);
    if (i === 58) cpSync(original, earlier, { recursive: true });
  }
  await bank.close();
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

describe("a damaged store", () => {
  test("is whole when nothing was damaged", async () => {
    expect(await verdict(copy())).toBe("whole");
  });

  test("never loses a promise in silence when one bit of LevelDB's log flips", async () => {
    const verdicts: string[] = [];
    const size = statSync(files(copy(), /\.log$/)[0] as string).size;
    expect(size).toBeGreaterThan(30_000);
    for (let i = 0; i < 24; i++) {
      const dir = copy();
      const [log] = files(dir, /\.log$/) as [string];
      const bytes = readFileSync(log);
      const where = Math.floor((size * (i + random.float())) / 24);
      bytes[where] = (bytes[where] as number) ^ (1 << random.int(0, 7));
      writeFileSync(log, bytes);
      verdicts.push(await verdict(dir));
      rmSync(dir, { recursive: true });
    }
    // The log is full of records: nearly every flip must be seen, and none may pass with something missing (verdict checks that).
    expect(verdicts.filter((each) => each !== "whole").length).toBeGreaterThan(20);
  });

  test("is refused when its log is cut, emptied or gone", async () => {
    for (const damage of [
      (log: string) => truncateSync(log, statSync(log).size - 10),
      (log: string) => truncateSync(log, statSync(log).size >> 1),
      (log: string) => truncateSync(log, 0),
      (log: string) => rmSync(log),
    ]) {
      const dir = copy();
      damage(files(dir, /\.log$/)[0] as string);
      expect(await verdict(dir)).toMatch(/refused: .*(lost|damaged)/);
    }
  });

  test("is refused when LevelDB's folder is gone, or is an older copy", async () => {
    const gone = copy();
    rmSync(join(gone, "level"), { recursive: true });
    expect(await verdict(gone)).toMatch(/refused: .*LevelDB lost its head, and \d+ groups were promised/);
    const mixed = copy();
    rmSync(join(mixed, "level"), { recursive: true });
    const other = at(join(root, "other"));
    await other.start(CLUSTER);
    await other.close();
    cpSync(join(root, "other", "level"), join(mixed, "level"), { recursive: true });
    expect(await verdict(mixed)).toMatch(/refused: .*promise file belongs to another store/);
    const older = copy();
    rmSync(join(older, "level"), { recursive: true });
    cpSync(join(earlier, "level"), join(older, "level"), { recursive: true });
    expect(await verdict(older)).toMatch(/refused: .*LevelDB lost synced writes without an error: \d+ groups were promised, it has \d+/);
  });

  test("is refused when the promise file is gone or damaged in both slots, and starts when one slot is torn", async () => {
    const gone = copy();
    rmSync(join(gone, "promise"));
    expect(await verdict(gone)).toMatch(/refused: .*the promise file is gone/);
    const flip = (dir: string, offsets: readonly number[]): void => {
      const bytes = readFileSync(join(dir, "promise"));
      for (const offset of offsets) bytes[offset] = (bytes[offset] as number) ^ 1;
      writeFileSync(join(dir, "promise"), bytes);
    };
    const both = copy();
    flip(both, [22, 4096 + 22]);
    expect(await verdict(both)).toMatch(/refused: .*neither of its slots is intact/);
    for (const offset of [22, 4096 + 22]) {
      const one = copy();
      flip(one, [offset]);
      expect(await verdict(one)).toBe("whole");
    }
  });

  test("is found out in sorted tables too", async () => {
    // Opening a store moves its log into a sorted table.
    const compacted = copy();
    expect(await verdict(compacted)).toBe("whole");
    expect(await verdict(compacted)).toBe("whole");
    const [table] = files(compacted, /\.ldb$/) as [string];
    const { size } = statSync(table);
    let refused = 0;
    for (let i = 0; i < 16; i++) {
      const dir = join(root, `table-${i}`);
      cpSync(compacted, dir, { recursive: true });
      const [file] = files(dir, /\.ldb$/) as [string];
      const bytes = readFileSync(file);
      const where = Math.floor((size * (i + random.float())) / 16);
      bytes[where] = (bytes[where] as number) ^ (1 << random.int(0, 7));
      writeFileSync(file, bytes);
      if ((await verdict(dir)) !== "whole") refused++;
      rmSync(dir, { recursive: true });
    }
    expect(refused).toBeGreaterThan(8);
  });
});
