/**
 * Quorate's public surface: the client library. Participants have subpaths of their own.
 */
export {
  ERROR_CODES,
  formatZxid,
  gid,
  gidTimeMs,
  isGid,
  isQuorateError,
  nodeId,
  parseZxid,
  QuorateError,
  ZXID_ZERO,
} from "./base/index.js";
export type { ErrorCode, Gid, NodeId, Outcome, Retry, Zxid } from "./base/index.js";
export { connect, currentTransaction, newGid, Quorate, rollbackFailures, servicePayload } from "./client/index.js";
export type {
  AgentStats,
  AskOptions,
  Attachment,
  AttachOptions,
  CallOptions,
  ClientEvent,
  ConnectOptions,
  Decided,
  EndpointStatus,
  EventListener,
  ExecutorLimits,
  Health,
  ListedService,
  OpenTransaction,
  PutOptions,
  RegisterServiceOptions,
  ServiceRegistration,
  Transaction,
  TransactionOptions,
  TryCall,
} from "./client/index.js";
export type { BranchView, TransactionView } from "./coordinator/index.js";
export type {
  BranchRef,
  BroughtBranch,
  BroughtParticipant,
  InDoubtFilter,
  Participant,
  ParticipantBranchKind,
  ParticipantManifest,
  ParticipantVote,
  PrepareRequest,
  SettleRequest,
  SettleResult,
  VoteResult,
} from "./participant/index.js";
export type { BranchKind, BranchMode, BranchSpec, RequestId, Vote } from "./txn/index.js";
export type { NodeStatus, NodeView } from "./wire/index.js";
