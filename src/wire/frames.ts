/**
 * What travels on the streams between clients, participants and nodes, as domain types. proto/quorate/v1 has the same, field by field.
 *
 * A frame carries everything of one event-loop turn: never a message per operation.
 */
import type { Gid, NodeId, Zxid } from "../base/index.js";
import type { BranchKind } from "../txn/index.js";
import type { Abilities, Answer, BranchPhase, BranchReply, Inquiry, InquiryAnswer, Request } from "../coordinator/index.js";

/** A node's view of the cluster, pushed on every stream when it opens and whenever it changes. */
export interface NodeView {
  readonly clusterId: string;
  readonly node: NodeId;
  readonly role: "looking" | "following" | "leading";
  /** The leader (this node or another) is established, as far as this node knows. */
  readonly established: boolean;
  readonly epoch: number;
  readonly leader: NodeId | undefined;
  /** `host:port` for clients; empty when no leader is known. */
  readonly leaderAddress: string;
  /** The cluster's clock, ms: what gids made by this client should carry. */
  readonly clusterTimeMs: number;
  readonly members: readonly { readonly id: NodeId; readonly clientAddress: string }[];
  /** Every gid whose own time (ms) is below this is forgotten for ever, by what this node has applied; 0 when none is. See StateMachine. */
  readonly forgottenBelowMs: number;
}

/** Client to node. `hello` comes first and alone. */
export interface ClientFrame {
  readonly hello: { readonly client: string; readonly version: string } | undefined;
  readonly requests: readonly { readonly request: number; readonly body: Request }[];
}

/** Node to client. */
export interface ServerFrame {
  readonly view: NodeView | undefined;
  readonly answers: readonly { readonly request: number; readonly answer: Answer }[];
}

/** Participant instance to node. `hello` comes first, with everything that is in doubt there. */
export interface ParticipantFrame {
  readonly hello:
    | (Abilities & {
        readonly participant: string;
        readonly participantKind: string;
        readonly instance: string;
        readonly version: string;
      })
    | undefined;
  readonly replies: readonly BranchReply[];
  readonly inquiries: readonly Inquiry[];
}

export interface FrameCall {
  readonly phase: BranchPhase;
  readonly kind: BranchKind;
  readonly gid: Gid;
  readonly branch: string;
  readonly epoch: number;
  readonly attempt: number;
  readonly payload: Uint8Array;
}

/** Node to participant instance. */
export interface CoordinatorFrame {
  readonly view: NodeView | undefined;
  readonly calls: readonly FrameCall[];
  readonly answers: readonly InquiryAnswer[];
}

/** One node's answer to Status: documented as JSON in docs/status.md, the same names. */
export interface NodeStatus {
  readonly id: NodeId;
  readonly clusterId: string;
  readonly version: string;
  readonly pid: number;
  readonly uptimeMs: number;
  readonly role: "looking" | "following" | "leading";
  readonly phase: "election" | "discovery" | "synchronization" | "broadcast";
  readonly epoch: number;
  readonly acceptedEpoch: number;
  readonly leader: NodeId | undefined;
  readonly lastZxid: Zxid;
  readonly committed: Zxid;
  readonly applied: Zxid;
  readonly checkpointed: Zxid;
  readonly historyBase: Zxid;
  readonly voting: boolean;
  /** Why it does not vote, and what storage found at start. */
  readonly findings: readonly string[];
  readonly lastSync:
    { readonly kind: string; readonly from: Zxid; readonly to: Zxid; readonly agoMs: number; readonly peer: NodeId } | undefined;
  readonly electionsStarted: number;
  readonly digest: number;
  readonly fsyncP50Ms: number;
  readonly fsyncP99Ms: number;
  readonly logBytes: number;
  readonly logSegments: number;
  readonly rssBytes: number;
  readonly cpuMs: number;
  readonly openTransactions: number;
  readonly inDoubt: number;
  readonly paused: number;
  readonly finishedOutcomes: number;
  readonly participants: readonly { readonly name: string; readonly kind: string; readonly instances: number }[];
  readonly clients: number;
  readonly loopDelayMaxMs: number;
}
