/**
 * What a caller passes in, checked before anything is sent: a bad value is refused by name instead of failing in a frame that carries
 * other requests too.
 */
import { gidProblem, nameProblem, QuorateError } from "../base/index.js";
import type { Gid } from "../base/index.js";
import type { BranchKind, BranchSpec } from "../txn/index.js";

/** Longest transaction the cluster takes. */
const TRANSACTION_MS_MAX = 3_600_000;
const TRANSACTION_MS_MIN = 100;

function invalid(message: string): QuorateError {
  return new QuorateError("QUORATE_INVALID_ARGUMENT", message);
}

export function checkedGid(value: string): Gid {
  const problem = gidProblem(value);
  if (problem !== undefined) throw invalid(problem);
  return value as Gid;
}

export function checkedBytes(field: string, value: Uint8Array): Uint8Array {
  if (value instanceof Uint8Array) return value;
  throw invalid(`${field} must be a Uint8Array, got ${typeof value}`);
}

export function checkedBranch(branch: BranchSpec): BranchSpec {
  const problem = nameProblem("branch", branch.id) ?? nameProblem("participant", branch.participant);
  if (problem !== undefined) throw invalid(problem);
  checkedBytes(`payload of branch ${branch.id}`, branch.payload);
  if (branch.kind !== undefined) checkedKind(branch.kind);
  return branch;
}

export function checkedKind(kind: BranchKind): BranchKind {
  if (kind === "2pc" || kind === "tcc") return kind;
  throw invalid(`the kind of a branch must be "2pc" or "tcc", got ${JSON.stringify(kind)}`);
}

/** A transaction's timeout in whole milliseconds. */
export function checkedTransactionMs(value: number): number {
  if (value >= TRANSACTION_MS_MIN && value <= TRANSACTION_MS_MAX) return Math.ceil(value);
  throw invalid(`timeoutMs of a transaction must be ${TRANSACTION_MS_MIN} to ${TRANSACTION_MS_MAX}, got ${value}`);
}

export function checkedLimit(value: number): number {
  if (Number.isInteger(value) && value >= 1 && value <= 1000) return value;
  throw invalid(`limit must be an integer from 1 to 1000, got ${value}`);
}
