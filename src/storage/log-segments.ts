/**
 * The log's files: names, zero-filled spares, and making a new segment visible.
 *
 * Segments are filled with zeros by real writes before use, so that a commit's fdatasync has only data to flush, and so that what
 * an interrupted write leaves can be told apart (log-scan.ts). A spare is prepared in the background while the segment before it
 * fills. A segment becomes part of the log by one rename, after its header is durable and before anything is appended to it.
 */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "../base/index.js";
import { openFile, settled, writeFully } from "./disk.js";
import type { Disk } from "./disk.js";
import { encodeSegmentHeader, SEGMENT_HEADER_BYTES, segmentSeed } from "./log-format.js";
import type { SegmentHeader } from "./log-format.js";

const FILL_CHUNK = Buffer.alloc(1024 * 1024);
/** A sync after this many bytes: a spare's zeros must not pile up in front of a commit's few kilobytes. */
const FILL_SYNC_BYTES = 2 * 1024 * 1024;

export function segmentName(segment: number): string {
  return `${String(segment).padStart(10, "0")}.wal`;
}

export function segmentNumber(name: string): number | undefined {
  const match = /^(\d{10})\.wal$/.exec(name);
  return match === null ? undefined : Number(match[1]);
}

/** Segments taken out of the log because of damage keep their number in their name and are kept for inspection. */
export function damagedNumber(name: string): number | undefined {
  const match = /^(\d{10})\.wal\.damaged$/.exec(name);
  return match === null ? undefined : Number(match[1]);
}

export interface OpenSegment {
  readonly segment: number;
  readonly path: string;
  /** Opened as "synced": what is written there is durable. */
  readonly fd: number;
  readonly capacity: number;
  readonly seed: number;
}

interface Spare {
  readonly path: string;
  readonly fd: number;
  readonly capacity: number;
}

export class SegmentFiles {
  readonly folder: string;
  readonly #disk: Disk;
  readonly #segmentBytes: number;
  #spare: Promise<Spare> | undefined;
  #spareProblem: string | undefined;
  #spareNumber = 0;

  constructor(folder: string, disk: Disk, segmentBytes: number) {
    this.folder = folder;
    this.#disk = disk;
    this.#segmentBytes = segmentBytes;
  }

  /** Why the last attempt to prepare a spare failed, a full disk above all; undefined when all is well. */
  get spareProblem(): string | undefined {
    return this.#spareProblem;
  }

  /** Removes spares left by an earlier process. */
  async removeLeftovers(): Promise<void> {
    for (const name of await readdir(this.folder)) {
      if (name.endsWith(".tmp")) await settled((done) => this.#disk.unlink(join(this.folder, name), done));
    }
  }

  /** Starts preparing the next segment's file, unless one is ready or under way. A failure is kept for the next {@link create}. */
  prepareSpare(): void {
    if (this.#spare !== undefined) return;
    this.#spare = this.#fill(this.#segmentBytes);
    this.#spare.then(
      () => (this.#spareProblem = undefined),
      (error: unknown) => (this.#spareProblem = messageOf(error)),
    );
  }

  /** A new, durable, visible and empty segment of at least `needBytes` after its header. */
  async create(header: Omit<SegmentHeader, "capacity" | "formatVersion">, formatVersion: number, needBytes: number): Promise<OpenSegment> {
    const spare = await this.#take(SEGMENT_HEADER_BYTES + needBytes);
    const bytes = encodeSegmentHeader({ formatVersion, ...header, capacity: spare.capacity });
    await settled((done) => writeFully(this.#disk, spare.fd, bytes, bytes.length, 0, done));
    await settled((done) => this.#disk.fdatasync(spare.fd, done));
    const path = join(this.folder, segmentName(header.segment));
    await settled((done) => this.#disk.rename(spare.path, path, done));
    await settled((done) => this.#disk.syncFolder(this.folder, done));
    await settled((done) => this.#disk.close(spare.fd, done));
    const fd = await openFile(this.#disk, path, "synced");
    return { segment: header.segment, path, fd, capacity: spare.capacity, seed: segmentSeed(bytes) };
  }

  async remove(segments: readonly number[]): Promise<void> {
    if (segments.length === 0) return;
    // Oldest first. A crash in between leaves at worst a gap below the log's first needed segment, which recovery passes over.
    for (const segment of segments) await settled((done) => this.#disk.unlink(join(this.folder, segmentName(segment)), done));
    await settled((done) => this.#disk.syncFolder(this.folder, done));
  }

  /** Ends background work and removes the spare. */
  async close(): Promise<void> {
    const spare = await this.#spare?.catch(() => undefined);
    this.#spare = undefined;
    if (spare === undefined) return;
    await settled((done) => this.#disk.close(spare.fd, done));
    await settled((done) => this.#disk.unlink(spare.path, done));
  }

  async #take(needBytes: number): Promise<Spare> {
    if (needBytes > this.#segmentBytes) return this.#fill(needBytes);
    const pending = this.#spare;
    this.#spare = undefined;
    const spare = await pending?.catch(() => undefined);
    return spare ?? this.#fill(this.#segmentBytes);
  }

  async #fill(capacity: number): Promise<Spare> {
    const path = join(this.folder, `spare-${process.pid}-${++this.#spareNumber}.tmp`);
    const fd = await openFile(this.#disk, path, "wx+");
    try {
      let unsynced = 0;
      for (let at = 0; at < capacity; at += FILL_CHUNK.length) {
        const length = Math.min(FILL_CHUNK.length, capacity - at);
        await settled((done) => writeFully(this.#disk, fd, FILL_CHUNK, length, at, done));
        unsynced += length;
        if (unsynced >= FILL_SYNC_BYTES || at + length === capacity) {
          await settled((done) => this.#disk.fdatasync(fd, done));
          unsynced = 0;
        }
      }
      return { path, fd, capacity };
    } catch (error) {
      // The space is given back: what failed may be a full disk. The first error is the one to report.
      await settled((done) => this.#disk.close(fd, done)).catch(() => undefined);
      await settled((done) => this.#disk.unlink(path, done)).catch(() => undefined);
      throw error;
    }
  }
}
