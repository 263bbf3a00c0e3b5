/**
 * The shape in which a state travels from a leader to a learner. How it travels is the transport's.
 */
import type { NodeId } from "../base/index.js";

export interface SnapshotEntry {
  readonly key: string;
  readonly value: Uint8Array;
}

/** What the receiver must have got when the stream ends: it installs nothing else. */
export interface SnapshotEnd {
  readonly count: number;
  /** 16 hex digits; independent of order. */
  readonly digest: string;
}

/** A part of a snapshot. The last one has `end`; a stream that stops without it is incomplete. */
export interface SnapshotChunk {
  readonly entries: readonly SnapshotEntry[];
  readonly end?: SnapshotEnd | undefined;
}

/** Opens the stream of a snapshot that `peer` has pinned under `snapshotId`. `signal` fires when nobody waits for it any more. */
export type FetchSnapshot = (peer: NodeId, snapshotId: string, signal: AbortSignal) => AsyncIterable<SnapshotChunk>;
