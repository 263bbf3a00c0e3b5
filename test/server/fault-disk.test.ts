import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Failpoints, parseFailpoints } from "../../src/server/failpoints.js";
import { CANARY_SYNCED, CANARY_UNSYNCED, FaultDisk } from "../../src/server/fault-disk.js";
import { HeldFile, sectorsOf } from "../../src/server/volatile-cache.js";
import { nodeDisk, type DiskDone } from "../../src/storage/index.js";

let dir = "";
let failpoints: Failpoints;
let coins: boolean[];
let disk: FaultDisk;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "quorate-fault-disk-"));
  failpoints = new Failpoints({ kill: () => undefined, log: () => undefined });
  coins = [];
  disk = new FaultDisk({ disk: nodeDisk, failpoints, dataDir: join(dir, "data"), coin: () => coins.shift() ?? false });
});

afterEach(() => rmSync(dir, { recursive: true, force: true }));

function rules(text: string): void {
  failpoints.set(parseFailpoints(text));
}

function done(start: (done: DiskDone) => void): Promise<void> {
  return new Promise((resolve, reject) => start((error) => (error === null ? resolve() : reject(error))));
}

function made(name: string): Promise<number> {
  return new Promise((resolve, reject) => disk.open(join(dir, name), "wx+", (error, fd) => (error === null ? resolve(fd) : reject(error))));
}

function write(fd: number, text: string, position = 0): Promise<void> {
  const bytes = Buffer.from(text);
  return done((then) => disk.write(fd, bytes, 0, bytes.length, position, (error) => then(error)));
}

/** What a process that is killed now would leave. */
function onDisk(name: string): string {
  return readFileSync(join(dir, name), "utf8");
}

describe("a cache that dies with the process", () => {
  test("without the rule nothing is held back", async () => {
    const fd = await made("epochs");
    await write(fd, "promise");
    expect(onDisk("epochs")).toBe("promise");
  });

  test("what was not synced is not on disk, what was is", async () => {
    rules("disk.cache=hold");
    const fd = await made("1.wal");
    await write(fd, "one ");
    await done((then) => disk.fdatasync(fd, then));
    await write(fd, "two", 4);
    expect(onDisk("1.wal")).toBe("one ");
    await done((then) => disk.fdatasync(fd, then));
    expect(onDisk("1.wal")).toBe("one two");
  });

  test("sectors whose coin says so reach the disk early and alone: a cut leaves a torn write", async () => {
    rules("disk.cache=hold");
    const fd = await made("1.wal");
    coins = [false, true, false];
    await write(fd, "a".repeat(512) + "b".repeat(512) + "c".repeat(100));
    expect(onDisk("1.wal")).toBe("\0".repeat(512) + "b".repeat(512));
  });

  test("a later write of the same bytes wins, whatever of both came early", async () => {
    rules("disk.cache=hold");
    const fd = await made("1.wal");
    coins = [false, true];
    await write(fd, "old");
    await write(fd, "new");
    await done((then) => disk.fdatasync(fd, then));
    expect(onDisk("1.wal")).toBe("new");
  });

  test("names are held until their folder is synced, and come early only in their order", async () => {
    for (const name of ["a.tmp", "b.tmp"]) {
      const fd = await made(name);
      await done((then) => disk.close(fd, then));
    }
    rules("disk.cache=hold");
    const rename = (from: string, to: string): Promise<void> => done((then) => disk.rename(join(dir, from), join(dir, to), then));
    await rename("a.tmp", "a.wal");
    expect(readdirSync(dir).sort()).toEqual(["a.tmp", "b.tmp"]);
    coins = [true];
    await rename("b.tmp", "b.wal");
    expect(readdirSync(dir).sort()).toEqual(["a.wal", "b.wal"]);
    await done((then) => disk.unlink(join(dir, "a.wal"), then));
    expect(existsSync(join(dir, "a.wal"))).toBe(true);
    await done((then) => disk.syncFolder(dir, then));
    expect(readdirSync(dir)).toEqual(["b.wal"]);
  });

  test("a failed sync drops what it should have written, and the next sync says that all is well", async () => {
    rules("disk.cache=hold;disk.log.sync=error(EIO)*1");
    const fd = await made("1.wal");
    await write(fd, "acknowledged?");
    await expect(done((then) => disk.fdatasync(fd, then))).rejects.toMatchObject({ code: "EIO", syscall: "fdatasync" });
    await done((then) => disk.fdatasync(fd, then));
    expect(onDisk("1.wal")).toBe("");
  });

  test("a file whose writes are synced is never behind, and a sync that fails in one drops it", async () => {
    const fd = await made("1.wal");
    await done((then) => disk.close(fd, then));
    rules("disk.cache=hold");
    const synced = await new Promise<number>((resolve, reject) =>
      disk.open(join(dir, "1.wal"), "synced", (error, opened) => (error === null ? resolve(opened) : reject(error))),
    );
    await write(synced, "one ");
    expect(onDisk("1.wal")).toBe("one ");
    rules("disk.cache=hold;disk.log.sync=error(EIO)*1");
    await expect(write(synced, "two", 4)).rejects.toMatchObject({ code: "EIO", syscall: "fdatasync" });
    expect(onDisk("1.wal")).toBe("one ");
  });

  test("once it is off a file is held until its next sync only, and a close loses nothing", async () => {
    rules("disk.cache=hold");
    const synced = await made("1.wal");
    const closed = await made("2.wal");
    await write(synced, "one");
    await write(closed, "one");
    rules("disk.cache=off");
    await write(synced, "two", 3);
    expect(onDisk("1.wal")).toBe("");
    await done((then) => disk.fdatasync(synced, then));
    await write(synced, "!", 6);
    expect(onDisk("1.wal")).toBe("onetwo!");
    await done((then) => disk.close(closed, then));
    expect(onDisk("2.wal")).toBe("one");
  });

  test("the canary shows a cut: its synced file is whole, its unsynced one is not", async () => {
    rules("disk.cache=hold;disk.canary=write");
    await expect.poll(() => existsSync(join(dir, `data${CANARY_SYNCED}`)) && onDisk(`data${CANARY_SYNCED}`)).toMatch(/^(canary ){100}/);
    expect(onDisk(`data${CANARY_UNSYNCED}`)).toBe("");
    rules("disk.canary=write");
    await expect.poll(() => onDisk(`data${CANARY_SYNCED}`)).toMatch(/^(canary ){100}/);
    expect(onDisk(`data${CANARY_UNSYNCED}`)).toBe("");
  });
});

describe("a rule of the disk", () => {
  test("fails the operation of the file it names, from the n-th on, so often, with the kernel's error", async () => {
    rules("disk.log.write=error(ENOSPC)@2*1");
    const log = await made("1.wal");
    const epochs = await made("epochs");
    await write(log, "1");
    await write(epochs, "1");
    await write(epochs, "2");
    await expect(write(log, "2")).rejects.toMatchObject({ code: "ENOSPC", message: "ENOSPC: no space left on device, write" });
    await write(log, "3");
    expect(failpoints.list()).toMatchObject([{ name: "disk.log.write", acted: 1 }]);
  });

  test("for any file holds for each, and a full disk makes no new file", async () => {
    rules("disk.any.names=error(ENOSPC)");
    await expect(made("spare-1.tmp")).rejects.toMatchObject({ code: "ENOSPC" });
    await expect(done((then) => disk.rename(join(dir, "x"), join(dir, "y"), then))).rejects.toMatchObject({ code: "ENOSPC" });
    await expect(done((then) => disk.syncFolder(dir, then))).rejects.toMatchObject({ code: "ENOSPC" });
    rules("disk.any.names=off");
    expect(await made("spare-1.tmp")).toBeGreaterThan(0);
  });

  test("a slow sync is late and does not stall the loop", async () => {
    rules("disk.epochs.sync=delay(60)");
    const fd = await made("epochs");
    const startMs = performance.now();
    const sync = done((then) => disk.fdatasync(fd, then));
    await new Promise((resolve) => setImmediate(resolve));
    expect(performance.now() - startMs).toBeLessThan(50);
    await sync;
    expect(performance.now() - startMs).toBeGreaterThanOrEqual(59);
  });

  test.each([
    ["disk.log.sync=crash", "must be name=off|delay(ms)|error(EIO|ENOSPC|EDQUOT|EROFS)"],
    ["disk.log.sync=error(EPERM)", "must be name=off|delay(ms)"],
    ["disk.log.read=error(EIO)", "unknown failpoint"],
    ["disk.cache=error(EIO)", "must be name=hold|off"],
    ["disk.canary=off", "must be name=write"],
    ["establish=error(EIO)", "must be name=crash|halt|off|sleep(ms)"],
    ["disk.log.sync=error(EIO)*0", "counted from 1"],
  ])("%s is refused: %s", (text, problem) => {
    expect(() => parseFailpoints(text)).toThrow(problem);
  });
});

test("sectors are those of the file, not of the write", () => {
  const cut = sectorsOf({ bytes: new Uint8Array(700), position: 500 });
  expect(cut.map(({ bytes, position }) => [position, bytes.length])).toEqual([
    [500, 12],
    [512, 512],
    [1024, 176],
  ]);
  const held = new HeldFile();
  const bytes = Uint8Array.of(1);
  held.hold(bytes, 0, () => false);
  bytes[0] = 2;
  expect(held.take()).toEqual([{ bytes: Uint8Array.of(1), position: 0 }]);
  expect(held.empty).toBe(true);
});
