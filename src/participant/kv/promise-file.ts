/**
 * The promise file: how far the store got, kept apart from LevelDB.
 *
 * LevelDB drops synced records without an error when a bit of its log flips, and opens an emptied folder as a new one. What a yes or
 * an acknowledgement promised must therefore be countable from somewhere else. After each group of writes is durable in LevelDB,
 * and before anything of it is answered, the group's number and the digest of the whole store are written here and synced.
 *
 * Two slots, a page apart, written in turn: a torn write leaves the other, which is the group before. The file never grows, so a
 * sync carries no metadata. It is open with O_DSYNC: a write is durable when it is done, in one trip to the kernel instead of two.
 *
 * Decides: nothing about what the numbers mean (store.ts). Limit: when the newer slot itself is damaged, the older one is in force,
 * and the loss of exactly the last group would pass; one fault is noticed, not every pair of faults.
 */
import { constants } from "node:fs";
import { open, rename, type FileHandle } from "node:fs/promises";
import { crc32c } from "../../base/index.js";

/** What was durable in LevelDB when the slot was written. See Head in record.ts for the fields. */
export interface Promised {
  readonly storeId: string;
  readonly sequence: number;
  readonly records: number;
  readonly sum: number;
}

const { O_RDWR, O_CREAT, O_TRUNC, O_DSYNC } = constants;
const MAGIC = 0x314b5651; // "QVK1"
const SLOT_BYTES = 64;
const SLOT_DISTANCE = 4096;
const STORE_ID_BYTES = 16;
const CRC_AT = SLOT_BYTES - 4;

export class PromiseFile {
  readonly #file: FileHandle;
  readonly #slot = Buffer.alloc(SLOT_BYTES);
  /** Slot of the next write: never the one that holds the newest promise. */
  #next = 0;

  private constructor(file: FileHandle) {
    this.#file = file;
  }

  /**
   * Makes a new file with both slots filled, synced under another name and then renamed, so that it is never found half made. The
   * caller syncs the folder.
   */
  static async create(path: string, promised: Promised): Promise<PromiseFile> {
    const handle = await open(`${path}.new`, O_RDWR | O_CREAT | O_TRUNC | O_DSYNC);
    try {
      const file = new PromiseFile(handle);
      const pages = Buffer.alloc(2 * SLOT_DISTANCE);
      for (const slot of [0, 1]) encodeSlot(pages.subarray(slot * SLOT_DISTANCE, slot * SLOT_DISTANCE + SLOT_BYTES), promised);
      await handle.write(pages, 0, pages.length, 0);
      await handle.sync();
      await rename(`${path}.new`, path);
      return file;
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** Opens an existing file and reads its newest intact slot; `promised` undefined: no slot is intact. Undefined: there is no file. */
  static async open(path: string): Promise<{ readonly file: PromiseFile; readonly promised: Promised | undefined } | undefined> {
    let handle: FileHandle;
    try {
      handle = await open(path, O_RDWR | O_DSYNC);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
    try {
      const file = new PromiseFile(handle);
      let promised: Promised | undefined;
      for (const slot of [0, 1]) {
        const { bytesRead } = await handle.read(file.#slot, 0, SLOT_BYTES, slot * SLOT_DISTANCE);
        const found = bytesRead === SLOT_BYTES ? decodeSlot(file.#slot) : undefined;
        if (found === undefined || (promised !== undefined && found.sequence <= promised.sequence)) continue;
        promised = found;
        file.#next = 1 - slot;
      }
      return { file, promised };
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** Resolves when the promise is durable. One at a time. A failure is final: after one the state of the file is unknown. */
  async write(promised: Promised): Promise<void> {
    encodeSlot(this.#slot, promised);
    const { bytesWritten } = await this.#file.write(this.#slot, 0, SLOT_BYTES, this.#next * SLOT_DISTANCE);
    if (bytesWritten !== SLOT_BYTES) throw new Error(`${bytesWritten} of ${SLOT_BYTES} bytes of a promise were written`);
    this.#next = 1 - this.#next;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

function encodeSlot(slot: Buffer, promised: Promised): void {
  slot.fill(0);
  slot.writeUInt32LE(MAGIC, 0);
  slot.write(promised.storeId, 4, STORE_ID_BYTES, "hex");
  slot.writeUIntLE(promised.sequence, 20, 6);
  slot.writeUIntLE(promised.records, 26, 6);
  slot.writeUIntLE(promised.sum, 32, 6);
  slot.writeUInt32LE(crc32c(slot, 0, CRC_AT), CRC_AT);
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
