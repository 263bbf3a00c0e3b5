import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { FLIP_TARGETS, flipBit } from "../../jepsen-like/disk/bit-flip.js";
import { nodeId, Prng } from "../../src/base/index.js";
import { openStorage } from "../../src/storage/index.js";
import { bootstrapConfiguration } from "../../src/config/index.js";

let dir = "";
beforeEach(() => void (dir = mkdtempSync(join(tmpdir(), "quorate-flip-"))));
afterEach(() => rmSync(dir, { recursive: true, force: true }));

function open(dataDir: string, bootstrap: boolean): ReturnType<typeof openStorage> {
  const nothing = (): void => undefined;
  return openStorage({
    dir: dataDir,
    clusterId: "flip",
    nodeId: nodeId(1),
    configuration: bootstrapConfiguration([{ id: nodeId(1), peerAddress: "127.0.0.1:1", clientAddress: "127.0.0.1:2", role: "voter" }]),
    bootstrap,
    segmentBytes: 1024 * 1024,
    fetchSnapshot: () => {
      throw new Error("nobody to fetch from");
    },
    onPersisted: nothing,
    onCheckpointed: nothing,
    onInstalled: nothing,
    onDamaged: nothing,
    onFatal: (error) => {
      throw error;
    },
  });
}

test("turns exactly the bit it names, in a place where something is written", () => {
  mkdirSync(join(dir, "log"));
  const before = Buffer.alloc(4096);
  before.write("promise", 2048);
  writeFileSync(join(dir, "log", "synced"), before);
  for (let seed = 0; seed < 50; seed++) {
    writeFileSync(join(dir, "log", "synced"), before);
    const flip = flipBit(dir, "mark", new Prng(String(seed)));
    const after = readFileSync(join(dir, "log", "synced"));
    expect(flip?.offset).toBeGreaterThanOrEqual(2048);
    expect(flip?.offset).toBeLessThan(2560);
    expect(before[flip?.offset ?? 0]).toBe((after[flip?.offset ?? 0] ?? 0) ^ (1 << (flip?.bit ?? 0)));
    expect(after.filter((byte, i) => byte !== before[i])).toHaveLength(1);
  }
});

test("finds nothing to turn where nothing is written", () => {
  mkdirSync(join(dir, "log"));
  writeFileSync(join(dir, "log", "0000000001.wal"), Buffer.alloc(4096));
  expect(flipBit(dir, "log", new Prng("1"))).toBeUndefined();
});

test.each(FLIP_TARGETS)("a flipped bit of the %s is noticed by a node's own storage, or does not matter to it", async (target) => {
  const dataDir = join(dir, "data");
  await (await open(dataDir, true)).close();
  const flip = flipBit(dataDir, target, new Prng(target));
  expect(flip).toBeDefined();
  const storage = await open(dataDir, false);
  const { log, findings } = storage.recovered;
  expect(findings.length > 0 || (log.entries.length === 0 && log.epochs.damage === undefined)).toBe(true);
  await storage.close();
});
