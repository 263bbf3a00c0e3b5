import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { isQuorateError, nodeId, Prng } from "../../src/base/index.js";
import { nodeDisk, settled } from "../../src/storage/disk.js";
import { EpochsFile } from "../../src/storage/epochs-file.js";
import { LOG_POSITION_ZERO, noFailpoint } from "../../src/storage/identity.js";
import { SlotFile } from "../../src/storage/slot-file.js";
import type { SlotShape } from "../../src/storage/slot-file.js";
import { CrashDisk } from "./crash-disk.js";
import { cleanTemporaryFolders, CONFIGURATION, FIRST_EPOCHS, IDENTITY, temporaryFolder } from "./log-harness.js";

cleanTemporaryFolders();

const TWO: SlotShape = { copies: 2, copyBytes: 4096 };

async function fileWith(texts: readonly string[]): Promise<string> {
  const path = join(temporaryFolder(), "epochs");
  const file = await SlotFile.create(path, nodeDisk, TWO, "first");
  for (const text of texts) await settled((done) => file.write(text, done));
  await file.close();
  return path;
}

async function read(path: string) {
  const { file, content } = await SlotFile.open(path, nodeDisk, TWO);
  await file.close();
  return content;
}

/** Where copy `copy` of slot `slot` starts. */
const place = (slot: number, copy: number): number => 4096 * (copy * 2 + slot);

function damage(path: string, ...places: number[]): void {
  const bytes = readFileSync(path);
  for (const at of places) bytes[at + 700] = (bytes[at + 700] ?? 0) ^ 2;
  writeFileSync(path, bytes);
}

describe("a record in two slots of two copies", () => {
  test("reads back the last write", async () => {
    const path = await fileWith(["a", "b", "c".repeat(3000)]);
    expect(await read(path)).toMatchObject({ text: "c".repeat(3000), newerMayBeLost: false, findings: [] });
  });

  test("any one damaged copy loses nothing and is named", async () => {
    for (const slot of [0, 1]) {
      for (const copy of [0, 1]) {
        const path = await fileWith(["a", "b"]);
        damage(path, place(slot, copy));
        const content = await read(path);
        expect(content).toMatchObject({ text: "b", newerMayBeLost: false });
        expect(content.findings).toEqual([expect.stringContaining(`slot ${slot} copy ${copy}`)]);
      }
    }
  });

  test("both copies of the newest slot damaged: the older record is returned, and that a newer one may be lost", async () => {
    const path = await fileWith(["a", "b"]); // first, first, a, b: b is generation 4, in slot 0
    damage(path, place(0, 0), place(0, 1));
    expect(await read(path)).toMatchObject({ text: "a", newerMayBeLost: true });
  });

  test("every copy damaged: nothing is returned", async () => {
    const path = await fileWith(["a"]);
    damage(path, place(0, 0), place(0, 1), place(1, 0), place(1, 1));
    expect(await read(path)).toMatchObject({ text: undefined, newerMayBeLost: true });
  });

  test("a crash in the middle of a write yields the old record or the new one, and never doubt", async () => {
    const random = new Prng("slots");
    const seen = new Set<string | undefined>();
    for (let round = 0; round < 300; round++) {
      const path = await fileWith([`old ${round} ${"x".repeat(2500)}`]);
      const root = path.slice(0, -"/epochs".length);
      const disk = new CrashDisk(root);
      const { file } = await SlotFile.open(path, disk, TWO);
      const written = settled((done) => file.write(`new ${round} ${"y".repeat(random.int(0, 2900))}`, done));
      const image = disk.image(temporaryFolder(), "sectors", random);
      await written;
      await file.close();
      const content = await read(join(image, "epochs"));
      expect(content.newerMayBeLost, content.findings.join("; ")).toBe(false);
      expect(content.text?.slice(0, 3)).toMatch(/old|new/);
      seen.add(content.text?.slice(0, 3));
    }
    expect(seen).toEqual(new Set(["old", "new"]));
  });

  test("a record that does not fit is refused, and the next write works", async () => {
    const path = await fileWith([]);
    const { file } = await SlotFile.open(path, nodeDisk, TWO);
    await expect(settled((done) => file.write("z".repeat(5000), done))).rejects.toThrow("does not fit");
    await settled((done) => file.write("fits", done));
    await file.close();
    expect((await read(path)).text).toBe("fits");
  });
});

describe("the epochs record", () => {
  test("holds a configuration of seven members with the longest addresses, twice", async () => {
    const host = (id: number) => `${"a".repeat(60)}.${"b".repeat(60)}.${"c".repeat(60)}.${"d".repeat(60)}.n${id}:65535`;
    const members = [1, 2, 3, 4, 5, 6, 7].map((id) => ({
      id: nodeId(id),
      peerAddress: host(id),
      clientAddress: host(id),
      role: "voter" as const,
    }));
    const version = { epoch: 4_000_000_000, counter: Number.MAX_SAFE_INTEGER };
    const record = {
      acceptedEpoch: 4_000_000_000,
      currentEpoch: 4_000_000_000,
      configuration: { current: { version, members }, next: { version, members } },
      damage: "log" as const,
    };
    const path = join(temporaryFolder(), "epochs");
    await EpochsFile.create(path, nodeDisk, IDENTITY, record);
    const { file, loaded } = await EpochsFile.open(path, nodeDisk, IDENTITY, noFailpoint);
    expect(loaded.record).toEqual(record);
    await file.close();
  });

  test("with every copy unreadable, the start is refused with the file and the fix", async () => {
    const path = join(temporaryFolder(), "epochs");
    await EpochsFile.create(path, nodeDisk, IDENTITY, { ...FIRST_EPOCHS, configuration: CONFIGURATION });
    writeFileSync(path, Buffer.alloc(readFileSync(path).length));
    const error: unknown = await EpochsFile.open(path, nodeDisk, IDENTITY, noFailpoint).catch((caught: unknown) => caught);
    expect(isQuorateError(error) && error.code).toBe("QUORATE_DATA_FOLDER");
    expect(String(error)).toContain(path);
    expect(String(error)).toContain("Move the whole data folder away");
  });

  test("is unchanged in memory until it is on disk", async () => {
    const root = temporaryFolder();
    const path = join(root, "epochs");
    await EpochsFile.create(path, nodeDisk, IDENTITY, FIRST_EPOCHS);
    const { file } = await EpochsFile.open(path, new CrashDisk(root), IDENTITY, noFailpoint);
    const written = settled((done) => file.write({ ...FIRST_EPOCHS, acceptedEpoch: 7 }, LOG_POSITION_ZERO, done));
    expect(file.record.acceptedEpoch).toBe(0);
    await written;
    expect(file.record.acceptedEpoch).toBe(7);
    await file.close();
  });
});
