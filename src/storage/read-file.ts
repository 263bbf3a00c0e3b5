/**
 * Reading what a disk may refuse to give: a bad block must cost what was in it, not the start of the node.
 */
import { open } from "node:fs/promises";

const BLOCK_BYTES = 4096;
/** Stands for a block that could not be read. Not zero: unreadable is not the same as never written. */
export const UNREADABLE = 0xee;

export type ReadAt = (bytes: Buffer, offset: number, length: number, position: number) => Promise<number>;

/** The first `length` bytes of a file. What a shorter file lacks reads as zeros; a block that fails with EIO reads as 0xee. */
export async function readTolerantly(path: string, length: number): Promise<Buffer> {
  const file = await open(path, "r");
  try {
    return await readBlocks(length, async (bytes, offset, count, position) => (await file.read(bytes, offset, count, position)).bytesRead);
  } finally {
    await file.close();
  }
}

export async function readBlocks(length: number, read: ReadAt): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  let at = 0;
  let step = length;
  while (at < length) {
    try {
      const count = await read(bytes, at, Math.min(step, length - at), at);
      if (count === 0) break;
      at += count;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EIO") throw error;
      // From here on block by block, to lose no more than the bad ones.
      if (step === BLOCK_BYTES) {
        bytes.fill(UNREADABLE, at, Math.min(at + BLOCK_BYTES, length));
        at += BLOCK_BYTES;
      }
      step = BLOCK_BYTES;
    }
  }
  return bytes;
}
