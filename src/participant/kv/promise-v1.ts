/**
 * Reading the promise file of format 1, whose stores had no log: how far LevelDB had got, kept apart from it.
 *
 * Two slots of 64 bytes, a page apart, written in turn: magic u32, store id, group u48, records u48, sum u48, and a CRC at the end. It
 * is held against LevelDB once more, when a store of that format is brought to format 2; afterwards the log tells what was promised.
 */
import { open, type FileHandle } from "node:fs/promises";
import { crc32c } from "../../base/index.js";

/** What was durable in LevelDB when the slot was written. See Head in record.ts for the fields. */
export interface Promised {
  readonly storeId: string;
  readonly sequence: number;
  readonly records: number;
  readonly sum: number;
}

const MAGIC = 0x314b5651; // "QVK1"
const SLOT_BYTES = 64;
const SLOT_DISTANCE = 4096;
const STORE_ID_BYTES = 16;
const CRC_AT = SLOT_BYTES - 4;

/** The newest intact slot; "damaged": no slot is intact; undefined: there is no file. */
export async function readPromise(path: string): Promise<Promised | "damaged" | undefined> {
  let file: FileHandle;
  try {
    file = await open(path, "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  try {
    let newest: Promised | "damaged" = "damaged";
    const slot = Buffer.alloc(SLOT_BYTES);
    for (const at of [0, SLOT_DISTANCE]) {
      const { bytesRead } = await file.read(slot, 0, SLOT_BYTES, at);
      const found = bytesRead === SLOT_BYTES ? decodeSlot(slot) : undefined;
      if (found !== undefined && (newest === "damaged" || found.sequence > newest.sequence)) newest = found;
    }
    return newest;
  } finally {
    await file.close();
  }
}

/** What is wrong between a head of format 1 and its promise file; undefined: nothing. */
export function promiseProblem(head: Promised, promised: Promised | "damaged" | undefined): string | undefined {
  if (promised === undefined) return head.sequence > 0 ? `the promise file is gone, and ${head.sequence} groups were written` : undefined;
  if (promised === "damaged") return "the promise file is damaged: neither of its slots is intact";
  if (promised.storeId !== head.storeId) return "the promise file belongs to another store than LevelDB's folder";
  if (promised.sequence > head.sequence)
    return `LevelDB lost synced writes without an error: ${promised.sequence} groups were promised, it has ${head.sequence}`;
  if (promised.sequence === head.sequence && (promised.records !== head.records || promised.sum !== head.sum))
    return `LevelDB and the promise file disagree on group ${head.sequence}`;
  return undefined;
}

function decodeSlot(slot: Buffer): Promised | undefined {
  if (slot.readUInt32LE(0) !== MAGIC || slot.readUInt32LE(CRC_AT) !== crc32c(slot, 0, CRC_AT)) return undefined;
  return {
    storeId: slot.toString("hex", 4, 4 + STORE_ID_BYTES),
    sequence: slot.readUIntLE(20, 6),
    records: slot.readUIntLE(26, 6),
    sum: slot.readUIntLE(32, 6),
  };
}
