import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { Level } from "level";
import { describe, expect, test } from "vitest";
import { Prng } from "../../src/base/index.js";
import type { Zxid } from "../../src/base/index.js";
import type { StateWrite } from "../../src/replica/ports.js";
import { nodeDisk } from "../../src/storage/disk.js";
import { noFailpoint } from "../../src/storage/identity.js";
import type { Failpoint } from "../../src/storage/identity.js";
import type { SnapshotChunk, SnapshotEntry } from "../../src/storage/snapshot.js";
import { createState, loadState } from "../../src/storage/state-files.js";
import { StateStore } from "../../src/storage/state-store.js";
import { setUnreadableTablesAside, tableProblem } from "../../src/storage/table-check.js";
import { cleanTemporaryFolders, temporaryFolder } from "./log-harness.js";

cleanTemporaryFolders();

const at = (counter: number): Zxid => ({ epoch: 1, counter });
const text = (value: string): Buffer => Buffer.from(value);

function paths(root: string): [string, string] {
  return [join(root, "state"), join(root, "checkpoint")];
}

async function made(): Promise<string> {
  const root = temporaryFolder();
  await createState(...paths(root), nodeDisk, 1);
  return root;
}

interface Opened {
  readonly store: StateStore;
  readonly entries: Map<string, string>;
  readonly applied: Zxid;
  readonly damaged: string[];
}

async function open(root: string, failpoint: Failpoint = noFailpoint): Promise<Opened> {
  const loaded = await loadState(...paths(root), nodeDisk);
  if (loaded.kind === "lost") throw new Error(loaded.findings.join("; "));
  const damaged: string[] = [];
  const onFatal = (error: Error): void => {
    throw error;
  };
  const store = new StateStore(loaded, failpoint, { onDamaged: (finding) => damaged.push(finding), onFatal });
  return { store, entries: mapOf(loaded.entries), applied: loaded.meta.applied, damaged };
}

function mapOf(entries: Iterable<StateWrite>): Map<string, string> {
  return new Map([...entries].map(({ key, value }) => [key, Buffer.from(value ?? []).toString()]));
}

async function chunksOf(store: StateStore, id: string): Promise<SnapshotChunk[]> {
  const chunks: SnapshotChunk[] = [];
  for await (const chunk of store.readSnapshot(id)) chunks.push(chunk);
  return chunks;
}

describe("a checkpoint", () => {
  test("survives with its zxid: keys set, replaced and removed, of any text", async () => {
    const root = await made();
    const { store } = await open(root);
    await store.checkpoint(at(1), [
      { key: "a", value: text("1") },
      { key: "b", value: text("2") },
      { key: "!meta", value: text("not the store's own") },
      { key: "ключ/\u{1f600}", value: new Uint8Array(0) },
    ]);
    await store.checkpoint(at(5), [
      { key: "a", value: text("3") },
      { key: "b", value: undefined },
      { key: "never was", value: undefined },
      { key: "c", value: Buffer.alloc(300_000, 7) },
    ]);
    expect(store.applied).toEqual(at(5));
    await store.close();
    const again = await open(root);
    expect(again.applied).toEqual(at(5));
    expect([...again.entries.keys()].sort()).toEqual(["!meta", "a", "c", "ключ/\u{1f600}"].sort());
    expect(again.entries.get("a")).toBe("3");
    expect(again.entries.get("c")?.length).toBe(300_000);
    expect(again.store.metrics().keys).toBe(4);
    await again.store.close();
  });

  test("is all or nothing: a copy of the folder taken before and after its write holds one whole checkpoint", async () => {
    const root = await made();
    const images: string[] = [];
    const { store } = await open(root, (name) => {
      if (!name.startsWith("checkpoint")) return;
      const image = temporaryFolder();
      cpSync(root, image, { recursive: true });
      images.push(image);
    });
    for (let round = 1; round <= 4; round++)
      await store.checkpoint(
        at(round),
        Array.from({ length: 200 }, (_, i) => ({ key: `k${i}`, value: text(`round ${round}`) })),
      );
    await store.close();
    expect(images).toHaveLength(8);
    for (const [i, image] of images.entries()) {
      const again = await open(image);
      const round = Math.floor((i + 1) / 2);
      expect(again.applied.counter).toBe(round);
      expect(new Set(again.entries.values())).toEqual(new Set(round === 0 ? [] : [`round ${round}`]));
      await again.store.close();
    }
  });

  test("of 100,000 keys is spread over many turns of the loop, and consumes its writes lazily", async () => {
    const root = await made();
    const { store } = await open(root);
    let turns = 0;
    let running = true;
    const count = (): void => {
      turns++;
      if (running) setImmediate(count);
    };
    setImmediate(count);
    let consumed = 0;
    const consumedAtTurn: number[] = [];
    function* writes(): Generator<StateWrite> {
      for (let i = 0; i < 100_000; i++) {
        consumed++;
        if (turns !== consumedAtTurn.length) consumedAtTurn[turns] = consumed;
        yield { key: `transaction-${i}`, value: text(`value of transaction ${i}`) };
      }
    }
    await store.checkpoint(at(9), writes());
    running = false;
    const { lastCheckpointSlices: slices } = store.metrics();
    expect(slices).toBeGreaterThan(5);
    expect(turns).toBeGreaterThanOrEqual(slices - 1);
    await store.close();
    const again = await open(root);
    expect(again.entries.size).toBe(100_000);
    await again.store.close();
  });
});

async function sourceOf(count: number, label = "key"): Promise<{ entries: SnapshotEntry[]; end: { count: number; digest: string } }> {
  const root = await made();
  const { store } = await open(root);
  await store.checkpoint(
    at(1),
    Array.from({ length: count }, (_, i) => ({ key: `${label}${i}`, value: text(`value ${i} ${"v".repeat(i % 100)}`) })),
  );
  const chunks = await chunksOf(store, store.pin().snapshotId);
  await store.close();
  const end = chunks.at(-1)?.end ?? { count: -1, digest: "" };
  return { entries: chunks.flatMap((chunk) => chunk.entries), end };
}

describe("a pinned snapshot", () => {
  test("stays as it was while checkpoints go on, and is read in bounded chunks", async () => {
    const root = await made();
    const { store } = await open(root);
    await store.checkpoint(
      at(1),
      Array.from({ length: 5000 }, (_, i) => ({ key: `k${i}`, value: Buffer.alloc(100, i) })),
    );
    const pin = store.pin();
    expect(pin).toMatchObject({ at: at(1), count: 5000 });
    const reading = store.readSnapshot(pin.snapshotId);
    const first = await reading.next();
    for (let round = 2; round < 6; round++)
      await store.checkpoint(
        at(round),
        Array.from({ length: 3000 }, (_, i) => ({ key: `k${i}`, value: round % 2 === 0 ? undefined : text("new") })),
      );
    const chunks = first.done === true ? [] : [first.value];
    for await (const chunk of reading) chunks.push(chunk);
    const entries = chunks.flatMap((chunk) => chunk.entries);
    expect(entries).toHaveLength(5000);
    expect(entries.every(({ value }) => value.length === 100)).toBe(true);
    expect(chunks.length).toBeGreaterThan(3);
    for (const chunk of chunks)
      expect(chunk.entries.reduce((sum, { key, value }) => sum + key.length + value.length, 0)).toBeLessThan(160 * 1024);
    expect(chunks.at(-1)?.end).toEqual({ count: pin.count, digest: pin.digest });
    store.release(pin.snapshotId);
    store.release(pin.snapshotId);
    await expect(store.readSnapshot(pin.snapshotId).next()).rejects.toThrow(RangeError);
    expect(store.metrics().pins).toBe(0);
    await store.close();
  });

  test("read on after its release is not cut short", async () => {
    const root = await made();
    const { store } = await open(root);
    await store.checkpoint(
      at(1),
      Array.from({ length: 4000 }, (_, i) => ({ key: `k${i}`, value: Buffer.alloc(100) })),
    );
    const pin = store.pin();
    const reading = store.readSnapshot(pin.snapshotId);
    await reading.next();
    store.release(pin.snapshotId);
    await store.checkpoint(at(2), [{ key: "k1", value: undefined }]);
    let count = 0;
    for await (const chunk of reading) count += chunk.end?.count ?? 0;
    expect(count).toBe(4000);
    await store.close();
  });
});

describe("an install", () => {
  test("replaces the whole state at once and removes the old one", async () => {
    const root = await made();
    const { store } = await open(root);
    await store.checkpoint(at(1), [{ key: "old", value: text("old") }]);
    const source = await sourceOf(700);
    const staged = await store.beginInstall(at(90));
    for (let i = 0; i < source.entries.length; i += 100) await staged.add(source.entries.slice(i, i + 100));
    expect(store.applied).toEqual(at(1));
    const installed = await staged.finish(source.end);
    if (typeof installed === "string") throw new Error(installed);
    expect(mapOf(installed).size).toBe(700);
    expect(store.applied).toEqual(at(90));
    await store.checkpoint(at(91), [{ key: "key0", value: undefined }]);
    await store.close();
    const again = await open(root);
    expect(again.applied).toEqual(at(91));
    expect(again.entries.size).toBe(699);
    expect(again.entries.has("old")).toBe(false);
    await again.store.close();
    expect(await rawKeys(root)).toBe(699 + 1);
  });

  test("interrupted anywhere before its switch leaves the old state in force, and its remains are removed", async () => {
    const source = await sourceOf(300);
    for (const stopAfter of [0, 1, 2, 3]) {
      const root = await made();
      const { store } = await open(root);
      await store.checkpoint(at(1), [{ key: "old", value: text("old") }]);
      const staged = await store.beginInstall(at(90));
      for (let i = 0; i < stopAfter; i++) await staged.add(source.entries.slice(i * 100, (i + 1) * 100));
      await store.close(); // the process ends here: nothing was abandoned or finished
      const again = await open(root);
      expect(again.applied).toEqual(at(1));
      expect([...again.entries]).toEqual([["old", "old"]]);
      const retried = await again.store.beginInstall(at(90));
      await retried.add(source.entries);
      expect(typeof (await retried.finish(source.end))).not.toBe("string");
      await again.store.close();
      expect(await rawKeys(root)).toBe(301);
    }
  });

  test.each<[string, (entries: SnapshotEntry[]) => SnapshotEntry[]]>([
    ["missing an entry", (entries) => entries.slice(1)],
    ["with a changed value", ([first, ...rest]) => [{ key: first?.key ?? "", value: text("changed") }, ...rest]],
    ["with a value under another key", ([first, ...rest]) => [{ key: "other", value: first?.value ?? text("") }, ...rest]],
    ["with an entry twice", (entries) => [...entries, ...entries.slice(0, 1)]],
  ])("of a snapshot %s is refused and changes nothing", async (_, spoil) => {
    const source = await sourceOf(20);
    const root = await made();
    const { store } = await open(root);
    await store.checkpoint(at(1), [{ key: "old", value: text("old") }]);
    const staged = await store.beginInstall(at(90));
    await staged.add(spoil(source.entries));
    expect(await staged.finish(source.end)).toContain("the snapshot should hold 20 keys");
    expect(store.applied).toEqual(at(1));
    await store.close();
    const again = await open(root);
    expect([...again.entries]).toEqual([["old", "old"]]);
    await again.store.close();
  });

  test("waits for the checkpoint under way; one asked for before the switch but run after it writes nothing and says where the state is", async () => {
    const root = await made();
    const source = await sourceOf(10);
    const late: Promise<Zxid>[] = [];
    const { store } = await open(root, (name) => {
      if (name === "install.switch.before") late.push(store.checkpoint(at(3), [{ key: "stale", value: text("v") }]));
    });
    const staged = await store.beginInstall(at(90));
    await staged.add(source.entries);
    const order: string[] = [];
    const first = store
      .checkpoint(
        at(2),
        Array.from({ length: 20_000 }, (_, i) => ({ key: `k${i}`, value: text("v") })),
      )
      .then((zxid) => order.push(`checkpoint ${zxid.counter}`));
    await Promise.all([first, staged.finish(source.end).then(() => order.push("installed"))]);
    expect(order).toEqual(["checkpoint 2", "installed"]);
    expect(await Promise.all(late)).toEqual([at(90)]);
    await store.close();
    const again = await open(root);
    expect(again.applied).toEqual(at(90));
    expect(again.entries.size).toBe(10);
    await again.store.close();
  });
});

describe("damage to the state", () => {
  /** A state of several checkpoints whose tables and log both hold something. */
  let original: Promise<string> | undefined;
  async function several(): Promise<string> {
    const copy = temporaryFolder();
    cpSync(await (original ??= makeSeveral()), copy, { recursive: true });
    return copy;
  }

  async function makeSeveral(): Promise<string> {
    const root = await made();
    const { store } = await open(root);
    const random = new Prng("several");
    for (let round = 1; round <= 30; round++) {
      await store.checkpoint(
        at(round),
        Array.from({ length: 400 }, () => {
          const key = `key${random.int(0, 3000)}`;
          return { key, value: random.chance(0.1) ? undefined : Buffer.alloc(random.int(0, 900), random.int(0, 255)) };
        }),
      );
    }
    await store.close();
    return root;
  }

  test("a bit flipped in any of LevelDB's files leaves the state whole or lost: never other, never less", async () => {
    const root = await several();
    const whole = await open(root);
    const expected = [...whole.entries].sort();
    await whole.store.close();
    const state = join(root, "state");
    const files = readdirSync(state).filter((name) => /\.ldb$|\.log$|^MANIFEST|^CURRENT$/.test(name));
    expect(files.some((name) => name.endsWith(".ldb"))).toBe(true);
    const random = new Prng("flips");
    let lost = 0;
    for (let round = 0; round < 40; round++) {
      const copy = temporaryFolder();
      cpSync(root, copy, { recursive: true });
      const path = join(copy, "state", random.pick(files));
      const bytes = readFileSync(path);
      if (bytes.length === 0) continue;
      const place = random.int(0, bytes.length - 1);
      bytes[place] = (bytes[place] ?? 0) ^ (1 << random.int(0, 7));
      writeFileSync(path, bytes);
      const found = await loadState(...paths(copy), nodeDisk);
      if (found.kind === "lost") {
        lost++;
        expect(found.findings.length).toBeGreaterThan(0);
      } else {
        expect([...mapOf(found.entries)].sort()).toEqual(expected);
        await found.db.close();
        await found.witness.close();
      }
      rmSync(copy, { recursive: true });
    }
    expect(lost).toBeGreaterThan(10);
  });

  test.each([
    ["its LevelDB log emptied", (state: string) => emptyLog(state), /meta record|reads as of|should hold/],
    ["a table missing", (state: string) => rmSync(join(state, tableOf(state))), /missing/],
    ["its CURRENT file missing", (state: string) => rmSync(join(state, "CURRENT")), /does not exist/],
    ["the folder missing", (state: string) => rmSync(state, { recursive: true }), /does not exist/],
  ])("a state with %s is lost, in words", async (_, spoil, words) => {
    const root = await several();
    spoil(join(root, "state"));
    const found = await loadState(...paths(root), nodeDisk);
    expect(found.kind).toBe("lost");
    expect(found.findings.join("\n")).toMatch(words);
  });

  test("an older copy of the state, whole in itself, is noticed by the witness", async () => {
    const root = await made();
    const before = temporaryFolder();
    const { store } = await open(root);
    await store.checkpoint(at(1), [{ key: "a", value: text("1") }]);
    await store.close();
    cpSync(join(root, "state"), join(before, "state"), { recursive: true });
    const later = await open(root);
    await later.store.checkpoint(at(2), [{ key: "a", value: text("2") }]);
    await later.store.close();
    rmSync(join(root, "state"), { recursive: true });
    cpSync(join(before, "state"), join(root, "state"), { recursive: true });
    const found = await loadState(...paths(root), nodeDisk);
    expect(found.kind).toBe("lost");
    expect(found.findings.join("\n")).toContain("written up to 1:2, but reads as of 1:1");
  });

  test.each<[string, (db: Level<string, Uint8Array>) => Promise<void>]>([
    ["a key missing", (db) => db.del("00000001/b")],
    ["a key too many", async (db) => db.put("00000001/d", (await db.get("00000001/c")).slice())],
    ["an older value of a key, whole in itself", async (db) => db.put("00000001/a", await db.get("old-a"))],
  ])("a state with %s is lost", async (_, spoil) => {
    const root = await made();
    const first = await open(root);
    await first.store.checkpoint(
      at(1),
      ["a", "b", "c"].map((key) => ({ key, value: text(`1 ${key}`) })),
    );
    await first.store.close();
    const db = new Level<string, Uint8Array>(join(root, "state"), { valueEncoding: "view" });
    const old = await db.get("00000001/a");
    await db.close();
    const second = await open(root);
    await second.store.checkpoint(at(2), [{ key: "a", value: text("2 a") }]);
    await second.store.close();
    await db.open();
    await db.put("old-a", old);
    await spoil(db);
    await db.del("old-a");
    await db.close();
    const found = await loadState(...paths(root), nodeDisk);
    expect(found.kind).toBe("lost");
    expect(found.findings.join("\n")).toMatch(/should hold 3 keys|fails its checksum/);
  });

  test("a table with a flipped bit is moved out of LevelDB's sight, and the finding names its block", async () => {
    const root = await several();
    const path = join(root, "state", tableOf(join(root, "state")));
    const bytes = readFileSync(path);
    bytes[100] = (bytes[100] ?? 0) ^ 1;
    writeFileSync(path, bytes);
    const found = await loadState(...paths(root), nodeDisk);
    expect(found.kind).toBe("lost");
    expect(found.findings.join("\n")).toContain(`${path}: the block at offset 0 fails its checksum`);
    expect(readdirSync(join(root, "state"))).toContain(`${basename(path)}.unreadable`);
  });

  test("any byte of a LevelDB table that is changed fails the table check, before LevelDB sees it", async () => {
    const folder = join(temporaryFolder(), "tables");
    const db = new Level<string, Uint8Array>(folder, { valueEncoding: "view", compression: false });
    await db.batch(Array.from({ length: 120 }, (_, i) => ({ type: "put" as const, key: `key ${i}`, value: Buffer.alloc(60, i) })));
    await (db as typeof db & { compactRange(start: string, end: string): Promise<void> }).compactRange("a", "z");
    await db.close();
    const name = tableOf(folder);
    const table = readFileSync(join(folder, name));
    expect(tableProblem(table)).toBeUndefined();
    const unnoticed: number[] = [];
    for (let place = 0; place < table.length; place++) {
      table[place] = (table[place] ?? 0) ^ 0x10;
      if (tableProblem(table) === undefined) unnoticed.push(place);
      table[place] = (table[place] ?? 0) ^ 0x10;
    }
    // Only the padding between the footer's two handles and its magic number carries nothing.
    expect(unnoticed.map((place) => place - table.length).filter((place) => place < -44 || place >= -8)).toEqual([]);
    expect(tableProblem(table.subarray(0, table.length - 1))).toBeDefined();
    writeFileSync(join(folder, name), table.subarray(0, 100));
    expect(await setUnreadableTablesAside(folder)).toHaveLength(1);
    expect(readdirSync(folder)).toContain(`${name}.unreadable`);
  });

  test("a value changed behind LevelDB's back fails the reader of a snapshot, who says so", async () => {
    const root = await made();
    const { store } = await open(root);
    await store.checkpoint(at(1), [{ key: "a", value: text("1") }]);
    await store.close();
    const db = new Level<string, Uint8Array>(join(root, "state"), { valueEncoding: "view" });
    const loaded = await loadStateBeside(db, root);
    const chunks = loaded.store.readSnapshot(loaded.store.pin().snapshotId);
    await expect(chunks.next()).rejects.toThrow("fails its checksum");
    expect(loaded.damaged).toHaveLength(1);
    await loaded.store.close();
  });
});

/** Opens the store, then overwrites a value through its own database handle before anything is pinned. */
async function loadStateBeside(unused: Level<string, Uint8Array>, root: string): Promise<{ store: StateStore; damaged: string[] }> {
  await unused.close();
  const loaded = await loadState(...paths(root), nodeDisk);
  if (loaded.kind === "lost") throw new Error("lost");
  await loaded.db.put("00000001/a", text("\0\0\0\0x"), { sync: true });
  const damaged: string[] = [];
  return {
    store: new StateStore(loaded, noFailpoint, { onDamaged: (finding) => damaged.push(finding), onFatal: () => undefined }),
    damaged,
  };
}

async function rawKeys(root: string): Promise<number> {
  const db = new Level<string, Uint8Array>(join(root, "state"), { valueEncoding: "view" });
  const keys = await db.keys().all();
  await db.close();
  return keys.length;
}

function emptyLog(state: string): void {
  for (const name of readdirSync(state).filter((each) => each.endsWith(".log"))) writeFileSync(join(state, name), "");
}

function tableOf(state: string): string {
  return readdirSync(state).find((name) => name.endsWith(".ldb")) ?? "none";
}
