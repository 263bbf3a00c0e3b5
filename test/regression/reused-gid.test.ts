/**
 * A caller that did not learn the outcome runs its transaction again under the same gid. The cluster refuses to open it a second time;
 * that refusal was reported as "aborted" although the first run had committed, or might still.
 */
import { expect, test } from "vitest";
import { newGid, QuorateError } from "../../src/base/index.js";
import type { ErrorCode, Outcome } from "../../src/base/index.js";
import { notRegistered } from "../../src/client/transaction-errors.js";

const gid = newGid(1_700_000_000_000, () => 7);

function reported(code: ErrorCode, outcome: Outcome): Outcome | undefined {
  const error = notRegistered(new QuorateError(code, "refused", { gid, outcome, retry: "never" }), gid);
  return error instanceof QuorateError ? error.outcome : undefined;
}

test("a second life of a committed gid is never reported as aborted", () => {
  expect(reported("QUORATE_ALREADY_DECIDED", "committed")).toBe("committed");
});

test("a gid that is being decided, or was forgotten, has an unknown outcome", () => {
  for (const code of ["QUORATE_WRONG_STATE", "QUORATE_BRANCH_MISMATCH", "QUORATE_EXPIRED"] as const)
    expect(reported(code, "unknown")).toBe("unknown");
});

test("a refusal of the branch itself aborts", () => {
  expect(reported("QUORATE_UNKNOWN_PARTICIPANT", "unknown")).toBe("aborted");
});
