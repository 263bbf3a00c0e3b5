/**
 * One bit of a stopped node's folder, turned round: in its log, its promises, its marks, its state store.
 *
 * The bit lies in a sector where something is written: what was only made room for means nothing yet. Empty files, and LevelDB's own
 * diary, which nothing reads, have no such place.
 */
import { closeSync, fsyncSync, openSync, readdirSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Prng } from "../../src/base/index.js";

export const FLIP_TARGETS = ["log", "epochs", "mark", "witness", "format", "state"] as const;
export type FlipTarget = (typeof FLIP_TARGETS)[number];

const SECTOR_BYTES = 512;

export interface Flip {
  /** Below the data folder. */
  readonly file: string;
  readonly offset: number;
  readonly bit: number;
}

/** Where the bit may be: the files of a kind that the folder has. */
function filesOf(dataDir: string, target: FlipTarget): readonly string[] {
  switch (target) {
    case "log":
      return readdirSync(join(dataDir, "log"))
        .filter((name) => name.endsWith(".wal"))
        .map((name) => join("log", name));
    case "epochs":
      return ["epochs"];
    case "mark":
      return [join("log", "synced")];
    case "witness":
      return ["checkpoint"];
    case "format":
      return ["format.json"];
    case "state":
      return readdirSync(join(dataDir, "state"))
        .filter((name) => /\.(log|ldb)$|^MANIFEST|^CURRENT$/.test(name))
        .map((name) => join("state", name));
  }
}

/** Turns one bit and makes that durable; undefined when the folder has nothing written of the kind. The node must be stopped. */
export function flipBit(dataDir: string, target: FlipTarget, prng: Prng): Flip | undefined {
  const written = filesOf(dataDir, target)
    .toSorted()
    .map((file) => ({ file, bytes: readFileSync(join(dataDir, file)) }))
    .map(({ file, bytes }) => ({ file, bytes, sectors: writtenSectors(bytes) }))
    .filter(({ sectors }) => sectors.length > 0);
  if (written.length === 0) return undefined;
  const { file, bytes, sectors } = prng.pick(written);
  const from = prng.pick(sectors);
  const offset = prng.int(from, Math.min(from + SECTOR_BYTES, bytes.length) - 1);
  const bit = prng.int(0, 7);
  const fd = openSync(join(dataDir, file), "r+");
  writeSync(fd, Uint8Array.of((bytes[offset] ?? 0) ^ (1 << bit)), 0, 1, offset);
  fsyncSync(fd);
  closeSync(fd);
  return { file, offset, bit };
}

/** Where sectors begin that are not all zeros. */
function writtenSectors(bytes: Buffer): readonly number[] {
  const zeros = Buffer.alloc(SECTOR_BYTES);
  const starts: number[] = [];
  for (let from = 0; from < bytes.length; from += SECTOR_BYTES) {
    const sector = bytes.subarray(from, from + SECTOR_BYTES);
    if (!sector.equals(zeros.subarray(0, sector.length))) starts.push(from);
  }
  return starts;
}
