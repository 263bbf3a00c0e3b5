/**
 * The errors that end a transaction, and what each says of its outcome.
 */
import { QuorateError } from "../base/index.js";
import type { Gid, Outcome } from "../base/index.js";
import type { BranchSpec } from "../txn/index.js";
import type { Decided } from "./transaction.js";

export function abortedError(decided: Decided): QuorateError {
  const why = decided.detail === "" ? "" : `: ${decided.detail}`;
  return new QuorateError("QUORATE_ABORTED", `aborted (${decided.reason ?? "no reason recorded"})${why}`, {
    outcome: "aborted",
    retry: "safe",
    gid: decided.gid,
    reason: decided.reason,
  });
}

/** A branch that the cluster does not know is never prepared, so the transaction cannot commit whatever became of the record. */
export function notRegistered(error: unknown, gid: Gid): unknown {
  if (!(error instanceof QuorateError)) return error;
  const code = error.code === "QUORATE_OUTCOME_UNKNOWN" ? "QUORATE_NO_QUORUM" : error.code;
  return new QuorateError(code, `the transaction could not be recorded, so it was not committed: ${error.message}`, {
    outcome: "aborted",
    retry: error.retry === "never" ? "never" : "safe",
    gid,
    cause: error.cause ?? error,
  });
}

export function withOutcome(error: unknown, outcome: Outcome, gid: Gid): unknown {
  if (!(error instanceof QuorateError) || error.outcome !== undefined) return error;
  return new QuorateError(error.code, error.message, { outcome, retry: error.retry, gid: error.gid ?? gid, cause: error.cause });
}

/** A branch voted no, or could not prepare (`error`). Commit was never sent. */
export function vetoedError(gid: Gid, spec: BranchSpec, detail: string, error: unknown): QuorateError {
  const options = { outcome: "aborted", retry: "safe", gid, reason: "vote-no", cause: error } as const;
  return error === undefined
    ? new QuorateError("QUORATE_ABORTED", `aborted: branch ${spec.id} of ${spec.participant} voted no: ${detail}`, options)
    : new QuorateError("QUORATE_PARTICIPANT", `aborted: branch ${spec.id} of ${spec.participant} could not prepare: ${detail}`, options);
}
