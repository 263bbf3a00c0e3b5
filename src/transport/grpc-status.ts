/**
 * Errors as gRPC statuses, for unary calls: the code says what a generic client may do, the metadata says what is known.
 */
import { Metadata, status } from "@grpc/grpc-js";
import type { ErrorCode, Gid } from "../base/index.js";
import { formatZxid, isGid, isQuorateError, messageOf } from "../base/index.js";
import type { Answer } from "../coordinator/index.js";

type ErrorAnswer = Extract<Answer, { kind: "error" }>;

/**
 * UNAVAILABLE promises that nothing happened, because generic clients repeat it by themselves; an outcome that is not known is
 * therefore UNKNOWN. ABORTED is gRPC's own word for a failed compare-and-put.
 */
const STATUS_OF: Readonly<Record<ErrorCode, status>> = {
  QUORATE_INVALID_ARGUMENT: status.INVALID_ARGUMENT,
  QUORATE_TOO_LARGE: status.INVALID_ARGUMENT,
  QUORATE_UNKNOWN_TRANSACTION: status.NOT_FOUND,
  QUORATE_UNKNOWN_PARTICIPANT: status.NOT_FOUND,
  QUORATE_WRONG_STATE: status.FAILED_PRECONDITION,
  QUORATE_BRANCH_MISMATCH: status.FAILED_PRECONDITION,
  QUORATE_ALREADY_DECIDED: status.FAILED_PRECONDITION,
  QUORATE_ABORTED: status.ABORTED,
  QUORATE_EXPIRED: status.FAILED_PRECONDITION,
  QUORATE_CLOCK: status.FAILED_PRECONDITION,
  QUORATE_CONFLICT: status.ABORTED,
  QUORATE_NO_QUORUM: status.UNAVAILABLE,
  QUORATE_NOT_LEADER: status.UNAVAILABLE,
  QUORATE_OVERLOADED: status.RESOURCE_EXHAUSTED,
  QUORATE_OUTCOME_UNKNOWN: status.UNKNOWN,
  QUORATE_TIMEOUT: status.DEADLINE_EXCEEDED,
  QUORATE_CANCELLED: status.CANCELLED,
  QUORATE_UNREACHABLE: status.UNAVAILABLE,
  QUORATE_PARTICIPANT: status.UNKNOWN,
  QUORATE_HAZARD: status.FAILED_PRECONDITION,
  QUORATE_PARTICIPANT_SETUP: status.FAILED_PRECONDITION,
  QUORATE_CONFIG: status.FAILED_PRECONDITION,
  QUORATE_DATA_FOLDER: status.FAILED_PRECONDITION,
  QUORATE_CLOSED: status.CANCELLED,
  QUORATE_INTERNAL: status.INTERNAL,
};

/** gRPC puts the message into a header; headers have bounds. */
const DETAILS_CHARS_MAX = 1_000;

export interface GrpcError {
  readonly code: status;
  readonly details: string;
  readonly metadata: Metadata;
}

export function errorAnswer(code: ErrorCode, message: string, retry: ErrorAnswer["retry"]): ErrorAnswer {
  return { kind: "error", code, message, outcome: undefined, retry, gid: undefined, version: undefined };
}

/** Anything that was thrown, as the answer a client gets. */
export function answerOfThrown(error: unknown): ErrorAnswer {
  if (!isQuorateError(error)) return errorAnswer("QUORATE_INTERNAL", messageOf(error), "never");
  const { code, message, outcome, retry, gid } = error;
  return { kind: "error", code, message, outcome, retry, gid: gid as Gid | undefined, version: undefined };
}

export function grpcErrorOf(answer: ErrorAnswer): GrpcError {
  const metadata = new Metadata();
  metadata.set("quorate-code", answer.code);
  metadata.set("quorate-retry", answer.retry);
  if (answer.outcome !== undefined) metadata.set("quorate-outcome", answer.outcome);
  // The gid of a thrown error is whatever text its thrower had; a header takes only some.
  if (answer.gid !== undefined && isGid(answer.gid)) metadata.set("quorate-gid", answer.gid);
  if (answer.version !== undefined) metadata.set("quorate-version", formatZxid(answer.version));
  return { code: STATUS_OF[answer.code], details: headerText(answer.message), metadata };
}

/** Well-formed Unicode of bounded length: gRPC percent-encodes it and throws on half a surrogate pair. */
export function headerText(text: string): string {
  return Buffer.from(text.slice(0, DETAILS_CHARS_MAX), "utf8").toString("utf8");
}
