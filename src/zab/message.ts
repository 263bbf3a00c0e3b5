/**
 * Messages between coordinators. Names follow ZooKeeper; docs/protocol.md has the table of who sends what when.
 *
 * Two lanes. Control messages may be lost, repeated and reordered, and never wait behind bulk. Session messages travel on one
 * FIFO connection that the follower dialed to its leader; a lost connection ends the session, and a new one starts the
 * handshake again. Snapshots travel on a third stream that zab does not see.
 */
import type { NodeId, Zxid } from "../base/index.js";
import type { Damage, Entry } from "./entry.js";
import type { Configuration } from "./membership.js";

export type PeerState = "looking" | "following" | "leading" | "observing";

export interface ElectionVote {
  readonly leader: NodeId;
  /** The candidate's currentEpoch, compared first. */
  readonly epoch: number;
  /** The candidate's last durable entry, compared second; the id is compared last. */
  readonly zxid: Zxid;
}

export type ControlMessage =
  /** Fast leader election: the sender's vote, round and state. */
  | {
      readonly kind: "NOTIFY";
      readonly round: number;
      readonly state: PeerState;
      readonly vote: ElectionVote;
      /** The epoch the sender follows or leads in; 0 while looking. A settled vote is matched on (leader, epoch) only. */
      readonly settledEpoch: number;
      /** Set by a sender whose state cannot be trusted: it must not be tallied or elected. */
      readonly nonVoting: boolean;
      readonly configVersion: Zxid;
      /** Asks for an answer even from a settled node. */
      readonly wantsReply: boolean;
    }
  /** Leader to follower: alive, and how far the commit is. `seq` is fresh for each round and is what a quorum read waits for. */
  | { readonly kind: "PING"; readonly epoch: number; readonly seq: number; readonly commit: Zxid }
  /** Follower to leader, only while its acceptedEpoch is still the leader's. */
  | { readonly kind: "PONG"; readonly epoch: number; readonly seq: number; readonly durable: Zxid }
  /** A leader gives up on purpose; `successor` has every proposal durable. */
  | { readonly kind: "ABDICATE"; readonly epoch: number; readonly successor: NodeId | undefined };

export type SessionMessage =
  // ---- discovery
  | { readonly kind: "CEPOCH"; readonly acceptedEpoch: number; readonly configVersion: Zxid; readonly damage: Damage | undefined }
  | { readonly kind: "NEWEPOCH"; readonly epoch: number }
  | {
      readonly kind: "ACKEPOCH";
      readonly epoch: number;
      /** undefined when this epoch was promised before: the follower may synchronize but is not counted. */
      readonly currentEpoch: number | undefined;
      readonly last: Zxid;
      /** The log's compacted, committed prefix ends here. */
      readonly base: Zxid;
      /** The last counter of each epoch that has entries after base, ascending by epoch: names the whole log exactly. */
      readonly lineage: readonly Zxid[];
    }
  /** The follower refuses: it promised a higher epoch. */
  | { readonly kind: "REFUSE"; readonly acceptedEpoch: number; readonly reason: string }
  // ---- synchronization, one FIFO per follower
  | { readonly kind: "DIFF"; readonly from: Zxid }
  | { readonly kind: "TRUNC"; readonly to: Zxid }
  | { readonly kind: "SNAP"; readonly at: Zxid; readonly snapshotId: string }
  | { readonly kind: "NEWLEADER"; readonly epoch: number; readonly last: Zxid; readonly configuration: Configuration }
  | { readonly kind: "ACKNEWLEADER"; readonly epoch: number; readonly last: Zxid }
  | { readonly kind: "UPTODATE"; readonly epoch: number; readonly commit: Zxid }
  // ---- broadcast
  | {
      readonly kind: "PROPOSE";
      readonly epoch: number;
      /** The entry before the first: a gap ends the session. */
      readonly previous: Zxid;
      readonly entries: readonly Entry[];
      readonly commit: Zxid;
    }
  /** Cumulative: every entry up to here is durable at the sender. */
  | { readonly kind: "ACK"; readonly epoch: number; readonly durable: Zxid }
  /** Cumulative. */
  | { readonly kind: "COMMIT"; readonly epoch: number; readonly commit: Zxid };
