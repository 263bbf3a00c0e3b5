/**
 * Who counts. Membership as data; the only place that turns a set of nodes into "a quorum" is quorum.ts.
 */
import type { NodeId, Zxid } from "../base/index.js";

export interface Member {
  readonly id: NodeId;
  /** `host:port` other coordinators dial. */
  readonly peerAddress: string;
  /** `host:port` clients and participants dial. */
  readonly clientAddress: string;
  /** Observers replicate but never vote or ack. No observers yet: the field keeps the record's shape. */
  readonly role: "voter" | "observer";
}

export interface Membership {
  /** The zxid of the entry that introduced it; 0:0 for the bootstrap membership. */
  readonly version: Zxid;
  readonly members: readonly Member[];
}

/** The membership in force and, while a change is under way, the one proposed: both must agree to every quorum. */
export interface Configuration {
  readonly current: Membership;
  readonly next: Membership | undefined;
}
