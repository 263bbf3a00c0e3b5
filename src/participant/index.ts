export type { BranchRef, Participant, ParticipantManifest, ParticipantVote, PrepareRequest, SettleResult, VoteResult } from "./contract.js";
