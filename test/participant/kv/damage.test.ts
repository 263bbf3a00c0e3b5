/**
 * LevelDB opens without an error after a bit of its log flipped, and with nothing in it after its log is gone. These tests damage the
 * files of a closed store, LevelDB's and the log's, in every such way: it must then either refuse to start, or still hold every promise.
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
const BRANCHES = 60;
const SEGMENT_HEADER_BYTES = 4096;
let root: string;
let original: string;
/** `original` before several checkpoints: the log has been cut in front since. */
let early: string;
/** `original` one branch before its end. */
let late: string;
const prepared: BranchRef[] = [];
const committed: BranchRef[] = [];
let copies = 0;

// Some checkpoints, a LevelDB that lags behind, and a log of several files.
const at = (dir: string) => kv({ name: "bank", dir, checkpointRecords: 25, logSegmentBytes: 8 * 1024 });
const copy = (from = original): string => {
  const to = join(root, `copy-${++copies}`);
  cpSync(from, to, { recursive: true });
  return to;
};
const files = (dir: string, part: "level" | "log", pattern: RegExp): string[] =>
  readdirSync(join(dir, part))
    .filter((name) => pattern.test(name))
    .map((name) => join(dir, part, name))
    .sort((a, b) => statSync(b).size - statSync(a).size);
const segments = (dir: string): string[] => files(dir, "log", /\.wal$/).sort();
const flip = (file: string, where: number): void => {
  const bytes = readFileSync(file);
  bytes[where] = (bytes[where] as number) ^ (1 << random.int(0, 7));
  writeFileSync(file, bytes);
};
/** Where a segment's records end. */
const contentEnd = (file: string): number => {
  const bytes = readFileSync(file);
  let end = bytes.length;
  while (end > SEGMENT_HEADER_BYTES && bytes[end - 1] === 0) end--;
  return end;
};
const replace = (dir: string, part: "level" | "log", from: string): void => {
  rmSync(join(dir, part), { recursive: true });
  cpSync(join(from, part), join(dir, part), { recursive: true });
};

/** Opens a damaged store: "refused" with the reason, or "whole" when nothing is missing. Anything else fails the test. */
async function verdict(dir: string): Promise<string> {
  const bank = at(dir);
  try {
    await bank.start(CLUSTER);
  } catch (error) {
    await bank.close();
    expect((error as { code?: string }).code).toBe("QUORATE_DATA_FOLDER");
    expect((error as Error).message).toContain(dir);
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
  [original, early, late] = [join(root, "original"), join(root, "early"), join(root, "late")];
  let bank = at(original);
  await bank.start(CLUSTER);
  for (let i = 0; i < BRANCHES; i++) {
    if (i === 10) {
      await bank.close();
      cpSync(original, early, { recursive: true });
      bank = at(original);
      await bank.start(CLUSTER);
    }
    if (i === BRANCHES - 1) cpSync(original, late, { recursive: true });
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
  }
  await bank.close();
}, 60_000);
afterAll(() => rmSync(root, { recursive: true, force: true }));

describe("a store whose files are whole", () => {
  test("opens, with LevelDB behind the log and the log cut in front", async () => {
    expect(segments(original).length).toBeGreaterThan(1);
    expect(segments(original)[0]).not.toMatch(/0000000001\.wal$/);
    expect(await verdict(copy())).toBe("whole");
  });

  test("opens when LevelDB is older, as long as the log reaches down to it", async () => {
    const older = copy();
    replace(older, "level", late);
    expect(await verdict(older)).toBe("whole");
  });
});

describe("a damaged log", () => {
  test("is refused when one bit flips anywhere in its records", async () => {
    const verdicts: string[] = [];
    for (let i = 0; i < 24; i++) {
      const dir = copy();
      const file = random.pick(segments(dir));
      flip(file, random.int(SEGMENT_HEADER_BYTES, contentEnd(file) - 1));
      verdicts.push(await verdict(dir));
      rmSync(dir, { recursive: true });
    }
    // A few bytes between records mean nothing; nothing may pass with something missing (verdict checks that).
    const refused = verdicts.filter((each) => each !== "whole");
    expect(refused.length).toBeGreaterThan(18);
    for (const each of refused) expect(each).toMatch(/refused: .*the log is damaged or lost synced writes: .*\.wal/);
  });

  test("is refused when it is cut, emptied or gone, in whole or in part", async () => {
    const last = (dir: string): string => segments(dir).at(-1) as string;
    for (const damage of [
      (dir: string) => truncateSync(last(dir), contentEnd(last(dir)) - 10),
      (dir: string) => truncateSync(last(dir), SEGMENT_HEADER_BYTES),
      (dir: string) => truncateSync(last(dir), 0),
      (dir: string) => rmSync(last(dir)),
      (dir: string) => rmSync(segments(dir)[0] as string),
      (dir: string) => segments(dir).forEach((file) => rmSync(file)),
      (dir: string) => rmSync(join(dir, "log"), { recursive: true }),
    ]) {
      const dir = copy();
      damage(dir);
      expect(await verdict(dir)).toMatch(/refused: .*the log is damaged or lost synced writes/);
    }
  });

  test("is refused when it is an older copy, or another store's", async () => {
    const older = copy();
    replace(older, "log", early);
    expect(await verdict(older)).toMatch(/refused: .*the log is damaged or lost synced writes/);
    const other = at(join(root, "other"));
    await other.start(CLUSTER);
    await other.close();
    const mixed = copy();
    replace(mixed, "log", join(root, "other"));
    expect(await verdict(mixed)).toMatch(/refused: .*belongs to another store/);
  });

  test("is no worse off without its mark of what was synced", async () => {
    const dir = copy();
    rmSync(join(dir, "log", "synced"));
    expect(await verdict(dir)).toBe("whole");
  });
});

describe("a damaged LevelDB", () => {
  test("never loses a promise in silence when one bit of its log flips", async () => {
    const verdicts: string[] = [];
    const size = statSync(files(original, "level", /\.log$/)[0] as string).size;
    expect(size).toBeGreaterThan(1000);
    for (let i = 0; i < 24; i++) {
      const dir = copy();
      const [log] = files(dir, "level", /\.log$/) as [string];
      flip(log, Math.floor((size * (i + random.float())) / 24));
      verdicts.push(await verdict(dir));
      rmSync(dir, { recursive: true });
    }
    // What LevelDB loses at its end the log still has; nothing may pass with something missing (verdict checks that).
    expect(verdicts.filter((each) => each !== "whole").length).toBeGreaterThan(0);
  });

  test("is refused when it is gone, another store's, or from before the log begins", async () => {
    const gone = copy();
    rmSync(join(gone, "level"), { recursive: true });
    expect(await verdict(gone)).toMatch(/refused: .*LevelDB lost its head, and there is a log that belongs to it/);
    const older = copy();
    replace(older, "level", early);
    expect(await verdict(older)).toMatch(/refused: .*the log starts after .* the entries between are missing/);
  });

  test("is found out in sorted tables too, in their indexes and filters as well", async () => {
    // Opening a store moves LevelDB's log into a sorted table.
    const compacted = copy();
    expect(await verdict(compacted)).toBe("whole");
    expect(await verdict(compacted)).toBe("whole");
    const [table] = files(compacted, "level", /\.ldb$/) as [string];
    const { size } = statSync(table);
    // Somewhere in it, and in the last of it: index and filter are there.
    const places = Array.from({ length: 32 }, (_, i) => (i < 16 ? (size * (i + random.float())) / 16 : size - 8 - random.int(0, 1500)));
    let refused = 0;
    for (const where of places) {
      const dir = copy(compacted);
      flip(files(dir, "level", /\.ldb$/)[0] as string, Math.floor(where));
      if ((await verdict(dir)) !== "whole") refused++;
      rmSync(dir, { recursive: true });
    }
    expect(refused).toBeGreaterThan(24);
  });
});
