/**
 * Exit statuses of the command line, and which error code ends with which. Stable: scripts depend on them.
 */
import { ERROR_CODES, isQuorateError, type ErrorCode } from "../base/index.js";

export const EXIT = {
  ok: 0,
  /** A check did not hold, or a bug. */
  failed: 1,
  usage: 2,
  noQuorum: 3,
  /** The request may or may not have taken effect. */
  unknownOutcome: 4,
  refused: 5,
} as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

export const EXIT_MEANINGS: Readonly<Record<ExitCode, string>> = {
  0: "done",
  1: "a check failed, or a bug",
  2: "the command line or a setting is wrong",
  3: "no node answered, or no leader with a majority: nothing happened",
  4: "the outcome is unknown",
  5: "the cluster or a database refused",
};

const BY_CODE: Readonly<Record<ErrorCode, ExitCode>> = {
  QUORATE_INVALID_ARGUMENT: EXIT.usage,
  QUORATE_CONFIG: EXIT.usage,
  QUORATE_NO_QUORUM: EXIT.noQuorum,
  QUORATE_NOT_LEADER: EXIT.noQuorum,
  QUORATE_UNREACHABLE: EXIT.noQuorum,
  QUORATE_TIMEOUT: EXIT.noQuorum,
  QUORATE_OUTCOME_UNKNOWN: EXIT.unknownOutcome,
  QUORATE_TOO_LARGE: EXIT.refused,
  QUORATE_UNKNOWN_TRANSACTION: EXIT.refused,
  QUORATE_UNKNOWN_PARTICIPANT: EXIT.refused,
  QUORATE_WRONG_STATE: EXIT.refused,
  QUORATE_BRANCH_MISMATCH: EXIT.refused,
  QUORATE_ALREADY_DECIDED: EXIT.refused,
  QUORATE_ABORTED: EXIT.refused,
  QUORATE_EXPIRED: EXIT.refused,
  QUORATE_CLOCK: EXIT.refused,
  QUORATE_CONFLICT: EXIT.refused,
  QUORATE_OVERLOADED: EXIT.refused,
  QUORATE_PARTICIPANT: EXIT.refused,
  QUORATE_PARTICIPANT_SETUP: EXIT.refused,
  QUORATE_HAZARD: EXIT.refused,
  QUORATE_DATA_FOLDER: EXIT.refused,
  QUORATE_CANCELLED: EXIT.failed,
  QUORATE_CLOSED: EXIT.failed,
  QUORATE_INTERNAL: EXIT.failed,
};

export function exitCodeOf(error: unknown): ExitCode {
  return isQuorateError(error) ? BY_CODE[error.code] : EXIT.failed;
}

/** docs/errors.md is exactly this text. */
export function errorsDocument(): string {
  const out = [
    "# Errors",
    "",
    "Generated from `src/base/errors.ts` by `npm run docs`; a test fails when it is not current.",
    "",
    "Every fault that reaches a user is one `QuorateError`: `code` from this list, `outcome` (`committed`, `aborted` or `unknown`; absent where no",
    "transaction is concerned), `retry` (`safe`: nothing happened or repeating is harmless; `same-request-id`: repeat with the same gid or request",
    "id only; `never`), `gid`, `cause`. An outcome that is not known is never reported as success or failure. Codes are never renamed or reused.",
    "",
    "| code | meaning | exit status |",
    "|---|---|---|",
    ...Object.entries(ERROR_CODES).map(([code, meaning]) => `| \`${code}\` | ${meaning} | ${BY_CODE[code as ErrorCode]} |`),
    "",
    "| exit status | meaning |",
    "|---|---|",
    ...Object.entries(EXIT_MEANINGS).map(([status, meaning]) => `| ${status} | ${meaning} |`),
    "",
    "With `-o json` or `-o ndjson` the command line prints an error as one JSON line on standard error:",
    '`{"error":{"code","message","outcome","retry","gid"}}`, absent fields `null`.',
  ];
  return `${out.join("\n")}\n`;
}
