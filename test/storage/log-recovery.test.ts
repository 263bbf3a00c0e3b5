/**
 * The log against crashes at every disk operation, against damage anywhere, and against a plain model.
 */
import { readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compareZxid, nodeId, Prng, ZXID_ZERO } from "../../src/base/index.js";
import type { PersistOp } from "../../src/zab/index.js";
import { decodeSegmentHeader, encodeSegmentHeader } from "../../src/storage/log-format.js";
import { CrashDisk } from "./crash-disk.js";
import type { Tear } from "./crash-disk.js";
import { cleanTemporaryFolders, entry, FIRST_EPOCHS, LogModel, makeLog, openHarness, temporaryFolder } from "./log-harness.js";
import type { OpenHarness } from "./log-harness.js";

cleanTemporaryFolders();

/** Turns random numbers into operations that make sense, and knows every state the log may be found in after a crash. */
class Workload {
  readonly random: Prng;
  model = new LogModel();
  /** The state after each step since `floor`; steps are finer than operations: an append may be cut between two entries. */
  history: { readonly seq: number; readonly state: LogModel }[];
  /** The state beside the log: its durable applied zxid, and whether a snapshot brought it there. */
  applied = ZXID_ZERO;
  installed = false;
  #epoch = 1;
  #seq = 0;

  constructor(random: Prng) {
    this.random = random;
    this.history = [{ seq: 0, state: this.model.clone() }];
  }

  next(): PersistOp {
    const { random, model } = this;
    this.#seq++;
    const kind = random.int(0, 99);
    if (kind < 60) {
      const previous = model.last;
      const entries = Array.from({ length: random.int(1, 6) }, (_, i) => {
        const counter = (previous.epoch === this.#epoch ? previous.counter : 0) + 1 + i;
        return entry(
          this.#epoch,
          counter,
          Uint8Array.from({ length: random.int(0, random.chance(0.1) ? 3000 : 200) }, () => random.int(0, 255)),
        );
      });
      for (const each of entries) {
        model.entries.push(each);
        this.#step();
      }
      return { kind: "append", previous, entries };
    }
    if (kind < 72) {
      const kept = model.entries.filter(({ zxid }) => compareZxid(zxid, this.applied) >= 0);
      const after = kept.length > 0 && random.chance(0.9) ? random.pick(kept).zxid : model.last;
      model.truncate(after);
      this.#epoch++; // what replaces a truncated tail carries a higher epoch
      this.#step();
      return { kind: "truncate", after };
    }
    if (kind < 76) {
      const base = { epoch: this.#epoch, counter: random.int(1, 1000) };
      this.#epoch++;
      this.applied = base;
      this.installed = true;
      model.reset(base);
      this.#step();
      return { kind: "reset", base };
    }
    if (kind < 90) {
      this.#epoch++;
      model.epochs = { ...FIRST_EPOCHS, acceptedEpoch: this.#epoch, currentEpoch: this.#epoch - 1 };
      this.#step();
      return { kind: "epochs", record: model.epochs };
    }
    const upTo = model.entries.length > 0 ? random.pick(model.entries).zxid : model.base;
    if (compareZxid(upTo, this.applied) > 0) {
      this.applied = upTo;
      this.installed = false;
    }
    this.#step();
    return { kind: "compact", upTo };
  }

  /** The recovered log must be one of the states reached since the last acknowledged operation; it becomes the model. */
  adopt(found: OpenHarness, acknowledged: number): void {
    const { base, entries } = found.opened;
    const from = this.history.findLastIndex(({ seq }) => seq <= acknowledged);
    const reasons: string[] = [];
    for (const { state } of this.history.slice(from)) {
      const difference = state.difference(base, entries, found.epochs.record);
      if (difference === undefined) {
        this.model = state.clone();
        this.#seq = 0;
        this.history = [{ seq: 0, state: this.model.clone() }];
        return;
      }
      reasons.push(difference);
    }
    throw new Error(
      `after ${acknowledged} acknowledged operations the log is in none of ${reasons.length} possible states: ${reasons.join("; ")}; ${found.opened.findings.join("; ")}`,
    );
  }

  #step(): void {
    this.history.push({ seq: this.#seq, state: this.model.clone() });
  }
}

/** Whether the operation follows a change of the state, which is made only from what is durable. */
function changesState(op: PersistOp): boolean {
  return op.kind === "compact" || op.kind === "reset";
}

describe("the log after a crash", () => {
  test("at any moment, with any unsynced sectors lost, is a state between the last acknowledged operation and the last submitted", async () => {
    let crashes = 0;
    for (let seed = 1; seed <= 40; seed++) {
      const random = new Prng(`crash ${seed}`);
      const workload = new Workload(random.fork("workload"));
      let root = temporaryFolder();
      await makeLog(root);
      for (let life = 0; life < 5; life++) {
        const disk = new CrashDisk(root);
        if (random.chance(0.3)) disk.fault = { shortWrite: () => random.int(1, 600) };
        const log = await openHarness(root, { disk, applied: workload.applied, installed: workload.installed });
        workload.adopt(log, 0);
        expect(log.damage, `seed ${seed}`).toBeUndefined();
        let submitted = 0;
        for (let i = random.int(1, 30); i > 0; i--) {
          const op = workload.next();
          if (changesState(op)) await log.until(submitted);
          submitted = log.submit(op);
          if (random.chance(0.3)) await log.until(random.int(log.completed(), submitted));
          if (random.chance(0.2)) await new Promise((resolve) => setImmediate(resolve));
        }
        expect(log.fatal()).toBeUndefined();
        const acknowledged = log.completed();
        const tear = random.pick<Tear>(["none", "all", "random", "random"]);
        const image = disk.image(temporaryFolder(), tear, random.fork("tear"));
        await log.close();
        crashes++;
        const again = await openHarness(image, { applied: workload.applied, installed: workload.installed });
        expect(again.damage, `seed ${seed} life ${life}: ${again.opened.findings.join("; ")}`).toBeUndefined();
        workload.adopt(again, acknowledged);
        await again.close();
        rmSync(root, { recursive: true });
        root = image;
      }
    }
    expect(crashes).toBe(200);
  });

  test("before every single disk operation of a life with rolls, truncations, resets and compactions, loses nothing acknowledged", async () => {
    const root = temporaryFolder();
    await makeLog(root);
    const disk = new CrashDisk(root);
    const random = new Prng("every operation");
    const workload = new Workload(random.fork("workload"));
    const images: { folder: string; acknowledged: number; submitted: number; applied: typeof ZXID_ZERO; installed: boolean }[] = [];
    const log = await openHarness(root, { disk });
    disk.beforeOperation = () => {
      for (const tear of ["none", "random"] as const) {
        const folder = disk.image(temporaryFolder(), tear, random);
        images.push({
          folder,
          acknowledged: log.completed(),
          submitted: workload.history.length,
          applied: workload.applied,
          installed: workload.installed,
        });
      }
    };
    const kinds = new Set<string>();
    for (let i = 0; i < 60; i++) {
      const op = workload.next();
      kinds.add(op.kind);
      if (changesState(op)) await log.until(i);
      const seq = log.submit(op);
      if (i % 3 === 0) await log.until(seq);
    }
    disk.beforeOperation = () => undefined;
    expect(log.fatal()).toBeUndefined();
    await log.close();
    expect([...kinds].sort()).toEqual(["append", "compact", "epochs", "reset", "truncate"]);
    expect(readdirSync(join(root, "log")).filter((name) => name.endsWith(".wal"))[0]).not.toBe("0000000001.wal");
    expect(images.length).toBeGreaterThan(200);
    for (const image of images) {
      const again = await openHarness(image.folder, image);
      expect(again.damage, again.opened.findings.join("; ")).toBeUndefined();
      const view = new Workload(random);
      view.history = workload.history.slice(0, image.submitted);
      view.adopt(again, image.acknowledged);
      await again.close();
      rmSync(image.folder, { recursive: true });
    }
  });

  test("a truncated tail does not come back, however often the node crashes right after the truncation", async () => {
    let root = temporaryFolder();
    await makeLog(root);
    const log = await openHarness(root);
    await log.until(log.submit({ kind: "append", previous: ZXID_ZERO, entries: [1, 2, 3, 4, 5].map((n) => entry(1, n)) }));
    await log.until(log.submit({ kind: "truncate", after: { epoch: 1, counter: 2 } }));
    await log.close();
    for (let life = 0; life < 3; life++) {
      const disk = new CrashDisk(root);
      const again = await openHarness(root, { disk });
      expect(again.opened.entries.map(({ zxid }) => zxid.counter)).toEqual([1, 2]);
      again.submit({ kind: "append", previous: { epoch: 1, counter: 2 }, entries: [entry(2, 1)] });
      root = disk.image(temporaryFolder(), "none", new Prng(1));
      await again.close();
    }
  });
});

test("what a start reports as the log is on disk, even after a sync that failed and left its pages clean in the cache", async () => {
  const root = temporaryFolder();
  await makeLog(root);
  const before = new CrashDisk(root);
  const log = await openHarness(root, { disk: before });
  await log.until(log.submit({ kind: "append", previous: ZXID_ZERO, entries: [entry(1, 1)] }));
  before.fault = { fail: (operation, path) => (operation === "fdatasync" && path.endsWith(".wal") ? new Error("EIO") : undefined) };
  await log.until(log.submit({ kind: "append", previous: { epoch: 1, counter: 1 }, entries: [entry(1, 2), entry(1, 3)] }));
  expect(log.fatal()).toBeDefined();
  await log.close();

  const after = new CrashDisk(root, before);
  const again = await openHarness(root, { disk: after });
  expect(again.opened.entries).toHaveLength(3); // the cache has them, so this node will say that it has them
  const image = after.image(temporaryFolder(), "none", new Prng(1));
  await again.close();
  const last = await openHarness(image);
  expect(last.opened.entries).toHaveLength(3);
  expect(last.damage).toBeUndefined();
  await last.close();
});

/** A closed log of several segments, and what it holds. */
async function closedLog(): Promise<{ root: string; counters: number[]; files: string[] }> {
  const root = temporaryFolder();
  await makeLog(root);
  const log = await openHarness(root);
  const random = new Prng("closed");
  let counter = 0;
  for (let batch = 0; batch < 12; batch++) {
    const entries = Array.from({ length: random.int(1, 5) }, (_, i) =>
      entry(
        1,
        counter + 1 + i,
        Uint8Array.from({ length: random.int(1, 900) }, () => random.int(1, 255)),
      ),
    );
    const seq = log.submit({ kind: "append", previous: counter === 0 ? ZXID_ZERO : { epoch: 1, counter }, entries });
    counter += entries.length;
    await log.until(seq);
  }
  await log.close();
  const files = readdirSync(join(root, "log"))
    .filter((name) => name.endsWith(".wal"))
    .sort();
  expect(files.length).toBeGreaterThan(2);
  return { root, counters: Array.from({ length: counter }, (_, i) => i + 1), files };
}

function copyOf(root: string): string {
  return new CrashDisk(root).image(temporaryFolder(), "none", new Prng(1));
}

/** Opens the folder and checks that what is there is a prefix, and whole unless damage is reported durably. */
async function recoversHonestly(root: string, counters: readonly number[]): Promise<{ damaged: boolean; findings: readonly string[] }> {
  const log = await openHarness(root);
  const found = log.opened.entries.map(({ zxid }) => zxid.counter);
  expect(found).toEqual(counters.slice(0, found.length));
  const damaged = log.damage === "log";
  if (!damaged) expect(found.length, log.opened.findings.join("; ")).toBe(counters.length);
  if (damaged) expect(log.opened.findings.length).toBeGreaterThan(0);
  await log.close();
  const again = await openHarness(root);
  expect(again.damage, "damage stays until it is cleared").toBe(damaged ? "log" : undefined);
  expect(again.opened.entries.map(({ zxid }) => zxid.counter)).toEqual(found);
  await again.close();
  return { damaged, findings: log.opened.findings };
}

describe("damage", () => {
  test("a bit flipped anywhere in the log's files is either harmless or reported; the log never gets shorter in silence", async () => {
    const { root, counters, files } = await closedLog();
    let damaged = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...files),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.integer({ min: 0, max: 7 }),
        async (name, share, bit) => {
          const copy = copyOf(root);
          const path = join(copy, "log", name);
          const bytes = readFileSync(path);
          const at = Math.min(bytes.length - 1, Math.floor(share * bytes.length));
          bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
          writeFileSync(path, bytes);
          if ((await recoversHonestly(copy, counters)).damaged) damaged++;
          rmSync(copy, { recursive: true });
        },
      ),
      { numRuns: 150 },
    );
    expect(damaged).toBeGreaterThan(40);
  });

  test("a log closed in order and then cut anywhere is damage: its end was marked", async () => {
    const { root, counters, files } = await closedLog();
    const last = files.at(-1) ?? "";
    const used = usedBytes(join(root, "log", last));
    for (let i = 0; i < 40; i++) {
      const copy = copyOf(root);
      truncateSync(join(copy, "log", last), 4096 + Math.floor(((used - 4096) * i) / 40));
      expect((await recoversHonestly(copy, counters)).damaged).toBe(true);
      rmSync(copy, { recursive: true });
    }
  });

  test.each(["first", "middle", "last"] as const)("a missing %s segment is damage", async (which) => {
    const { root, counters, files } = await closedLog();
    const name = { first: files[0], middle: files[1], last: files.at(-1) }[which] ?? "";
    rmSync(join(root, "log", name));
    const { damaged, findings } = await recoversHonestly(root, counters);
    expect(damaged).toBe(true);
    expect(findings.join("\n")).toMatch(/missing|starts after|newest segment/);
  });

  test("a log whose files are all gone is damage", async () => {
    const { root, counters, files } = await closedLog();
    for (const name of [...files, "synced"]) rmSync(join(root, "log", name));
    const { damaged } = await recoversHonestly(root, counters);
    expect(damaged).toBe(true);
  });

  test("the epochs record is a witness of its own: a shorter log is noticed without the mark", async () => {
    const { root, counters, files } = await closedLog();
    const log = await openHarness(root);
    await log.until(log.submit({ kind: "epochs", record: { ...FIRST_EPOCHS, acceptedEpoch: 4 } }));
    await log.close();
    rmSync(join(root, "log", "synced"));
    truncateSync(join(root, "log", files.at(-1) ?? ""), 4096);
    expect((await recoversHonestly(root, counters)).damaged).toBe(true);
  });

  test("a log cut after the node was killed idle is damage: the mark went out when the log fell idle", async () => {
    const root = temporaryFolder();
    await makeLog(root);
    const disk = new CrashDisk(root);
    const log = await openHarness(root, { disk });
    const used = async (): Promise<number> => {
      await log.until(log.submit({ kind: "append", previous: ZXID_ZERO, entries: [entry(1, 1), entry(1, 2)] }));
      return usedBytes(join(root, "log", "0000000001.wal"));
    };
    const marked = new Promise<void>((resolve) => {
      // The first mark is that of the start; the next is that of the pause after the append.
      let marks = 0;
      disk.beforeOperation = (operation, path) => {
        if (operation === "fdatasync" && path.endsWith("synced") && ++marks === 2) setImmediate(() => setImmediate(resolve));
      };
    });
    const end = await used();
    await marked;
    const image = disk.image(temporaryFolder(), "none", new Prng(1));
    await log.close();
    expect(usedBytes(join(image, "log", "0000000001.wal"))).toBe(end);
    truncateSync(join(image, "log", "0000000001.wal"), end - 1);
    expect((await recoversHonestly(image, [1, 2])).damaged).toBe(true);
  });

  test("a segment of another node is not damage: the start is refused, with both names", async () => {
    const { root, files } = await closedLog();
    const path = join(root, "log", files[1] ?? "");
    const bytes = readFileSync(path);
    const header = decodeSegmentHeader(bytes);
    if (typeof header === "string") throw new Error(header);
    encodeSegmentHeader({ ...header, nodeId: nodeId(3) }).copy(bytes);
    writeFileSync(path, bytes);
    await expect(openHarness(root)).rejects.toThrow(/belongs to node n3 of cluster "test-cluster", not to node n1/);
  });

  test("is durable in the epochs record before any file of the log changes", async () => {
    const { root, files } = await closedLog();
    const path = join(root, "log", files[0] ?? "");
    const bytes = readFileSync(path);
    bytes[5000] = (bytes[5000] ?? 0) ^ 4;
    writeFileSync(path, bytes);
    const disk = new CrashDisk(root);
    const operations: string[] = [];
    disk.beforeOperation = (operation, at) => void operations.push(`${operation} ${at.slice(root.length + 1)}`);
    const log = await openHarness(root, { disk });
    await log.close();
    expect(log.damage).toBe("log");
    const changing = operations.filter((each) => !each.startsWith("open"));
    expect(changing.slice(0, 3)).toEqual(["write epochs", "write epochs", "fdatasync epochs"]);
    expect(changing.findIndex((each) => each.includes(".wal"))).toBeGreaterThan(changing.lastIndexOf("fdatasync epochs"));
  });

  test("sets the segments after it aside, keeps them while the node is damaged and removes them once it has rebuilt", async () => {
    const { root, files } = await closedLog();
    const path = join(root, "log", files[1] ?? "");
    const bytes = readFileSync(path);
    bytes[4100] = (bytes[4100] ?? 0) ^ 1;
    writeFileSync(path, bytes);
    const log = await openHarness(root);
    const kept = log.opened.entries.at(-1)?.zxid ?? ZXID_ZERO;
    expect(readdirSync(join(root, "log")).filter((name) => name.endsWith(".damaged")).length).toBeGreaterThan(0);
    log.submit({ kind: "append", previous: kept, entries: [entry(2, 1), entry(2, 2)] });
    await log.until(log.submit({ kind: "epochs", record: { ...FIRST_EPOCHS, acceptedEpoch: 2, currentEpoch: 2 } }));
    await log.close();
    const rebuilt = await openHarness(root);
    expect(rebuilt.damage).toBeUndefined();
    expect(rebuilt.opened.entries.slice(-2).map(({ zxid }) => zxid)).toEqual([
      { epoch: 2, counter: 1 },
      { epoch: 2, counter: 2 },
    ]);
    expect(rebuilt.opened.findings).toEqual([]);
    expect(readdirSync(join(root, "log")).filter((name) => name.endsWith(".damaged"))).toEqual([]);
    await rebuilt.close();
  });
});

describe("the log beside the state", () => {
  const upTo = (n: number) => Array.from({ length: n }, (_, i) => entry(1, i + 1));

  async function logOf(n: number): Promise<string> {
    const root = temporaryFolder();
    await makeLog(root);
    const log = await openHarness(root);
    await log.until(log.submit({ kind: "append", previous: ZXID_ZERO, entries: upTo(n) }));
    await log.close();
    return root;
  }

  test("a crash between a snapshot's install and the log's reset ends with the log reset to the snapshot", async () => {
    const root = await logOf(5);
    const applied = { epoch: 3, counter: 70 };
    for (let life = 0; life < 2; life++) {
      const log = await openHarness(root, { applied, installed: true });
      expect(log.damage).toBeUndefined();
      expect(log.opened).toMatchObject({ base: applied, entries: [] });
      await log.close();
    }
  });

  test("a state checkpointed beyond the log's end is damage: the log lost entries that were durable", async () => {
    const root = await logOf(5);
    const applied = { epoch: 1, counter: 9 };
    const log = await openHarness(root, { applied });
    expect(log.damage).toBe("log");
    expect(log.opened).toMatchObject({ base: applied, entries: [] });
    await log.close();
  });

  test("a state older than the compacted log is damage, and the log starts afresh from the state", async () => {
    const root = await logOf(0);
    const log = await openHarness(root);
    for (let n = 1; n <= 40; n++)
      log.submit({
        kind: "append",
        previous: n === 1 ? ZXID_ZERO : { epoch: 1, counter: n - 1 },
        entries: [entry(1, n, Buffer.alloc(900, n))],
      });
    await log.until(log.submit({ kind: "compact", upTo: { epoch: 1, counter: 30 } }));
    await log.close();
    const whole = await openHarness(root, { applied: { epoch: 1, counter: 30 } });
    expect(whole.damage).toBeUndefined();
    expect(compareZxid(whole.opened.base, ZXID_ZERO)).toBe(1);
    expect(whole.opened.entries.at(-1)?.zxid.counter).toBe(40);
    await whole.close();
    const old = await openHarness(root, { applied: { epoch: 1, counter: 2 } });
    expect(old.damage).toBe("log");
    expect(old.opened).toMatchObject({ base: { epoch: 1, counter: 2 }, entries: [] });
    await old.close();
  });

  test("a truncation below the first remaining segment's start survives the compaction that removed its target's segment", async () => {
    const root = await logOf(0);
    const log = await openHarness(root);
    for (let n = 1; n <= 20; n++)
      log.submit({
        kind: "append",
        previous: n === 1 ? ZXID_ZERO : { epoch: 1, counter: n - 1 },
        entries: [entry(1, n, Buffer.alloc(900, n))],
      });
    log.submit({ kind: "truncate", after: { epoch: 1, counter: 3 } });
    log.submit({ kind: "append", previous: { epoch: 1, counter: 3 }, entries: [entry(2, 1), entry(2, 2)] });
    await log.until(log.submit({ kind: "compact", upTo: { epoch: 1, counter: 3 } }));
    await log.close();
    expect(readdirSync(join(root, "log"))).not.toContain("0000000001.wal");
    const again = await openHarness(root, { applied: { epoch: 1, counter: 3 } });
    expect(again.damage, again.opened.findings.join("; ")).toBeUndefined();
    expect(again.opened.base).toEqual({ epoch: 1, counter: 3 });
    expect(again.opened.entries.map(({ zxid }) => zxid)).toEqual([
      { epoch: 2, counter: 1 },
      { epoch: 2, counter: 2 },
    ]);
    await again.close();
  });
});

/** The offset after the last byte that is not zero. */
function usedBytes(path: string): number {
  const bytes = readFileSync(path);
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end--;
  return end;
}
