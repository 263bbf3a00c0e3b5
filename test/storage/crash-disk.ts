/**
 * A disk that remembers what a power cut would leave: it carries operations out on real files, and knows which writes and names
 * have been made durable. An image of a crash keeps everything durable, a prefix of the unsynced folder changes (a journaling
 * file system), and any subset of the unsynced 512-byte sectors.
 */
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Prng } from "../../src/base/index.js";
import { nodeDisk } from "../../src/storage/disk.js";
import type { Disk, OpenFlags } from "../../src/storage/disk.js";

const SECTOR = 512;

interface FileModel {
  durable: Buffer;
  pending: { readonly position: number; readonly data: Buffer }[];
}

type NameChange =
  { readonly kind: "set"; readonly path: string; readonly file: FileModel } | { readonly kind: "remove"; readonly path: string };

export interface Fault {
  /** An error for this operation, or undefined to let it through. */
  readonly fail?: (operation: "write" | "fdatasync" | "rename" | "unlink" | "syncFolder" | "open", path: string) => Error | undefined;
  /** At most this many bytes of a write are taken. */
  readonly shortWrite?: () => number;
}

/** How much of what was not synced survives: nothing, all, some sectors, or either some sectors or everything up to some byte. */
export type Tear = "none" | "all" | "sectors" | "random";

export class CrashDisk implements Disk {
  readonly root: string;
  fault: Fault = {};
  /** Called before every operation. */
  beforeOperation: (operation: string, path: string) => void = () => undefined;
  operations = 0;
  readonly #fds = new Map<number, { file: FileModel; path: string; readonly synced: boolean }>();
  readonly #names = new Map<string, FileModel>();
  readonly #durableNames = new Map<string, FileModel>();
  #changes: NameChange[] = [];

  /**
   * Everything in `root` now counts as durable, unless `before` is given: the disk of an earlier process over the same files. Then what
   * that one never synced is still only in the page cache, and, after a failed sync, marked clean: a new sync does not write it.
   */
  constructor(root: string, before?: CrashDisk) {
    this.root = root;
    for (const path of filesIn(root)) {
      const file = { durable: before === undefined ? readFileSync(path) : before.durableContent(path), pending: [] };
      this.#names.set(path, file);
      this.#durableNames.set(path, file);
    }
  }

  open(path: string, flags: OpenFlags, done: (error: Error | null, fd: number) => void): void {
    const failure = this.#enter("open", path);
    if (failure !== undefined) return void setImmediate(() => done(failure, -1));
    // The real sync is left out: these files live for a moment, and only the model decides what survives.
    nodeDisk.open(path, flags === "synced" ? "r+" : flags, (error, fd) => {
      if (error === null) {
        let file = this.#names.get(path);
        if (file === undefined) {
          file = { durable: Buffer.alloc(0), pending: [] };
          this.#names.set(path, file);
          this.#changes.push({ kind: "set", path, file });
        }
        this.#fds.set(fd, { file, path, synced: flags === "synced" });
      }
      done(error, fd);
    });
  }

  write(
    fd: number,
    bytes: Uint8Array,
    offset: number,
    length: number,
    position: number,
    done: (error: Error | null, written: number) => void,
  ): void {
    const { file, path, synced } = this.#of(fd);
    const failure = this.#enter("write", path);
    if (failure !== undefined) return void setImmediate(() => done(failure, 0));
    const take = Math.max(1, Math.min(length, this.fault.shortWrite?.() ?? length));
    file.pending.push({ position, data: Buffer.from(bytes.subarray(offset, offset + take)) });
    nodeDisk.write(fd, bytes, offset, take, position, (error, written) => {
      if (error !== null || !synced) return done(error, written);
      this.fdatasync(fd, (syncError) => done(syncError, syncError === null ? written : 0));
    });
  }

  fdatasync(fd: number, done: (error: Error | null) => void): void {
    const { file, path } = this.#of(fd);
    const failure = this.#enter("fdatasync", path);
    if (failure !== undefined) return void setImmediate(() => done(failure));
    const synced = file.pending.length;
    setImmediate(() => {
      for (const { position, data } of file.pending.slice(0, synced)) file.durable = overlay(file.durable, position, data);
      file.pending = file.pending.slice(synced);
      done(null);
    });
  }

  close(fd: number, done: (error: Error | null) => void): void {
    this.#fds.delete(fd);
    nodeDisk.close(fd, done);
  }

  rename(from: string, to: string, done: (error: Error | null) => void): void {
    const failure = this.#enter("rename", to);
    if (failure !== undefined) return void setImmediate(() => done(failure));
    const file = this.#names.get(from);
    if (file !== undefined) {
      this.#names.delete(from);
      this.#names.set(to, file);
      for (const each of this.#fds.values()) if (each.path === from) each.path = to;
      this.#changes.push({ kind: "remove", path: from }, { kind: "set", path: to, file });
    }
    nodeDisk.rename(from, to, done);
  }

  unlink(path: string, done: (error: Error | null) => void): void {
    const failure = this.#enter("unlink", path);
    if (failure !== undefined) return void setImmediate(() => done(failure));
    this.#names.delete(path);
    this.#changes.push({ kind: "remove", path });
    nodeDisk.unlink(path, done);
  }

  syncFolder(path: string, done: (error: Error | null) => void): void {
    const failure = this.#enter("syncFolder", path);
    if (failure !== undefined) return void setImmediate(() => done(failure));
    const synced = this.#changes.filter((change) => dirname(change.path) === path);
    setImmediate(() => {
      for (const change of synced) applyChange(this.#durableNames, change);
      this.#changes = this.#changes.filter((change) => !synced.includes(change));
      done(null);
    });
  }

  /** Writes what a crash at this moment leaves into `target`, and returns it. */
  image(target: string, tear: Tear, random: Prng): string {
    const names = new Map(this.#durableNames);
    const kept = tear === "none" ? 0 : tear === "all" ? this.#changes.length : random.int(0, this.#changes.length);
    for (const change of this.#changes.slice(0, kept)) applyChange(names, change);
    for (const [path, file] of names) {
      const to = join(target, path.slice(this.root.length));
      mkdirSync(dirname(to), { recursive: true });
      writeFileSync(to, survivor(file, tear, random));
    }
    return target;
  }

  /** What of this file is on disk for certain. */
  durableContent(path: string): Buffer {
    return this.#durableNames.get(path)?.durable ?? Buffer.alloc(0);
  }

  #of(fd: number): { file: FileModel; path: string; readonly synced: boolean } {
    const found = this.#fds.get(fd);
    if (found === undefined) throw new Error(`file descriptor ${fd} is not open`);
    return found;
  }

  #enter(operation: "write" | "fdatasync" | "rename" | "unlink" | "syncFolder" | "open", path: string): Error | undefined {
    this.operations++;
    this.beforeOperation(operation, path);
    return this.fault.fail?.(operation, path);
  }
}

function applyChange(names: Map<string, FileModel>, change: NameChange): void {
  if (change.kind === "set") names.set(change.path, change.file);
  else names.delete(change.path);
}

function overlay(content: Buffer, position: number, data: Buffer): Buffer {
  const out = Buffer.alloc(Math.max(content.length, position + data.length));
  content.copy(out);
  data.copy(out, position);
  return out;
}

/** What a crash leaves of a file. */
function survivor({ durable, pending }: FileModel, tear: Tear, random: Prng): Buffer {
  if (tear === "none" || pending.length === 0) return durable;
  if (tear === "all") return pending.reduce((content, { position, data }) => overlay(content, position, data), durable);
  if (tear === "random" && random.chance(0.25)) {
    // The writes arrived in order, up to some byte.
    let budget = random.int(
      0,
      pending.reduce((sum, { data }) => sum + data.length, 0),
    );
    return pending.reduce((content, { position, data }) => {
      const part = data.subarray(0, budget);
      budget -= part.length;
      return overlay(content, position, part);
    }, durable);
  }
  // Each sector is as it was after some number of the writes that touched it: a sector is written whole or not at all.
  let content = durable;
  const odds = random.float();
  const touched = new Map<number, { from: number; data: Buffer }[]>();
  for (const { position, data } of pending) {
    for (let start = 0; start < data.length;) {
      const end = Math.min(data.length, start + SECTOR - ((position + start) % SECTOR));
      const sector = Math.floor((position + start) / SECTOR);
      touched.set(sector, [...(touched.get(sector) ?? []), { from: position + start, data: data.subarray(start, end) }]);
      start = end;
    }
  }
  for (const parts of touched.values()) {
    const arrived = random.chance(odds) ? parts.length : random.int(0, parts.length - 1);
    for (const { from, data } of parts.slice(0, arrived)) content = overlay(content, from, data);
  }
  return content;
}

function filesIn(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    return statSync(path).isDirectory() ? filesIn(path) : [path];
  });
}
