/**
 * The errors that end a transaction, and what each says of its outcome.
 */
import { QuorateError } from "../base/index.js";
import type { Gid, Outcome } from "../base/index.js";
import type { BranchSpec, Decision } from "../txn/index.js";
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

/** Refusals of a gid that has had a life before this scope: that life may have ended in a commit. */
const LIVED_BEFORE: ReadonlySet<string> = new Set([
  "QUORATE_ALREADY_DECIDED",
  "QUORATE_WRONG_STATE",
  "QUORATE_BRANCH_MISMATCH",
  "QUORATE_EXPIRED",
]);

/**
 * A branch that the cluster does not know is never prepared, so the transaction cannot commit whatever became of the record. That is
 * not so when the caller brought a gid that was used before: then the refusal speaks of that use, and what it says is passed on.
 */
export function notRegistered(error: unknown, gid: Gid): unknown {
  if (!(error instanceof QuorateError)) return error;
  if (LIVED_BEFORE.has(error.code)) return withOutcome(error, "unknown", gid);
  const code = error.code === "QUORATE_OUTCOME_UNKNOWN" ? "QUORATE_NO_QUORUM" : error.code;
  return new QuorateError(code, `the transaction could not be recorded, so it was not committed: ${error.message}`, {
    outcome: "aborted",
    retry: error.retry === "never" ? "never" : "safe",
    gid,
    cause: error.cause ?? error,
  });
}

/**
 * What a failed run under a gid of the caller's making says. Such a gid may have had a run before, and that this one did nothing is no
 * proof that the earlier one did not commit; only what the cluster recorded is. `recorded`: the decision it answered with, if it did.
 */
export function ofThisRunOnly(error: unknown, gid: Gid, recorded: Decision | undefined): unknown {
  if (!(error instanceof QuorateError) || recorded === "abort") return error;
  const decided = error.code === "QUORATE_ALREADY_DECIDED";
  if (recorded === undefined && (decided || error.outcome === "unknown")) return error;
  if (recorded === "commit") {
    return new QuorateError("QUORATE_ALREADY_DECIDED", `an earlier run of ${gid} committed; this run did nothing: ${error.message}`, {
      outcome: "committed",
      gid,
      cause: error,
    });
  }
  const ask = `whether an earlier run of ${gid} committed is not known here: ask outcome("${gid}"), or run it again with the same gid`;
  return new QuorateError("QUORATE_OUTCOME_UNKNOWN", `this run did nothing (${error.code}: ${error.message}); ${ask}`, {
    outcome: "unknown",
    retry: "same-request-id",
    gid,
    cause: error,
  });
}

/** What a refusal says the cluster recorded. */
export function recordedIn(refusal: unknown): Decision | undefined {
  if (!(refusal instanceof QuorateError) || refusal.code !== "QUORATE_ALREADY_DECIDED") return undefined;
  if (refusal.outcome === "committed") return "commit";
  return refusal.outcome === "aborted" ? "abort" : undefined;
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
