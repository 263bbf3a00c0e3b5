/**
 * From an error answer to the one error class a user sees.
 */
import { QuorateError } from "../base/index.js";
import type { Answer } from "../coordinator/index.js";
import type { ErrorAnswer } from "./request-table.js";

export function errorOf(answer: ErrorAnswer, cause?: unknown): QuorateError {
  return new QuorateError(answer.code, answer.message, { outcome: answer.outcome, retry: answer.retry, gid: answer.gid, cause });
}

/** An answer of another kind than the request asks for: a bug of the node, reported as one. */
export function unexpected(request: string, answer: Answer): QuorateError {
  return new QuorateError("QUORATE_INTERNAL", `the node answered ${request} with ${answer.kind}`);
}
