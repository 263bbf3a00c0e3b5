/**
 * Snapshots between nodes: proto/quorate/v1/peer.proto, the snapshot lane. Values are views of their frame.
 */
import { EMPTY_BYTES } from "./common-codec.js";
import type { Codec } from "./codec-api.js";
import type { ProtoReader } from "./proto-reader.js";
import { decodeMessage, nested } from "./proto-reader.js";
import { ProtoWriter } from "./proto-writer.js";

export interface StateEntry {
  readonly key: string;
  readonly value: Uint8Array;
}

export interface SnapshotEnd {
  readonly entries: number;
  /** Of all earlier frames' bytes, in order. */
  readonly crc32c: number;
}

export interface SnapshotFrame {
  readonly entries: readonly StateEntry[];
  /** Only in the last frame. */
  readonly end: SnapshotEnd | undefined;
}

const writer = new ProtoWriter(512 * 1024);

/** About how many bytes the entry takes on the wire: what frames are filled by. */
export function stateEntryBytes(entry: StateEntry): number {
  return entry.key.length * 3 + entry.value.length + 16;
}

function readStateEntry(r: ProtoReader): StateEntry {
  let key = "";
  let value: Uint8Array = EMPTY_BYTES;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) key = r.text();
    else if (tag === 18) value = r.view();
    else r.skip(tag);
  }
  return { key, value };
}

function readEnd(r: ProtoReader): SnapshotEnd {
  let entries = 0;
  let crc32c = 0;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 8) entries = r.uint();
    else if (tag === 16) crc32c = r.uint32();
    else r.skip(tag);
  }
  return { entries, crc32c };
}

function readFrame(r: ProtoReader): SnapshotFrame {
  const entries: StateEntry[] = [];
  let end: SnapshotEnd | undefined;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 10) entries.push(nested(r, readStateEntry));
    else if (tag === 18) end = nested(r, readEnd);
    else r.skip(tag);
  }
  return { entries, end };
}

export const snapshotFrameCodec: Codec<SnapshotFrame> = {
  encode({ entries, end }) {
    writer.begin();
    if (end !== undefined) {
      const mark = writer.mark();
      writer.uint(2, end.crc32c);
      writer.uint(1, end.entries);
      writer.message(2, mark);
    }
    for (let i = entries.length - 1; i >= 0; i--) {
      const entry = entries[i] as StateEntry;
      const mark = writer.mark();
      writer.bytes(2, entry.value);
      writer.text(1, entry.key);
      writer.message(1, mark);
    }
    return writer.finish();
  },
  decode: (bytes) => decodeMessage("SnapshotFrame", bytes, readFrame),
};

/** SnapshotRequest. */
export const snapshotRequestCodec: Codec<{ readonly snapshotId: string }> = {
  encode({ snapshotId }) {
    writer.begin();
    writer.text(1, snapshotId);
    return writer.finish();
  },
  decode: (bytes) =>
    decodeMessage("SnapshotRequest", bytes, (r) => {
      let snapshotId = "";
      for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
        if (tag === 10) snapshotId = r.text();
        else r.skip(tag);
      }
      return { snapshotId };
    }),
};
