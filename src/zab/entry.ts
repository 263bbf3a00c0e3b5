/**
 * Log entries and the record of promises, as the consensus core sees them: payloads are opaque bytes.
 */
import type { Zxid } from "../base/index.js";
import type { Configuration } from "./membership.js";

export interface Entry {
  readonly zxid: Zxid;
  /** Opaque to zab, storage and transport. */
  readonly payload: Uint8Array;
}

/**
 * Why a node's durable state cannot be trusted to be complete. `log`: entries it may have acknowledged are gone, its epochs are
 * known. `identity`: its epochs are unknown too (a new folder in an old cluster, or an unreadable epochs record).
 * Such a node neither votes nor is counted until it has rebuilt from a leader that was established without it; for `identity`
 * every other voter must also have confirmed that leader after the node's return (the argument: damage.ts).
 */
export type Damage = "log" | "identity";

/** The promises record: two slots, checksummed, written to disk before memory changes. */
export interface EpochRecord {
  /** Highest epoch promised in discovery (ZAB `acceptedEpoch`). */
  readonly acceptedEpoch: number;
  /** Highest epoch whose initial history is durable here (ZAB `currentEpoch`). */
  readonly currentEpoch: number;
  readonly configuration: Configuration;
  /** Set durably when damage is found, cleared in the write that makes a rebuilt history current. */
  readonly damage: Damage | undefined;
}

/** What storage hands to the core at start: everything durable, verified. */
export interface RecoveredLog {
  readonly epochs: EpochRecord;
  /** The state checkpoint's applied zxid; the log continues from here or from before. */
  readonly applied: Zxid;
  /** Entries are exactly those after `base`; `base` is 0:0 or the zxid of a compacted, committed entry. `base <= applied`. */
  readonly base: Zxid;
  readonly entries: readonly Entry[];
}

/**
 * One durable operation. Operations form one FIFO across roles and epochs; a completion carries the sequence number given by the
 * core, never a log index, so that a stale completion cannot be mistaken (ZOOKEEPER-4712, etcd's append ABA race).
 */
export type PersistOp =
  | { readonly kind: "append"; /** the entry before the first */ readonly previous: Zxid; readonly entries: readonly Entry[] }
  | { readonly kind: "truncate"; /** the last entry that stays */ readonly after: Zxid }
  | { readonly kind: "reset"; /** an installed snapshot's zxid: the log becomes empty and continues after it */ readonly base: Zxid }
  | { readonly kind: "epochs"; readonly record: EpochRecord }
  | { readonly kind: "compact"; /** entries up to here may be removed; never above the durable checkpoint */ readonly upTo: Zxid };

export interface PersistRequest {
  /** Strictly increasing over the life of the process. */
  readonly seq: number;
  readonly op: PersistOp;
}
