export type {
  Answered,
  BranchRef,
  BroughtBranch,
  BroughtParticipant,
  InDoubtFilter,
  OnePhaseResult,
  Participant,
  ParticipantBranchKind,
  ParticipantCalls,
  ParticipantManifest,
  ParticipantVote,
  PrepareRequest,
  SettleRequest,
  SettleResult,
  VoteResult,
} from "./contract.js";
export { tcc, TccRefusal } from "./tcc/index.js";
export type { TccBarrier, TccBarrierCall, TccCall, TccOptions, TccPhase } from "./tcc/index.js";
export type { PreparedBranch } from "./prepared.js";
