/**
 * Everything that can happen to a consensus peer, and everything it can ask for in return.
 *
 * The core is a function of its inputs: no clock, no randomness of its own, no I/O. `nowMs` is a monotonic time.
 */
import type { NodeId, Zxid } from "../base/index.js";
import type { Entry, PersistRequest } from "./entry.js";
import type { ControlMessage, SessionMessage } from "./message.js";

/**
 * A FIFO connection between a follower and a leader. Unique within one process, never reused: the core numbers the sessions it
 * dials with odd numbers, the host numbers accepted ones apart from them (negative, or even).
 */
export type SessionId = number;

export type ZabInput =
  | { readonly kind: "tick" }
  | { readonly kind: "control"; readonly from: NodeId; readonly message: ControlMessage }
  /** The control link to a peer came up, or went down: a closed or refused connection is a strong hint of death. */
  | { readonly kind: "link"; readonly peer: NodeId; readonly up: boolean }
  /** `dialed`: this node asked for it (it wants to follow `peer`). `accepted`: `peer` wants to follow this node. */
  | { readonly kind: "session-up"; readonly session: SessionId; readonly peer: NodeId; readonly direction: "dialed" | "accepted" }
  /** Also the answer to a dial that failed. Nothing more is delivered on this session. */
  | { readonly kind: "session-down"; readonly session: SessionId; readonly peer: NodeId; readonly direction: "dialed" | "accepted" }
  | { readonly kind: "session"; readonly session: SessionId; readonly message: SessionMessage }
  /** Every operation up to `seq` is durable. */
  | { readonly kind: "persisted"; readonly seq: number }
  /** The state machine has applied every entry up to here. */
  | { readonly kind: "applied"; readonly zxid: Zxid }
  /** A durable checkpoint of the state exists at this zxid: the log may be compacted up to it. */
  | { readonly kind: "checkpointed"; readonly zxid: Zxid }
  /** Answer to `snapshotWanted`: a snapshot of the applied state at `at` can be fetched under `snapshotId`. */
  | { readonly kind: "snapshot-ready"; readonly session: SessionId; readonly at: Zxid; readonly snapshotId: string }
  /** Answer to `installWanted`: durable and loaded, or failed (the session is then dropped and tried again). */
  | { readonly kind: "snapshot-installed"; readonly session: SessionId; readonly at: Zxid; readonly ok: boolean }
  /** A linearizable read: answered in `reads` once a quorum has confirmed this leader after the read arrived. */
  | { readonly kind: "read"; readonly id: number }
  /** Planned hand-over to `to`, or to the most advanced follower. */
  | { readonly kind: "transfer"; readonly to: NodeId | undefined }
  /** Damage was found while running (a bad record read back): stop voting and acknowledging, rebuild. */
  | { readonly kind: "damaged" };

export type Role =
  | { readonly kind: "looking" }
  | {
      readonly kind: "following";
      readonly leader: NodeId;
      readonly epoch: number;
      readonly phase: "discovery" | "synchronization" | "broadcast";
    }
  | { readonly kind: "leading"; readonly epoch: number; readonly phase: "discovery" | "synchronization" | "broadcast" };

export type SyncKind = "DIFF" | "TRUNC" | "SNAP";

/** Facts worth telling an operator or counting as coverage. Not acted upon. */
export interface ZabEvent {
  readonly name: string;
  readonly fields: Readonly<Record<string, string | number | boolean>>;
}

/** Everything owed since the last drain. The caller carries out all of it, lists in order. */
export interface Ready {
  readonly persist: readonly PersistRequest[];
  /** Every message here may be sent at once: the core holds back what must wait for durability. */
  readonly control: readonly { readonly to: NodeId; readonly message: ControlMessage }[];
  /** In order per session. */
  readonly session: readonly { readonly session: SessionId; readonly message: SessionMessage }[];
  /** Open a session to this peer; answered by session-up or session-down. */
  readonly dial: readonly { readonly session: SessionId; readonly peer: NodeId }[];
  readonly close: readonly SessionId[];
  /** Newly committed and locally durable entries, in order, each exactly once per process life after recovery. */
  readonly committed: readonly Entry[];
  /** True when more committed entries are owed than one Ready may hold: drain again, soon. */
  readonly moreCommitted: boolean;
  readonly reads: readonly { readonly id: number; readonly ok: boolean; /** serve once applied has reached it */ readonly index: Zxid }[];
  /** Present when role, epoch, leader or phase changed. Leaving `leading` means: pending proposals have an unknown outcome. */
  readonly role: Role | undefined;
  readonly snapshotWanted: readonly { readonly session: SessionId; readonly peer: NodeId }[];
  readonly installWanted: readonly { readonly session: SessionId; readonly peer: NodeId; readonly at: Zxid; readonly snapshotId: string }[];
  readonly events: readonly ZabEvent[];
  /** Monotonic time at which a tick is wanted at the latest. */
  readonly wakeAtMs: number;
}

/** Why a proposal was not taken. Nothing was proposed. */
export type ProposeRefusal = "not-leader" | "not-established" | "transferring" | "overloaded";
