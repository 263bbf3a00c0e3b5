export type {
  ApplyResult,
  CheckBranches,
  ClientMemory,
  KnownParticipant,
  Lookup,
  RefusalReason,
  Register,
  StateChange,
  StateMachine,
  StateMeta,
  TxnLimits,
} from "./api.js";
export type { AbortReason, BranchMode, BranchSpec, Command, Decision, RequestId, StampedCommand, Vote } from "./command.js";
export type { BranchRecord, DecisionRecord, FinishedOutcome, Transaction } from "./transaction.js";
