/**
 * Snapshots between storage and the wire: the storage's own seal over the whole snapshot travels as the last entry.
 *
 * The transport checks what it carried, frame by frame; the seal was made where the state was read from disk and is checked where it is
 * written, so that nothing between the two has to be trusted.
 */
import { QuorateError } from "../base/index.js";
import type { SnapshotChunk as StoredChunk, SnapshotEnd, SnapshotEntry } from "../storage/index.js";
import type { SnapshotChunk as WireChunk } from "../transport/index.js";

/** No key of the state begins with NUL. */
const SEAL_KEY = "\u0000seal";
const SEAL = /^(\d{1,16}) ([0-9a-f]{16})$/;

/** `onEnd`: the reader has everything, or gave up. */
export async function* sealed(chunks: AsyncIterable<StoredChunk>, onEnd: () => void): AsyncGenerator<WireChunk> {
  try {
    for await (const { entries, end } of chunks) yield { entries: end === undefined ? entries : [...entries, sealEntry(end)] };
  } finally {
    onEnd();
  }
}

/** Throws QUORATE_INTERNAL for a seal that is malformed or not last; a missing one is noticed by the storage. */
export async function* unsealed(chunks: AsyncIterable<WireChunk>): AsyncGenerator<StoredChunk> {
  let done = false;
  for await (const { entries } of chunks) {
    if (done) throw new QuorateError("QUORATE_INTERNAL", "a snapshot goes on after its seal");
    const at = entries.findIndex(({ key }) => key === SEAL_KEY);
    const seal = entries[at];
    if (seal === undefined) {
      yield { entries };
      continue;
    }
    if (at !== entries.length - 1) throw new QuorateError("QUORATE_INTERNAL", "a snapshot goes on after its seal");
    done = true;
    yield { entries: entries.slice(0, -1), end: readSeal(seal) };
  }
}

function sealEntry({ count, digest }: SnapshotEnd): SnapshotEntry {
  return { key: SEAL_KEY, value: Buffer.from(`${count} ${digest}`, "latin1") };
}

function readSeal({ value }: SnapshotEntry): SnapshotEnd {
  const match = SEAL.exec(Buffer.from(value).toString("latin1"));
  if (match === null) throw new QuorateError("QUORATE_INTERNAL", "a snapshot's seal is malformed");
  return { count: Number(match[1]), digest: match[2] ?? "" };
}
