export type {
  BranchRef,
  BroughtBranch,
  BroughtParticipant,
  InDoubtFilter,
  Participant,
  ParticipantManifest,
  ParticipantVote,
  PrepareRequest,
  SettleResult,
  VoteResult,
} from "./contract.js";
