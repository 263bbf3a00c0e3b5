import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { ERROR_CODES, QuorateError, type ErrorCode } from "../../src/base/index.js";
import { errorsDocument, EXIT, EXIT_MEANINGS, exitCodeOf } from "../../src/cli/index.js";

describe("exit statuses", () => {
  test("every code has one, and a bug is a failure", () => {
    for (const code of Object.keys(ERROR_CODES) as ErrorCode[]) {
      const status = exitCodeOf(new QuorateError(code, "x"));
      expect(status, code).not.toBe(EXIT.ok);
      expect(EXIT_MEANINGS[status]).toBeDefined();
    }
    expect(exitCodeOf(new TypeError("x"))).toBe(EXIT.failed);
  });

  test("an unknown outcome is never reported with the status of a refusal or of no quorum", () => {
    expect(exitCodeOf(new QuorateError("QUORATE_OUTCOME_UNKNOWN", "x"))).toBe(4);
    const others = (Object.keys(ERROR_CODES) as ErrorCode[]).filter((code) => code !== "QUORATE_OUTCOME_UNKNOWN");
    for (const code of others) expect(exitCodeOf(new QuorateError(code, "x")), code).not.toBe(4);
  });

  test("docs/errors.md is what the codes say", () => {
    expect(readFileSync(new URL("../../docs/errors.md", import.meta.url), "utf8")).toBe(errorsDocument());
  });
});
