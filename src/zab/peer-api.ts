/**
 * The face of the consensus core: one step in, one Ready out.
 */
import type { Buggify, NodeId, Zxid } from "../base/index.js";
import type { EpochRecord, RecoveredLog } from "./entry.js";
import type { Configuration } from "./membership.js";
import type { ProposeRefusal, Ready, Role, SyncKind, ZabInput } from "./input.js";

/** Timeouts and bounds. Defaults and reasons: src/config. All times in ms. */
export interface ZabOptions {
  /** How long an elected majority waits for a better vote; skipped when every live voter agrees. */
  readonly finalizeWaitMs: number;
  readonly notifyResendMsMin: number;
  readonly notifyResendMsMax: number;
  /** Bound on discovery and synchronization at either end. */
  readonly initLimitMs: number;
  readonly pingIntervalMs: number;
  /** A follower that heard nothing for this long, at least, looks for a new leader (adaptive above it: 3x the EWMA of gaps). */
  readonly followerSilenceMsMin: number;
  readonly followerSilenceMsMax: number;
  /** A leader that a quorum has not answered for this long abdicates. */
  readonly quorumLossMs: number;
  /** How long a lost connection to the leader may be redialed before it counts as lost, when no quorum agrees that it is gone. */
  readonly redialGraceMs: number;
  /** Caps of one PROPOSE, and of what a leader keeps proposed but uncommitted. */
  readonly batchBytesMax: number;
  readonly uncommittedBytesMax: number;
  readonly uncommittedEntriesMax: number;
  /** The tail of committed entries kept in memory and on disk for DIFF. */
  readonly historyEntriesKeep: number;
  readonly historyBytesKeep: number;
  readonly transferTimeoutMs: number;
  /** Most entries in one `Ready.committed`: a node that comes back applies its backlog in slices and answers heartbeats in between. */
  readonly deliverEntriesMax: number;
}

/** How this node was last synchronized as a learner, for status: `from` is where its log ended before, `to` where it ended after. */
export interface SyncRecord {
  /** The leader that did it. */
  readonly peer: NodeId;
  readonly kind: SyncKind;
  readonly from: Zxid;
  readonly to: Zxid;
  readonly atMs: number;
}

export interface ZabStatus {
  readonly role: Role;
  readonly epochs: EpochRecord;
  readonly lastLogged: Zxid;
  readonly lastDurable: Zxid;
  readonly committed: Zxid;
  readonly historyBase: Zxid;
  readonly synced: readonly { readonly peer: NodeId; readonly durable: Zxid; readonly counted: boolean }[];
  readonly lastSync: SyncRecord | undefined;
  readonly electionsStarted: number;
  readonly uncommittedEntries: number;
  readonly uncommittedBytes: number;
}

export interface ZabPeer {
  step(input: ZabInput, nowMs: number): void;
  /** Appends one entry per payload in this order. On success the entries are (epoch, first.counter + i). */
  propose(
    payloads: readonly Uint8Array[],
    nowMs: number,
  ): { readonly ok: true; readonly first: Zxid } | { readonly ok: false; readonly refusal: ProposeRefusal };
  /** Everything owed since the last call. Cheap when nothing is owed. */
  drain(): Ready;
  status(): ZabStatus;
  /** The membership in force as far as it is durable; the same object until it changes. */
  configuration(): Configuration;
}

export type CreateZabPeer = (
  id: NodeId,
  recovered: RecoveredLog,
  options: ZabOptions,
  /** 32 random bits */ random32: () => number,
  nowMs: number,
  /** Only of a simulator. */ buggify?: Buggify,
) => ZabPeer;
