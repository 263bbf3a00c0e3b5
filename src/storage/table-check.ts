/**
 * Checks the block checksums of LevelDB's table files before LevelDB opens them.
 *
 * LevelDB verifies them only on request, and its Node binding has no such request: a flipped bit in a table is returned as a wrong
 * or missing value, or trips an assertion of LevelDB's that aborts the process, again at every start. So a table that fails here
 * is moved out of LevelDB's sight: if it was in use LevelDB then reports it missing, and if it was the remainder of an
 * interrupted compaction nothing is lost. Tables must be written without compression, or their index cannot be read here.
 *
 * Format: a data block is contents, a type byte and a masked CRC-32C of both; the last 48 bytes hold the handles of the metaindex
 * and index blocks and a magic number (LevelDB, doc/table_format.md).
 */
import { readdir, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { crc32c } from "../base/index.js";

const FOOTER_BYTES = 48;
const TRAILER_BYTES = 5;
const MAGIC = Buffer.from("57fb808b247547db", "hex");
const UNCOMPRESSED = 0;

interface BlockHandle {
  readonly offset: number;
  readonly size: number;
}

/**
 * Moves unreadable tables of the store in `folder` aside; returns their names. A folder that does not exist has none. `compressed`: of a
 * compressed table only the blocks that find others are checked; its records need checksums of their own.
 */
export async function setUnreadableTablesAside(folder: string, compressed: "refuse" | "pass" = "refuse"): Promise<readonly string[]> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  const unreadable: string[] = [];
  for (const name of names.filter((each) => each.endsWith(".ldb") || each.endsWith(".sst")).sort()) {
    const problem = await fileProblem(join(folder, name), compressed);
    if (problem === undefined) continue;
    unreadable.push(`${join(folder, name)}: ${problem}`);
    await rename(join(folder, name), join(folder, `${name}.unreadable`));
  }
  return unreadable;
}

async function fileProblem(path: string, compressed: "refuse" | "pass"): Promise<string | undefined> {
  try {
    return tableProblem(await readFile(path), compressed);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EIO") return "cannot be read";
    throw error;
  }
}

/** What is wrong with a table's bytes, or undefined when every block is intact. */
export function tableProblem(table: Buffer, compressed: "refuse" | "pass" = "refuse"): string | undefined {
  if (table.length < FOOTER_BYTES || !table.subarray(table.length - 8).equals(MAGIC)) return "does not end like a LevelDB table";
  try {
    const footer = new Reader(table, table.length - FOOTER_BYTES, table.length - 8);
    const metaindex = footer.handle();
    const index = footer.handle();
    const blocks = [metaindex, index, ...handlesIn(table, metaindex, compressed), ...handlesIn(table, index, compressed)];
    const bad = blocks.find((block) => !intact(table, block));
    return bad === undefined ? undefined : `the block at offset ${bad.offset} fails its checksum`;
  } catch (error) {
    if (error instanceof RangeError) return error.message;
    throw error;
  }
}

function intact(table: Buffer, { offset, size }: BlockHandle): boolean {
  const end = offset + size;
  if (end + TRAILER_BYTES > table.length) return false;
  const crc = crc32c(table, offset, end + 1);
  const masked = (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
  return table.readUInt32LE(end + 1) === masked;
}

/** The handles an index block maps to. Throws RangeError when the block is not intact or not readable. */
function handlesIn(table: Buffer, block: BlockHandle, compressed: "refuse" | "pass"): BlockHandle[] {
  if (!intact(table, block)) throw new RangeError(`the index block at offset ${block.offset} fails its checksum`);
  const end = block.offset + block.size;
  if (table[end] !== UNCOMPRESSED) {
    if (compressed === "pass") return [];
    throw new RangeError("the table is compressed");
  }
  const restarts = table.readUInt32LE(end - 4);
  const reader = new Reader(table, block.offset, end - 4 - restarts * 4);
  const handles: BlockHandle[] = [];
  while (!reader.done) {
    reader.varint(); // bytes shared with the key before
    const unshared = reader.varint();
    const valueLength = reader.varint();
    reader.skip(unshared);
    const value = reader.slice(valueLength);
    handles.push(value.handle());
  }
  return handles;
}

class Reader {
  readonly #bytes: Buffer;
  #at: number;
  readonly #end: number;

  constructor(bytes: Buffer, start: number, end: number) {
    if (start < 0 || end > bytes.length || start > end) throw new RangeError("the table's index points outside the file");
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
  }

  get done(): boolean {
    return this.#at >= this.#end;
  }

  varint(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined || this.#at > this.#end || scale > 2 ** 49) throw new RangeError("the table's index holds a malformed number");
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
  }

  handle(): BlockHandle {
    const offset = this.varint();
    return { offset, size: this.varint() };
  }

  skip(length: number): void {
    this.#at += length;
  }

  slice(length: number): Reader {
    const start = this.#at;
    this.#at += length;
    return new Reader(this.#bytes, start, Math.min(this.#at, this.#end));
  }
}
