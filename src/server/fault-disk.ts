/**
 * The storage's disk with faults: operations that fail or take long, and a write cache that dies with the process (volatile-cache.ts).
 *
 * Decides nothing by itself: every fault is a rule of the failpoints. Only the node's own files pass here (log, promises, marks);
 * LevelDB's do not. Made only when QUORATE_ENABLE_FAILPOINTS=1.
 */
import { rmSync } from "node:fs";
import { basename } from "node:path";
import type { Disk, DiskDone, OpenFlags } from "../storage/index.js";
import { DISK_CACHE, DISK_CANARY, type DiskFile, type DiskOperation } from "./failpoint-list.js";
import type { DiskErrorCode, FailpointRule, Failpoints } from "./failpoints.js";
import { HeldFile, type HeldWrite } from "./volatile-cache.js";

interface OpenFile {
  readonly file: DiskFile;
  /** Each write includes a sync. */
  readonly synced: boolean;
  readonly held: HeldFile;
}

/** Enough sectors that an early write of all of them never happens. */
const CANARY = Buffer.alloc(64 * 512, "canary ");
export const CANARY_SYNCED = ".canary-synced";
export const CANARY_UNSYNCED = ".canary-unsynced";

export interface FaultDiskParts {
  readonly disk: Disk;
  readonly failpoints: Failpoints;
  /** The canary's files are beside it, named after it. */
  readonly dataDir: string;
  /** True: this piece of what is held reaches the disk early. */
  readonly coin: () => boolean;
}

export class FaultDisk implements Disk {
  readonly #disk: Disk;
  readonly #failpoints: Failpoints;
  readonly #dataDir: string;
  readonly #coin: () => boolean;
  readonly #files = new Map<number, OpenFile>();
  #holding = false;
  /** Changes of names that are held, in order. */
  #names: ((done: DiskDone) => void)[] = [];
  #canaryFd: number | undefined;

  constructor({ disk, failpoints, dataDir, coin }: FaultDiskParts) {
    this.#disk = disk;
    this.#failpoints = failpoints;
    this.#dataDir = dataDir;
    this.#coin = coin;
    failpoints.listen((rule) => this.#ruleSet(rule));
  }

  open(path: string, flags: OpenFlags, done: (error: Error | null, fd: number) => void): void {
    const file = fileOf(path);
    const opened = (): void =>
      this.#disk.open(path, flags, (error, fd) => {
        if (error === null) this.#files.set(fd, { file, synced: flags === "synced", held: new HeldFile() });
        done(error, fd);
      });
    if (flags !== "wx+") opened();
    else this.#pass(file, "names", opened, (error) => done(error, -1));
  }

  write(
    fd: number,
    bytes: Uint8Array,
    offset: number,
    length: number,
    position: number,
    done: (error: Error | null, written: number) => void,
  ): void {
    const { file, synced, held } = this.#of(fd);
    const written: typeof done = (error, count) => {
      if (error !== null || !synced) return done(error, count);
      this.fdatasync(fd, (syncError) => done(syncError, syncError === null ? count : 0));
    };
    const write = (): void => {
      // What is held comes first: a file goes on being held until it is synced.
      if (!this.#holding && held.empty) return this.#disk.write(fd, bytes, offset, length, position, written);
      const early = held.hold(bytes.subarray(offset, offset + length), position, this.#coin);
      this.#writeAll(fd, early, (error) => written(error, error === null ? length : 0));
    };
    this.#pass(file, "write", write, (error) => done(error, 0));
  }

  /** Of a file whose writes are synced, too: what is held goes to the disk by a write. */
  fdatasync(fd: number, done: DiskDone): void {
    const { file, synced, held } = this.#of(fd);
    const sync = (): void =>
      this.#writeAll(fd, held.take(), (error) => {
        if (error !== null || synced) return done(error);
        this.#disk.fdatasync(fd, done);
      });
    this.#pass(file, "sync", sync, (error) => {
      held.take();
      done(error);
    });
  }

  close(fd: number, done: DiskDone): void {
    const { held } = this.#of(fd);
    this.#files.delete(fd);
    // A close syncs nothing, and loses nothing either: what follows may read the file.
    this.#writeAll(fd, held.take(), (error) => {
      if (error !== null) return done(error);
      this.#disk.close(fd, done);
    });
  }

  rename(from: string, to: string, done: DiskDone): void {
    this.#pass(fileOf(to), "names", () => this.#changeName((then) => this.#disk.rename(from, to, then), done), done);
  }

  unlink(path: string, done: DiskDone): void {
    this.#pass(fileOf(path), "names", () => this.#changeName((then) => this.#disk.unlink(path, then), done), done);
  }

  syncFolder(path: string, done: DiskDone): void {
    const sync = (): void =>
      this.#carryOutNames((error) => {
        if (error !== null) return done(error);
        this.#disk.syncFolder(path, done);
      });
    this.#pass(basename(path) === "log" ? "log" : "any", "names", sync, done);
  }

  #ruleSet(rule: FailpointRule): void {
    if (rule.name === DISK_CACHE) this.#holding = rule.action.kind === "hold";
    if (rule.name === DISK_CANARY) this.#writeCanary();
  }

  /** Carries an operation out, late or not at all when a rule says so. */
  #pass(file: DiskFile, operation: DiskOperation, carryOut: () => void, fail: (error: Error) => void): void {
    const { delayMs, code } = this.#failpoints.onDisk(file, operation);
    if (code !== undefined) setImmediate(() => fail(diskError(code, operation)));
    else if (delayMs > 0) setTimeout(carryOut, delayMs);
    else carryOut();
  }

  #of(fd: number): OpenFile {
    const found = this.#files.get(fd);
    if (found === undefined) throw new Error(`file descriptor ${fd} is not open`);
    return found;
  }

  /** In order; never calls back from inside. */
  #writeAll(fd: number, writes: readonly HeldWrite[], done: DiskDone): void {
    if (writes.length === 0) return void setImmediate(() => done(null));
    const from = (index: number, skip: number): void => {
      const next = writes[index];
      if (next === undefined) return done(null);
      const { bytes, position } = next;
      this.#disk.write(fd, bytes, skip, bytes.length - skip, position + skip, (error, written) => {
        if (error !== null) return done(error);
        if (skip + written >= bytes.length) from(index + 1, 0);
        else from(index, skip + written);
      });
    };
    from(0, 0);
  }

  #changeName(change: (done: DiskDone) => void, done: DiskDone): void {
    if (!this.#holding && this.#names.length === 0) return change(done);
    this.#names.push(change);
    if (this.#coin()) this.#carryOutNames(done);
    else setImmediate(() => done(null));
  }

  #carryOutNames(done: DiskDone): void {
    const changes = this.#names;
    this.#names = [];
    const from = (index: number): void => {
      const change = changes[index];
      if (change === undefined) return done(null);
      change((error) => (error === null ? from(index + 1) : done(error)));
    };
    if (changes.length === 0) setImmediate(() => done(null));
    else from(0);
  }

  /** The unsynced file's descriptor stays open: a close would write it. */
  #writeCanary(): void {
    const failed = (error: Error): never => {
      throw error;
    };
    if (this.#canaryFd !== undefined) {
      this.#of(this.#canaryFd).held.take();
      this.close(this.#canaryFd, (error) => (error === null ? undefined : failed(error)));
    }
    for (const suffix of [CANARY_UNSYNCED, CANARY_SYNCED]) {
      const path = `${this.#dataDir}${suffix}`;
      rmSync(path, { force: true });
      this.#disk.open(path, "wx+", (openError, fd) => {
        if (openError !== null) failed(openError);
        this.#files.set(fd, { file: "any", synced: false, held: new HeldFile() });
        if (suffix === CANARY_UNSYNCED) this.#canaryFd = fd;
        this.write(fd, CANARY, 0, CANARY.length, 0, (writeError) => {
          if (writeError !== null) failed(writeError);
          if (suffix === CANARY_SYNCED) this.fdatasync(fd, (error) => (error === null ? this.close(fd, () => undefined) : failed(error)));
        });
      });
    }
  }
}

function fileOf(path: string): DiskFile {
  const name = basename(path);
  if (name.endsWith(".wal") || name.endsWith(".tmp")) return "log";
  if (name === "epochs") return "epochs";
  if (name === "synced") return "mark";
  return name === "checkpoint" ? "witness" : "any";
}

const WORDS: Readonly<Record<DiskErrorCode, string>> = {
  EIO: "i/o error",
  ENOSPC: "no space left on device",
  EDQUOT: "disk quota exceeded",
  EROFS: "read-only file system",
};
const SYSCALLS: Readonly<Record<DiskOperation, string>> = { write: "write", sync: "fdatasync", names: "rename" };

/** As Node's own look, so that nobody can tell the difference. */
function diskError(code: DiskErrorCode, operation: DiskOperation): Error {
  const syscall = SYSCALLS[operation];
  return Object.assign(new Error(`${code}: ${WORDS[code]}, ${syscall}`), { code, syscall });
}
