import { readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { InvariantViolation, ZXID_ZERO } from "../../src/base/index.js";
import type { PersistOp } from "../../src/zab/index.js";
import { CrashDisk } from "./crash-disk.js";
import { cleanTemporaryFolders, entry, FIRST_EPOCHS, makeLog, openHarness, temporaryFolder } from "./log-harness.js";
import type { OpenHarness } from "./log-harness.js";

cleanTemporaryFolders();

const at = (counter: number) => (counter === 0 ? ZXID_ZERO : { epoch: 1, counter });

/** One append per counter in [from, to]. */
function appends(from: number, to: number, bytes = 16): PersistOp[] {
  return Array.from({ length: to - from + 1 }, (_, i) => ({
    kind: "append",
    previous: at(from + i - 1),
    entries: [entry(1, from + i, Buffer.alloc(bytes, from + i))],
  }));
}

const epochs = (acceptedEpoch: number): PersistOp => ({ kind: "epochs", record: { ...FIRST_EPOCHS, acceptedEpoch } });

async function fresh(): Promise<{ root: string; disk: CrashDisk; log: OpenHarness; trace: string[] }> {
  const root = temporaryFolder();
  await makeLog(root);
  const disk = new CrashDisk(root);
  const trace: string[] = [];
  const log = await openHarness(root, { disk });
  disk.beforeOperation = (operation, path) => {
    // The spare and the mark are written in the background, in no fixed order with the rest.
    if (!path.endsWith(".tmp") && !path.endsWith("synced")) trace.push(`${operation} ${path.slice(root.length + 1)}`);
  };
  return { root, disk, log, trace };
}

describe("group commit", () => {
  test("everything queued while a sync runs goes out as one write and one sync", async () => {
    const { log, trace } = await fresh();
    log.submit(...appends(1, 1));
    for (let n = 2; n <= 40; n++) log.submit(...appends(n, n));
    await log.until(40);
    expect(trace).toEqual([
      "write log/0000000001.wal",
      "fdatasync log/0000000001.wal",
      "write log/0000000001.wal",
      "fdatasync log/0000000001.wal",
    ]);
    expect(log.opened.writer.metrics()).toMatchObject({ batches: 2, queued: 0, syncLatency: { count: 2 } });
    await log.close();
  });

  test("nothing is acknowledged before its sync has ended, nor from inside submit", async () => {
    const { log, disk } = await fresh();
    const seen: number[] = [];
    disk.beforeOperation = (operation) => void (operation === "fdatasync" && seen.push(log.completed()));
    for (let n = 1; n <= 5; n++) {
      const seq = log.submit(...appends(n, n));
      expect(log.completed()).toBeLessThan(seq);
      await log.until(seq);
    }
    expect(seen.filter((_, i) => i < 5).every((completed, i) => completed <= i)).toBe(true);
    await log.close();
  });

  test("an epochs write waits for the appends before it, and the appends after it wait for the epochs write", async () => {
    const { log, trace } = await fresh();
    await log.until(log.submit(...appends(1, 2), epochs(3), ...appends(3, 4)));
    expect(trace).toEqual([
      "write log/0000000001.wal",
      "fdatasync log/0000000001.wal",
      "write epochs",
      "write epochs",
      "fdatasync epochs",
      "write log/0000000001.wal",
      "fdatasync log/0000000001.wal",
    ]);
    await log.close();
  });

  test("neighbouring epochs writes reach the disk as the last of them", async () => {
    const { log, trace } = await fresh();
    await log.until(log.submit(epochs(1), epochs(2), epochs(3)));
    expect(trace).toEqual(["write epochs", "write epochs", "fdatasync epochs"]);
    expect(log.epochs.record.acceptedEpoch).toBe(3);
    await log.close();
  });

  test("operations that write nothing complete too, in their place", async () => {
    const { log } = await fresh();
    const empty: PersistOp = { kind: "append", previous: ZXID_ZERO, entries: [] };
    const compact: PersistOp = { kind: "compact", upTo: ZXID_ZERO };
    const seq = log.submit(empty, compact, empty);
    expect(log.completed()).toBe(0);
    await log.until(seq);
    await log.close();
  });

  test("a record larger than a segment gets a segment of its own", async () => {
    const { root, log } = await fresh();
    await log.until(log.submit(...appends(1, 1), ...appends(2, 2, 100_000), ...appends(3, 3)));
    await log.close();
    const again = await openHarness(root);
    expect(again.opened.entries.map(({ payload }) => payload.length)).toEqual([16, 100_000, 16]);
    await again.close();
  });

  test("one append of many entries spans segments and completes once, when all of it is durable", async () => {
    const { root, log } = await fresh();
    const entries = Array.from({ length: 200 }, (_, i) => entry(1, i + 1, Buffer.alloc(300, i)));
    const seq = log.submit({ kind: "append", previous: ZXID_ZERO, entries });
    while (log.completed() === 0) {
      expect(log.completed()).toBe(0);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(log.completed()).toBe(seq);
    await log.close();
    expect(readdirSync(join(root, "log")).filter((name) => name.endsWith(".wal")).length).toBeGreaterThan(8);
    const again = await openHarness(root);
    expect(again.opened.entries.length).toBe(200);
    await again.close();
  });

  test("a new segment's name is durable before anything is appended to it", async () => {
    const { log, trace } = await fresh();
    for (let n = 1; n <= 12; n++) await log.until(log.submit(...appends(n, n, 900)));
    const first = trace.findIndex((each) => each === "write log/0000000002.wal");
    expect(first).toBeGreaterThan(0);
    expect(trace.slice(0, first)).toContain("rename log/0000000002.wal");
    expect(trace.slice(trace.indexOf("rename log/0000000002.wal"), first)).toContain("syncFolder log");
    await log.close();
  });

  test("compaction removes whole segments only, and never the one in use", async () => {
    const { root, log } = await fresh();
    for (let n = 1; n <= 30; n++) await log.until(log.submit(...appends(n, n, 900)));
    const before = log.opened.writer.metrics().segments;
    await log.until(log.submit({ kind: "compact", upTo: at(30) }));
    expect(log.opened.writer.metrics().segments).toBe(1);
    expect(before).toBeGreaterThan(5);
    await log.close();
    const again = await openHarness(root, { applied: at(30) });
    expect(again.damage).toBeUndefined();
    expect(again.opened.entries.at(-1)?.zxid).toEqual(at(30));
    await again.close();
  });
});

describe("a failing disk", () => {
  const eio = (): Error => Object.assign(new Error("EIO: i/o error"), { code: "EIO" });

  test.each(["fdatasync", "write"] as const)(
    "a failed %s of the log is fatal, is not retried, and nothing more is acknowledged",
    async (which) => {
      const { log, disk, trace } = await fresh();
      await log.until(log.submit(...appends(1, 3)));
      trace.length = 0;
      let failures = 0;
      disk.fault = { fail: (operation, path) => (operation === which && path.endsWith(".wal") && failures++ === 0 ? eio() : undefined) };
      const seq = log.submit(...appends(4, 5));
      log.submit(...appends(6, 7), epochs(9));
      await log.until(seq);
      log.submit(...appends(8, 9));
      for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
      expect(log.fatal()?.message).toContain("EIO");
      expect(log.completed()).toBe(3);
      expect(failures).toBe(1);
      expect(trace.filter((each) => each.startsWith("fdatasync"))).toHaveLength(which === "fdatasync" ? 1 : 0);
      expect(trace.filter((each) => each.includes("epochs"))).toEqual([]);
      await log.close();
    },
  );

  test("a failed epochs write is fatal and its promise does not count", async () => {
    const { log, disk } = await fresh();
    disk.fault = { fail: (operation, path) => (operation === "fdatasync" && path.endsWith("epochs") ? eio() : undefined) };
    await log.until(log.submit(epochs(5), ...appends(1, 1)));
    expect(log.fatal()?.message).toContain("EIO");
    expect(log.completed()).toBe(0);
    expect(log.epochs.record.acceptedEpoch).toBe(0);
    await log.close();
  });

  test("a full disk shows as a missing spare first, and is fatal only when the next segment is needed", async () => {
    const { log, disk } = await fresh();
    await new Promise<void>((resolve) => {
      disk.beforeOperation = (operation, path) => void (operation === "fdatasync" && path.endsWith(".tmp") && resolve());
    });
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
    await log.until(log.submit(...appends(1, 1)));
    const enospc = (): Error => Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" });
    // What was filled before can still be written: only a new file needs new space.
    disk.fault = { fail: (operation, path) => (path.endsWith(".tmp") && operation === "open" ? enospc() : undefined) };
    let n = 2;
    while (log.fatal() === undefined && n < 100) {
      await log.until(log.submit(...appends(n, n, 900)));
      n++;
    }
    expect(n).toBeGreaterThan(8); // four to a segment: the one in use, and the spare prepared before the disk was full
    expect(log.opened.writer.metrics().spareProblem).toContain("ENOSPC");
    expect(log.fatal()?.message).toContain("ENOSPC");
    await log.close();
  });

  test("a failure to remove compacted segments is fatal like any other", async () => {
    const { log, disk } = await fresh();
    for (let n = 1; n <= 12; n++) await log.until(log.submit(...appends(n, n, 900)));
    disk.fault = { fail: (operation, path) => (operation === "unlink" && path.endsWith(".wal") ? eio() : undefined) };
    await log.until(log.submit({ kind: "compact", upTo: at(12) }));
    while (log.fatal() === undefined) await new Promise((resolve) => setImmediate(resolve));
    expect(log.fatal()?.message).toContain("EIO");
    await log.close();
  });

  test("short writes are completed", async () => {
    const { root, disk, log } = await fresh();
    disk.fault = { shortWrite: () => 7 };
    await log.until(log.submit(...appends(1, 20), epochs(2)));
    await log.close();
    const again = await openHarness(root);
    expect(again.opened.entries).toHaveLength(20);
    expect(again.epochs.record.acceptedEpoch).toBe(2);
    await again.close();
  });
});

describe("a caller's mistake", () => {
  test.each<[string, PersistOp[]]>([
    ["an append that does not continue the log", appends(5, 5)],
    ["a truncation to an entry the log does not hold", [{ kind: "truncate", after: { epoch: 9, counter: 9 } }]],
    ["a compaction beyond the log's end", [{ kind: "compact", upTo: at(9) }]],
  ])("%s stops the node before anything is written", async (_, ops) => {
    const { log, trace } = await fresh();
    await log.until(log.submit(...appends(1, 2)));
    trace.length = 0;
    await log.until(log.submit(...ops));
    expect(log.fatal()).toBeInstanceOf(InvariantViolation);
    expect(trace).toEqual([]);
    await log.close();
  });
});

test("failpoints fire at their named places, in order, and one that throws stops the node", async () => {
  const root = temporaryFolder();
  await makeLog(root);
  const names: string[] = [];
  const stop = { at: "" };
  const log = await openHarness(root, {
    failpoint: (name) => {
      names.push(name);
      if (name === stop.at) throw new Error(`stopped at ${name}`);
    },
  });
  await log.until(log.submit(...appends(1, 1)));
  await log.until(log.submit({ kind: "truncate", after: ZXID_ZERO }, epochs(1)));
  expect(names).toEqual([
    ...["log.append.before", "log.append.after", "log.sync.before", "log.sync.after"],
    ...["log.truncate.before", "log.truncate.after", "log.sync.before", "log.sync.after"],
    ...["epochs.write.before", "epochs.write.after"],
  ]);
  stop.at = "log.sync.after";
  const completed = log.completed();
  await log.until(log.submit({ kind: "append", previous: ZXID_ZERO, entries: [entry(2, 1)] }));
  expect(log.fatal()?.message).toBe("stopped at log.sync.after");
  expect(log.completed()).toBe(completed);
  await log.close();
});
