/**
 * The one error a user of Quorate sees, and the closed list of its codes.
 *
 * Three families are kept apart everywhere: a bug is an InvariantViolation and the process exits; a refusal is a returned value
 * with a closed reason; a fault that reaches a user is a QuorateError. `outcome` says what is known of the transaction: an outcome
 * that is not known is never reported as success or failure.
 */

/** Every code, with the meaning shown in docs/errors.md. A code is never renamed or reused. */
export const ERROR_CODES = {
  QUORATE_INVALID_ARGUMENT: "A field of the request is malformed; the message names it and the fix.",
  QUORATE_TOO_LARGE: "A payload, value or list is above its limit; the message names the limit.",
  QUORATE_UNKNOWN_TRANSACTION: "The cluster has no record of this gid; for an enlist or an abort its outcome is unknown.",
  QUORATE_UNKNOWN_PARTICIPANT: "No instance of this participant has ever attached to the cluster.",
  QUORATE_WRONG_STATE: "The transaction is in a state that does not allow the request; the message names both.",
  QUORATE_BRANCH_MISMATCH: "Commit named a list of branches other than the sealed one.",
  QUORATE_ALREADY_DECIDED: "The transaction is decided; `outcome` carries the decision in force.",
  QUORATE_ABORTED: "The transaction was aborted; the message carries the reason and the branch.",
  QUORATE_EXPIRED:
    "The gid or request id is below the cluster's floor, or outside the commit window: it was never started or is forgotten.",
  QUORATE_CLOCK: "The gid lies in the far future of the cluster's clock.",
  QUORATE_CONFLICT: "A compare-and-put found another version.",
  QUORATE_NO_QUORUM: "No leader with a majority could be reached before the deadline; nothing was proposed.",
  QUORATE_NOT_LEADER: "The node is not the leader and nothing was proposed; follow the hint.",
  QUORATE_OVERLOADED: "The leader's queue is full and nothing was proposed; retry with back-off.",
  QUORATE_OUTCOME_UNKNOWN: "The request may or may not have taken effect; ask `outcome()` for the gid, or retry with the same request id.",
  QUORATE_TIMEOUT: "The deadline passed before the request was sent; nothing happened.",
  QUORATE_CANCELLED: "The caller's AbortSignal fired before the request was sent; nothing happened.",
  QUORATE_UNREACHABLE: "No endpoint answered; the message lists what each said.",
  QUORATE_PARTICIPANT: "A participant or its database failed; `cause` has its error.",
  QUORATE_HAZARD:
    "A branch cannot follow the decision: it was settled against it, or what it had promised is not there. Nothing more is run for it; people have to look.",
  QUORATE_PARTICIPANT_SETUP: "A database is not configured for prepared transactions; the message names the setting and the value.",
  QUORATE_CONFIG: "A setting is unknown, out of bounds or contradictory; the message names it.",
  QUORATE_DATA_FOLDER: "The data folder belongs to another cluster or node, is newer, or is in use.",
  QUORATE_CLOSED: "The client is closed.",
  QUORATE_INTERNAL: "A bug; the message says what broke.",
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

/** What is known of a transaction's decision. */
export type Outcome = "committed" | "aborted" | "unknown";

/**
 * `safe`: nothing happened, or repeating is harmless. `same-request-id`: repeat with the same gid / request id only.
 * `never`: repeating cannot help.
 */
export type Retry = "safe" | "same-request-id" | "never";

export interface QuorateErrorOptions {
  readonly outcome?: Outcome | undefined;
  readonly retry?: Retry | undefined;
  readonly gid?: string | undefined;
  readonly reason?: string | undefined;
  readonly cause?: unknown;
}

export class QuorateError extends Error {
  override readonly name = "QuorateError";
  readonly code: ErrorCode;
  /** What is known of the transaction's decision; undefined where no transaction is concerned. */
  readonly outcome: Outcome | undefined;
  readonly retry: Retry;
  readonly gid: string | undefined;
  /** Why the transaction was aborted, as recorded with the decision: vote-no, timeout, client, client-lost, inquiry. */
  readonly reason: string | undefined;

  constructor(code: ErrorCode, message: string, options: QuorateErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.outcome = options.outcome;
    this.retry = options.retry ?? "never";
    this.gid = options.gid;
    this.reason = options.reason;
  }
}

export function isQuorateError(value: unknown): value is QuorateError {
  return value instanceof QuorateError;
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
