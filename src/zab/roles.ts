/**
 * What a peer remembers in each role. Everything here is volatile: it is built when a role is taken and dropped when it ends.
 *
 * peer.ts is the only assigner of the role. The objects are changed in place by the phase files: a new object per acknowledged batch
 * would be the largest cost of the leader's steady state.
 */
import type { NodeId, Zxid } from "../base/index.js";
import type { SilenceDetector } from "./detector.js";
import type { Damage } from "./entry.js";
import type { RemoteLog } from "./history.js";
import type { SessionId } from "./input.js";
import type { ControlMessage, ElectionVote, PeerState, SessionMessage } from "./message.js";
import type { ReadRounds } from "./reads.js";

export type RoleState = Looking | Following | Leading;

/** Why a role ended. Reported in events; decides nothing. */
export type LookReason =
  | "start"
  | "round-lost"
  | "leader-connection-lost"
  | "leader-silent"
  | "leader-looking"
  | "leader-abdicated"
  | "init-limit"
  | "epoch-refused"
  | "sync-mismatch"
  | "session-gap"
  | "install-failed"
  | "quorum-lost"
  | "electors-gone"
  | "follower-ahead"
  | "higher-epoch-promised"
  | "slow-disk"
  | "counter-exhausted"
  | "transferred"
  | "damaged"
  | "needless";

export type Transition =
  | {
      readonly kind: "look";
      readonly reason: LookReason;
      /** The peer to vote for first. */
      readonly successor?: NodeId | undefined;
    }
  | { readonly kind: "follow"; readonly leader: NodeId; /** of the election that it won */ readonly round: number }
  /** With those whose votes made it the leader. */
  | { readonly kind: "lead"; readonly electors: readonly NodeId[] };

export type Notify = Extract<ControlMessage, { readonly kind: "NOTIFY" }>;

/** What a node that has a leader said about it. */
export interface SettledVote {
  readonly state: PeerState;
  readonly leader: NodeId;
  readonly settledEpoch: number;
  readonly round: number;
}

export interface Looking {
  readonly kind: "looking";
  /** False until everything submitted is durable: the election is about what is on disk (ZOOKEEPER-975). */
  started: boolean;
  /** Notifications that came before the start: the newest of each sender. */
  readonly held: Map<NodeId, Notify>;
  successor: NodeId | undefined;
  /** undefined at a node that may not vote. */
  vote: ElectionVote | undefined;
  /** Votes of this round; at a node that may not vote, each voter's newest of any round. */
  readonly received: Map<NodeId, { readonly vote: ElectionVote; readonly round: number }>;
  readonly settled: Map<NodeId, SettledVote>;
  /** Voters that said they must not be counted. */
  readonly abstaining: Set<NodeId>;
  startedMs: number;
  finalizeAtMs: number;
  resendAtMs: number;
  resendMs: number;
}

/** What a follower does with session messages. */
export type FollowerStage =
  /** Waiting for the connection, then for NEWEPOCH. */
  | "connecting"
  | "awaiting-epoch"
  /** The promise is being written; ACKEPOCH follows. */
  | "promising"
  /** Waiting for DIFF, TRUNC or SNAP. */
  | "awaiting-sync"
  /** TRUNC or SNAP is done; DIFF must follow and match. */
  | "awaiting-diff"
  | "installing"
  /** Its log is a prefix of the leader's and grows with it. */
  | "streaming"
  /** NEWLEADER arrived: history first, then the epoch, then the acknowledgement. */
  | "history-syncing"
  | "epoch-syncing"
  | "acknowledged"
  | "serving";

export interface Following {
  readonly kind: "following";
  readonly leader: NodeId;
  /** Of the election that the leader won; this node's own may have been a later one. */
  readonly round: number;
  readonly session: SessionId;
  stage: FollowerStage;
  /** The leader's epoch; 0 until it is known. */
  epoch: number;
  dialAtMs: number;
  dialed: boolean;
  /** The session is known to be down: there is nothing to close. */
  ended: boolean;
  /** ACKEPOCH leaves when this operation is durable. */
  promiseSeq: number;
  /** The epoch was promised earlier: this follower synchronizes but is not counted among the promises. */
  promisedBefore: boolean;
  /** History up to here must be durable before the epoch is. */
  newLeaderIndex: number;
  newLeader: Extract<SessionMessage, { readonly kind: "NEWLEADER" }> | undefined;
  /** Acknowledged up to here. */
  ackedIndex: number;
  /** What arrived behind a SNAP; bounded by the leader's send window. */
  readonly deferred: SessionMessage[];
  readonly detector: SilenceDetector;
  deadlineMs: number;
}

/** A follower as its leader sees it. */
export interface Learner {
  readonly peer: NodeId;
  readonly session: SessionId;
  stage: "connected" | "announced" | "promising" | "promised" | "awaiting-snapshot" | "streaming";
  damage: Damage | undefined;
  acceptedEpoch: number;
  /** Its ACKEPOCH counts towards the epoch quorum. */
  promiseCounts: boolean;
  log: RemoteLog | undefined;
  /** Sent up to here; everything after it goes out in order, at every drain. */
  sentIndex: number;
  /** Durable there up to here. */
  durableIndex: number;
  commitSentIndex: number;
  /** NEWLEADER goes out once this much was sent. */
  newLeaderAtIndex: number;
  newLeaderSent: boolean;
  /** ACKNEWLEADER arrived: its acknowledgements count. */
  current: boolean;
  upToDateSent: boolean;
  /** Compaction must not pass this while a snapshot is being fetched; Infinity otherwise. */
  pinIndex: number;
  /** Heartbeats with a higher seq were sent after it joined. */
  joinedAtPingSeq: number;
  pongSeq: number;
  /** Its next step, or once it is current its next sign of life, must come before this. */
  deadlineMs: number;
}

export interface Transfer {
  readonly to: NodeId | undefined;
  readonly untilMs: number;
  /** Handing over to itself: a new epoch, for a voter that promised a higher one. */
  readonly bumpsEpoch: boolean;
}

export interface Leading {
  readonly kind: "leading";
  phase: "discovery" | "synchronization" | "broadcast";
  /** 0 until a quorum has announced its epochs. */
  epoch: number;
  /** acceptedEpoch = epoch is durable here. */
  promised: boolean;
  /** currentEpoch = epoch and the initial history are durable here: it counts itself. */
  current: boolean;
  /** The end of the initial history I_e, and the currentEpoch it came with. */
  readonly initialIndex: number;
  readonly initialLast: Zxid;
  readonly initialEpoch: number;
  readonly learners: Map<NodeId, Learner>;
  readonly sessions: Map<SessionId, Learner>;
  /** When each peer was last heard of in this term, across its connections. */
  readonly contacts: Map<NodeId, number>;
  /** Voters that look for a leader, and since when; they count as gone once their connection is. */
  readonly deserters: Map<NodeId, number>;
  /** Voters that may be on their way: they voted for this leader in its round. */
  readonly electors: Set<NodeId>;
  readonly reads: ReadRounds;
  pingSeq: number;
  pingAtMs: number;
  /** The term's begin; from establishment on, the moment of it. */
  sinceMs: number;
  /** Establishment must happen by then. */
  deadlineMs: number;
  transfer: Transfer | undefined;
}
