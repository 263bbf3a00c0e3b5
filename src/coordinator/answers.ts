/**
 * Answers to clients: decisions as recorded, refusals as errors whose message names the field, the value and the fix.
 *
 * Rule: an outcome that is not known is never reported as success or failure. Only a committed and applied decision is "committed"
 * or "aborted".
 */
import type { ErrorCode, Gid, Outcome, Retry, Zxid } from "../base/index.js";
import type { ApplyResult, Decision, Lookup, RefusalReason } from "../txn/index.js";
import type { Answer } from "./request.js";

type Refused = Extract<ApplyResult, { kind: "refused" }>;
type ErrorAnswer = Extract<Answer, { kind: "error" }>;

const CODES: Readonly<Record<RefusalReason, ErrorCode>> = {
  unknown: "QUORATE_UNKNOWN_TRANSACTION",
  expired: "QUORATE_EXPIRED",
  future: "QUORATE_CLOCK",
  "wrong-state": "QUORATE_WRONG_STATE",
  "branch-mismatch": "QUORATE_BRANCH_MISMATCH",
  "duplicate-branch": "QUORATE_INVALID_ARGUMENT",
  "unknown-participant": "QUORATE_UNKNOWN_PARTICIPANT",
  "no-branches": "QUORATE_INVALID_ARGUMENT",
  "too-large": "QUORATE_TOO_LARGE",
  "already-decided": "QUORATE_ALREADY_DECIDED",
  "incomplete-votes": "QUORATE_INTERNAL",
  delegated: "QUORATE_WRONG_STATE",
  "version-conflict": "QUORATE_CONFLICT",
  "not-forgettable": "QUORATE_WRONG_STATE",
  invalid: "QUORATE_INVALID_ARGUMENT",
};

export function outcomeOf(decision: Decision): Outcome {
  return decision === "commit" ? "committed" : "aborted";
}

export function errorAnswer(code: ErrorCode, message: string, options: Partial<Omit<ErrorAnswer, "kind" | "code" | "message">>): Answer {
  const { outcome, retry = "never", gid, version } = options;
  return { kind: "error", code, message, outcome, retry, gid, version };
}

/** A refusal about a transaction. Its outcome is unknown unless the refusal is because of a decision. */
export function gidError(
  reason: RefusalReason,
  message: string,
  gid: Gid | undefined,
  outcome: Outcome | undefined = "unknown",
  retry: Retry = "never",
): Answer {
  return errorAnswer(CODES[reason], message, { gid, outcome, retry });
}

export function refusalAnswer(refused: Refused): Answer {
  const { reason, message, gid, decision, version } = refused;
  const outcome = decision !== undefined ? outcomeOf(decision) : gid === undefined ? undefined : "unknown";
  return errorAnswer(CODES[reason], message, { outcome, gid, version });
}

/** The replica did not take the proposal: nothing happened, and repeating is harmless. */
export function notProposed(why: string, gid: Gid | undefined): Answer {
  return errorAnswer("QUORATE_OVERLOADED", `nothing was proposed: ${why}; retry with back-off`, {
    gid,
    outcome: gid === undefined ? undefined : "unknown",
    retry: "safe",
  });
}

/** This node stopped leading before the answer was known. */
export function outcomeUnknown(gid: Gid | undefined): Answer {
  const what = gid === undefined ? "the request" : `the outcome of ${gid}`;
  return errorAnswer("QUORATE_OUTCOME_UNKNOWN", `this node stopped leading before ${what} was known; repeat it with the same id`, {
    gid,
    outcome: "unknown",
    retry: "same-request-id",
  });
}

/** A delegated transaction at its deadline: its participant may have committed it, or may be about to, and cannot be asked now. */
export function delegatedUnknown(gid: Gid, participant: string, timeoutMs: number): Answer {
  return errorAnswer(
    "QUORATE_OUTCOME_UNKNOWN",
    `transaction ${gid} was delegated to participant "${participant}", which has not answered within ${timeoutMs} ms: it may be committed; ask for its outcome`,
    { gid, outcome: "unknown", retry: "never" },
  );
}

export interface RecordedDecision {
  readonly decision: Decision;
  readonly reason: string | undefined;
  readonly detail: string;
  readonly zxid: Zxid;
}

/** The decision in force, if the lookup found one. */
export function decisionIn(found: Lookup): RecordedDecision | undefined {
  if (found.kind === "outcome") {
    const { decision, reason, zxid } = found.outcome;
    return { decision, reason, detail: "", zxid };
  }
  return found.kind === "transaction" ? found.transaction.decision : undefined;
}

export function decidedAnswer(gid: Gid, recorded: RecordedDecision): Answer {
  const { decision, reason, detail, zxid } = recorded;
  return { kind: "decided", gid, decision, reason, detail, zxid };
}

export function alreadyDecidedAnswer(gid: Gid, recorded: RecordedDecision): Answer {
  return errorAnswer("QUORATE_ALREADY_DECIDED", `transaction ${gid} is already decided: ${recorded.decision}`, {
    gid,
    outcome: outcomeOf(recorded.decision),
  });
}

export function belowFloorAnswer(gid: Gid, floorMs: number): Answer {
  return gidError(
    "expired",
    `transaction ${gid} has no record and is older than the cluster remembers (floor ${floorMs} ms): it was never started, or its outcome is forgotten`,
    gid,
  );
}
