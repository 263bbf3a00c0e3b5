export type {
  ApplyResult,
  CheckBranches,
  ClientMemory,
  KnownParticipant,
  Lookup,
  RefusalReason,
  Register,
  StateChange,
  Restoring,
  StateMachine,
  StateMeta,
  TxnLimits,
} from "./api.js";
export type { AbortReason, BranchKind, BranchMode, BranchSpec, Command, Decision, RequestId, StampedCommand, Vote } from "./command.js";
export { checkBranches, checkRegister, checkRequestId, checkTimeout, checkVotes, kindOf, soleVoter } from "./check.js";
export { delegateOf } from "./decision.js";
export { sameBranch, sameList, unknownParticipantMessage } from "./lifecycle.js";
export { DELEGATION_LEVEL, FEATURE_LEVEL, TCC_LEVEL, TXN_LIMITS } from "./limits.js";
export { createStateMachine } from "./machine.js";
export { PAGE_ROWS as OUTCOME_PAGE_ROWS, STORED_WORDS as OUTCOME_ROW_WORDS, W_SHAPE as OUTCOME_SHAPE_WORD } from "./outcome-pages.js";
export type { OutcomePage } from "./outcome-pages.js";
export type { Shape as OutcomeShape } from "./shape-table.js";
export { BUCKET_MS as FORGOTTEN_STEP_MS } from "./time-buckets.js";
export { heldMessage, unfinishedWith } from "./services.js";
export { owes } from "./transaction.js";
export type { BranchRecord, DecisionRecord, FinishedOutcome, Transaction } from "./transaction.js";
