/**
 * Whether a cut really lost what was not synced, and only that: two files say so afterwards.
 *
 * `plant` right before the cut: one file synced, one never synced, and in the synced one some bytes written over without a sync, as a
 * log does. A cut counts when the synced bytes are there and both kinds of unsynced bytes are gone.
 */
import { closeSync, fsyncSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";

const BYTES = 8 * 1024;
const SYNCED = Buffer.alloc(BYTES, "synced. ");
const UNSYNCED = Buffer.alloc(BYTES, "unsynced");
/** Bytes at the end of the synced file that are written over. */
const OVERWRITTEN = BYTES / 2;

export interface CutFinding {
  /** Everything that was synced is there. */
  readonly kept: boolean;
  /** Nothing that was not synced is there. */
  readonly lost: boolean;
}

export function plantCanary(dir: string): void {
  const synced = openSync(join(dir, "canary-synced"), "w");
  writeSync(synced, SYNCED);
  fsyncSync(synced);
  const folder = openSync(dir, "r");
  fsyncSync(folder);
  closeSync(folder);
  rmSync(join(dir, "canary-unsynced"), { force: true });
  const unsynced = openSync(join(dir, "canary-unsynced"), "w");
  writeSync(unsynced, UNSYNCED);
  writeSync(synced, UNSYNCED, 0, OVERWRITTEN, BYTES - OVERWRITTEN);
  closeSync(unsynced);
  closeSync(synced);
}

export function readCanary(dir: string): CutFinding {
  const synced = contentOf(join(dir, "canary-synced"));
  const unsynced = contentOf(join(dir, "canary-unsynced"));
  return {
    kept: synced.subarray(0, BYTES - OVERWRITTEN).equals(SYNCED.subarray(0, BYTES - OVERWRITTEN)),
    lost: synced.equals(SYNCED) && !unsynced.includes("unsynced"),
  };
}

function contentOf(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return Buffer.alloc(0);
    throw error;
  }
}
