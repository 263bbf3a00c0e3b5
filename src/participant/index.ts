export type {
  BranchRef,
  BroughtBranch,
  BroughtParticipant,
  InDoubtFilter,
  OnePhaseResult,
  Participant,
  ParticipantManifest,
  ParticipantVote,
  PrepareRequest,
  SettleResult,
  VoteResult,
} from "./contract.js";
export type { PreparedBranch } from "./prepared.js";
