/**
 * Small records made of self-checking sectors, so that after a crash a torn write can be told from rot.
 *
 * A disk writes a 512-byte sector whole or not at all. Each sector of a copy carries the generation it belongs to and its own
 * CRC-32C: a torn write leaves sectors that are all valid but of different generations, rot leaves a sector that is not valid.
 * A torn copy proves that its write never completed and so was never acted upon; a rotten one proves nothing.
 */
import { crc32c } from "../base/index.js";

export const SECTOR_BYTES = 512;
/** generation low, high; index, count; text length; CRC of everything else in the sector. */
const SECTOR_HEADER_BYTES = 20;
const TEXT_PER_SECTOR = SECTOR_BYTES - SECTOR_HEADER_BYTES;
const CRC_AT = 16;

export type SectorCopy =
  { readonly kind: "good"; readonly generation: number; readonly text: string } | { readonly kind: "torn" } | { readonly kind: "rotten" };

export function sectorTextBytesMax(copyBytes: number): number {
  return Math.floor(copyBytes / SECTOR_BYTES) * TEXT_PER_SECTOR;
}

/**
 * One copy: always all of its `copyBytes`, so that no sector of it is ever unwritten. `seed` binds it to its file and place.
 * Throws RangeError when the text does not fit.
 */
export function encodeSectors(generation: number, text: string, seed: number, copyBytes: number): Buffer {
  const content = Buffer.from(text, "utf8");
  if (content.length > sectorTextBytesMax(copyBytes)) {
    throw new RangeError(`a record of ${content.length} bytes does not fit; the limit is ${sectorTextBytesMax(copyBytes)}`);
  }
  const count = copyBytes / SECTOR_BYTES;
  const out = Buffer.alloc(copyBytes);
  for (let index = 0; index < count; index++) {
    const at = index * SECTOR_BYTES;
    const part = content.subarray(index * TEXT_PER_SECTOR, (index + 1) * TEXT_PER_SECTOR);
    out.writeUInt32LE(generation >>> 0, at);
    out.writeUInt32LE(Math.floor(generation / 0x1_0000_0000), at + 4);
    out.writeUInt16LE(index, at + 8);
    out.writeUInt16LE(count, at + 10);
    out.writeUInt16LE(part.length, at + 12);
    part.copy(out, at + SECTOR_HEADER_BYTES);
    out.writeUInt32LE(sectorCrc(out, at, seed), at + CRC_AT);
  }
  return out;
}

export function decodeSectors(copy: Buffer, seed: number): SectorCopy {
  const parts: Buffer[] = [];
  let generation = -1;
  let mixed = false;
  for (let index = 0; index * SECTOR_BYTES < copy.length; index++) {
    const sector = readSector(copy, index, seed);
    if (sector === undefined || sector.index !== index || sector.count !== copy.length / SECTOR_BYTES) return { kind: "rotten" };
    mixed ||= index > 0 && sector.generation !== generation;
    generation = sector.generation;
    parts.push(sector.content);
  }
  if (mixed) return { kind: "torn" };
  return { kind: "good", generation, text: Buffer.concat(parts).toString("utf8") };
}

function readSector(
  copy: Buffer,
  index: number,
  seed: number,
): { generation: number; index: number; count: number; content: Buffer } | undefined {
  const at = index * SECTOR_BYTES;
  if (at + SECTOR_BYTES > copy.length) return undefined;
  const length = copy.readUInt16LE(at + 12);
  const count = copy.readUInt16LE(at + 10);
  if (length > TEXT_PER_SECTOR || count === 0 || copy.readUInt32LE(at + CRC_AT) !== sectorCrc(copy, at, seed)) return undefined;
  return {
    generation: copy.readUInt32LE(at) + copy.readUInt32LE(at + 4) * 0x1_0000_0000,
    index: copy.readUInt16LE(at + 8),
    count,
    content: copy.subarray(at + SECTOR_HEADER_BYTES, at + SECTOR_HEADER_BYTES + length),
  };
}

function sectorCrc(bytes: Buffer, at: number, seed: number): number {
  return crc32c(bytes, at + SECTOR_HEADER_BYTES, at + SECTOR_BYTES, crc32c(bytes, at, at + CRC_AT, seed));
}
