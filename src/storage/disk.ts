/**
 * The few file operations whose order and failure the log depends on, as one object.
 *
 * It exists for fault tests only (failed syncs, short writes, a crash that drops what was not synced): the product always passes
 * {@link nodeDisk}. Callback style, because a promise per write costs more than the write's own bookkeeping.
 */
import { close, constants, fdatasync, open, rename, unlink, write } from "node:fs";

export type Done = (error: Error | null) => void;

/**
 * An existing file for reading and writing; a new one; or an existing one of which every write is durable when it is done (O_DSYNC), as
 * if an fdatasync followed it. That is one trip to the kernel instead of two, which saves about a quarter of the latency of a small commit
 * and a third of its CPU time.
 */
export type OpenFlags = "r+" | "wx+" | "synced";

export interface Disk {
  open(path: string, flags: OpenFlags, done: (error: Error | null, fd: number) => void): void;
  /** May write less than asked for. */
  write(
    fd: number,
    bytes: Uint8Array,
    offset: number,
    length: number,
    position: number,
    done: (error: Error | null, written: number) => void,
  ): void;
  fdatasync(fd: number, done: Done): void;
  close(fd: number, done: Done): void;
  rename(from: string, to: string, done: Done): void;
  unlink(path: string, done: Done): void;
  /** Makes the names created, renamed and removed inside `path` durable. */
  syncFolder(path: string, done: Done): void;
}

export const nodeDisk: Disk = {
  open: (path, flags, done) => open(path, flags === "synced" ? constants.O_RDWR | constants.O_DSYNC : flags, 0o640, done),
  write: (fd, bytes, offset, length, position, done) => write(fd, bytes, offset, length, position, done),
  fdatasync: (fd, done) => fdatasync(fd, done),
  close: (fd, done) => close(fd, done),
  rename: (from, to, done) => rename(from, to, done),
  unlink: (path, done) => unlink(path, done),
  syncFolder: (path, done) =>
    open(path, "r", (openError, fd) => {
      if (openError !== null) return done(openError);
      // Linux flushes a folder's entries on fdatasync as well as on fsync.
      fdatasync(fd, (syncError) => close(fd, (closeError) => done(syncError ?? closeError)));
    }),
};

/** Writes all of bytes[0, length) at `position`, however many system calls that takes. */
export function writeFully(disk: Disk, fd: number, bytes: Uint8Array, length: number, position: number, done: Done): void {
  const from = (start: number): void =>
    disk.write(fd, bytes, start, length - start, position + start, (error, written) => {
      if (error !== null) return done(error);
      if (written <= 0) return done(new Error(`a write of ${length - start} bytes at ${position + start} wrote nothing`));
      if (start + written >= length) return done(null);
      from(start + written);
    });
  if (length === 0) done(null);
  else from(0);
}

/** The promise form of one callback operation, for the paths that are not hot. */
export function settled(start: (done: Done) => void): Promise<void> {
  return new Promise((resolve, reject) => start((error) => (error === null ? resolve() : reject(error))));
}

export function openFile(disk: Disk, path: string, flags: OpenFlags): Promise<number> {
  return new Promise((resolve, reject) => disk.open(path, flags, (error, fd) => (error === null ? resolve(fd) : reject(error))));
}
