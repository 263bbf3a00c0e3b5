/**
 * A small record in two alternating slots, each kept in one or two copies.
 *
 * Decides which record is in force after a crash or damage, and whether a newer one may have been lost. A write goes to the slot
 * that does not hold the record in force, both copies, one sync. So a newer completed record can be lost only when every copy of
 * the other slot is rotten: a copy that is torn, or that still holds an older generation, proves that the write after it never
 * completed. With one copy a single flipped bit can lose the newest record; such files hold only lower bounds.
 */
import { crc32c } from "../base/index.js";
import { openFile, settled, writeFully } from "./disk.js";
import type { Disk, Done } from "./disk.js";
import { readTolerantly } from "./read-file.js";
import { decodeSectors, encodeSectors } from "./sector-codec.js";
import type { SectorCopy } from "./sector-codec.js";

export interface SlotShape {
  readonly copies: 1 | 2;
  /** A multiple of 512. */
  readonly copyBytes: number;
}

/** Between the starts of neighbouring copies, so that no two share a disk block. */
const SPACING_BYTES_MIN = 4096;

export interface SlotContent {
  /** The newest readable record, if any copy is readable. */
  readonly text: string | undefined;
  readonly generation: number;
  /** True when a newer completed record may be unreadable. */
  readonly newerMayBeLost: boolean;
  readonly findings: readonly string[];
}

export class SlotFile {
  readonly path: string;
  readonly #disk: Disk;
  readonly #shape: SlotShape;
  #fd: number;
  #generation: number;
  #writing = false;

  private constructor(path: string, disk: Disk, shape: SlotShape, fd: number, generation: number) {
    this.path = path;
    this.#disk = disk;
    this.#shape = shape;
    this.#fd = fd;
    this.#generation = generation;
  }

  /** Creates the file with `text` in every copy and makes its content durable; its name is the caller's to make durable. */
  static async create(path: string, disk: Disk, shape: SlotShape, text: string): Promise<SlotFile> {
    const fd = await openFile(disk, path, "wx+");
    const file = new SlotFile(path, disk, shape, fd, 0);
    await file.#fill();
    await file.rewrite(text);
    return file;
  }

  /** Opens an existing file. Rejects when it cannot be read at all; unreadable content is reported in the result. */
  static async open(path: string, disk: Disk, shape: SlotShape): Promise<{ file: SlotFile; content: SlotContent }> {
    const bytes = await readTolerantly(path, fileBytes(shape));
    const content = readSlots(path, bytes, shape);
    const fd = await openFile(disk, path, "r+");
    const file = new SlotFile(path, disk, shape, fd, content.generation);
    return { file, content };
  }

  /** Writes the next generation; `done` is called when it is durable. One write at a time. Never called back synchronously. */
  write(text: string, done: Done): void {
    if (this.#writing) return process.nextTick(done, new Error(`${this.path}: two writes at a time`));
    let remaining = this.#shape.copies;
    let failed: Error | null = null;
    const generation = this.#generation + 1;
    const finish: Done = (error) => {
      this.#writing = false;
      if (error === null) this.#generation = generation;
      done(error);
    };
    let encoded: Buffer[];
    try {
      encoded = this.#encode(generation, text);
    } catch (error) {
      return process.nextTick(done, error);
    }
    this.#writing = true;
    for (const [copy, bytes] of encoded.entries()) {
      writeFully(this.#disk, this.#fd, bytes, bytes.length, copyAt(this.#shape, generation % 2, copy), (error) => {
        failed ??= error;
        remaining--;
        if (remaining > 0) return;
        if (failed !== null) return finish(failed);
        this.#disk.fdatasync(this.#fd, finish);
      });
    }
  }

  /** Writes both slots: afterwards every copy is good. */
  async rewrite(text: string): Promise<void> {
    await settled((done) => this.write(text, done));
    await settled((done) => this.write(text, done));
  }

  close(): Promise<void> {
    return settled((done) => this.#disk.close(this.#fd, done));
  }

  #encode(generation: number, text: string): Buffer[] {
    return Array.from({ length: this.#shape.copies }, (_, copy) =>
      encodeSectors(generation, text, seedOf(this.path, generation % 2, copy), this.#shape.copyBytes),
    );
  }

  /** Gives the file its full size at once: later writes then change no metadata and fdatasync has only data to flush. */
  async #fill(): Promise<void> {
    const bytes = Buffer.alloc(fileBytes(this.#shape));
    await settled((done) => writeFully(this.#disk, this.#fd, bytes, bytes.length, 0, done));
    await settled((done) => this.#disk.fdatasync(this.#fd, done));
  }
}

function spacing(shape: SlotShape): number {
  return Math.max(SPACING_BYTES_MIN, shape.copyBytes);
}

function fileBytes(shape: SlotShape): number {
  return spacing(shape) * 2 * shape.copies;
}

function copyAt(shape: SlotShape, slot: number, copy: number): number {
  return spacing(shape) * (copy * 2 + slot);
}

function seedOf(path: string, slot: number, copy: number): number {
  // The file's own name is part of the seed: a copy that strayed into another file or place is not valid there.
  return crc32c(Buffer.from(`${path.slice(path.lastIndexOf("/") + 1)}/${slot}/${copy}`));
}

function readSlots(path: string, bytes: Buffer, shape: SlotShape): SlotContent {
  const findings: string[] = [];
  const slots: SectorCopy[][] = [0, 1].map((slot) =>
    Array.from({ length: shape.copies }, (_, copy) => {
      const at = copyAt(shape, slot, copy);
      const decoded = decodeSectors(bytes.subarray(at, at + shape.copyBytes), seedOf(path, slot, copy));
      if (decoded.kind === "rotten") findings.push(`${path}: slot ${slot} copy ${copy} at offset ${at} is unreadable`);
      return decoded;
    }),
  );
  let newest: { generation: number; text: string } | undefined;
  for (const decoded of slots.flat()) {
    if (decoded.kind === "good" && decoded.generation > (newest?.generation ?? -1)) newest = decoded;
  }
  if (newest === undefined) return { text: undefined, generation: 0, newerMayBeLost: true, findings };
  const other = slots[(newest.generation + 1) % 2] ?? [];
  return { text: newest.text, generation: newest.generation, newerMayBeLost: other.every((copy) => copy.kind === "rotten"), findings };
}
