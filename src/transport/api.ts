/**
 * The face of the transport room: nodes' peer network, and the server for clients and participants.
 */
import type { Logger, NodeId } from "../base/index.js";
import type {
  Abilities,
  BranchReply,
  ClientSession,
  Inquiry,
  InstanceId,
  Request,
  Answer,
  BranchCall,
  InquiryAnswer,
} from "../coordinator/index.js";
import type { NetPort } from "../replica/ports.js";
import type { NodeStatus, NodeView } from "../wire/index.js";
import type { ZabInput } from "../zab/index.js";

export interface SnapshotChunk {
  readonly entries: readonly { readonly key: string; readonly value: Uint8Array }[];
}

/** Counters since the start; for metrics, and for tests of batching. */
export interface StreamStats {
  readonly framesSent: number;
  readonly framesReceived: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /** Messages, requests, answers, calls: what the frames carried. */
  readonly itemsSent: number;
  readonly itemsReceived: number;
  /** Control messages dropped, because the link was down or its queue full. */
  readonly dropped: number;
  /** Streams refused, cut off for not reading, or ended for malformed frames. */
  readonly refused: number;
}

/**
 * Peer network of one node. Listens at `listenAddress`, dials every other voter on separate connections per lane.
 *
 * Session ids: those of `dial` are the core's, positive; those of accepted sessions are allocated here, negative. After `close` nothing
 * more is delivered on a session, not even session-down.
 */
export interface PeerNet extends NetPort {
  /** The port really bound. */
  readonly port: number;
  /**
   * Fetches a snapshot over a stream of its own, throttled by the sender. Throws when the leader no longer has it. `signal` ends the
   * stream at once, whatever it waits for.
   */
  fetchSnapshot(peer: NodeId, snapshotId: string, signal: AbortSignal): AsyncIterable<SnapshotChunk>;
  /** Puts on the wire at once what this turn collected. Without it that happens at the end of the turn. */
  flush(): void;
  stats(): StreamStats;
  /** Ends every stream and frees the port. `close` is NetPort's: it ends one session. */
  shutdown(): Promise<void>;
}

export interface PeerNetOptions {
  readonly self: NodeId;
  readonly clusterId: string;
  /** `host:port`. */
  readonly listenAddress: string;
  readonly peers: readonly { readonly id: NodeId; readonly address: string }[];
  /** Zab inputs of kind control, link, session-up, session-down, session. Called from the event loop, never inside a NetPort call. */
  readonly onInput: (input: ZabInput) => void;
  readonly readSnapshot: (snapshotId: string) => AsyncIterable<SnapshotChunk>;
  readonly snapshotBytesPerSecond: number;
  readonly log: Logger;
}

/** Handlers of the client-facing server. All called from the event loop. */
export interface ClientServerHandlers {
  onClientUp(session: ClientSession, client: string): void;
  onClientDown(session: ClientSession): void;
  onRequests(session: ClientSession, requests: readonly { readonly request: number; readonly body: Request }[]): void;
  onInstanceUp(instance: InstanceId, participant: string, participantKind: string, abilities: Abilities): void;
  onInstanceDown(instance: InstanceId): void;
  onReplies(instance: InstanceId, replies: readonly BranchReply[]): void;
  onInquiries(instance: InstanceId, inquiries: readonly Inquiry[]): void;
  /** A unary call: served here on the leader, forwarded by the server room on a follower. `deadlineMs` is what is left of its time. */
  onUnary(body: Request, deadlineMs: number): Promise<Answer>;
  onStatus(): Promise<NodeStatus>;
  /** Planned hand-over. Resolves with the new leader's id, rejects with a QuorateError. */
  onMoveLeader(to: NodeId | undefined): Promise<NodeId>;
}

export interface ClientServerOptions {
  /** `host:port`. */
  readonly listenAddress: string;
  readonly handlers: ClientServerHandlers;
  /** Deadline of a unary call whose caller set none. */
  readonly unaryDeadlineMs: number;
  /** For a transaction whose client asks for the cluster's default. */
  readonly transactionTimeoutMs: number;
  readonly log: Logger;
}

/** Server for clients, participants, unary calls and gRPC health. Sends are batched: one frame per stream and event-loop turn. */
export interface ClientServer {
  /** The port really bound. */
  readonly port: number;
  answer(session: ClientSession, request: number, answer: Answer): void;
  call(call: BranchCall): void;
  inquiryAnswers(instance: InstanceId, answers: readonly InquiryAnswer[]): void;
  /** Pushes the view to every open stream and remembers it for new ones; also drives gRPC health (SERVING while a leader is established). */
  setView(view: NodeView): void;
  /** Puts on the wire at once what this turn collected. Without it that happens at the end of the turn. */
  flush(): void;
  stats(): StreamStats;
  /** Stops taking new streams and unary calls, ends streams after `graceMs`. */
  close(graceMs: number): Promise<void>;
}
