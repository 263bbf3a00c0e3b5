import { describe, expect, test } from "vitest";
import { QuorateError } from "../../src/base/index.js";
import { errorJson, errorText, formatBytes, formatDuration } from "../../src/cli/output.js";
import { formatTable } from "../../src/cli/table.js";

describe("output", () => {
  test("tables have no borders and no trailing blanks", () => {
    expect(
      formatTable(
        ["A", "LONG"],
        [
          ["x", 1],
          ["yyy", 22],
        ],
        [1],
      ),
    ).toBe(["A    LONG", "x       1", "yyy    22"].join("\n"));
  });

  test("an error shows its code and what is known", () => {
    const error = new QuorateError("QUORATE_OUTCOME_UNKNOWN", "no answer", { outcome: "unknown", retry: "same-request-id", gid: "q-1" });
    expect(errorText(error)).toBe("quorate: no answer [QUORATE_OUTCOME_UNKNOWN] (outcome unknown; gid q-1; retry: same-request-id)");
    expect(errorJson(error)).toEqual({
      code: "QUORATE_OUTCOME_UNKNOWN",
      message: "no answer",
      outcome: "unknown",
      retry: "same-request-id",
      gid: "q-1",
    });
    expect(errorJson(new Error("x"))).toMatchObject({ code: "QUORATE_INTERNAL", outcome: null, gid: null });
  });

  test("durations and sizes are short", () => {
    expect([3, 4000, 131_000, 7_860_000, 273_600_000].map(formatDuration)).toEqual(["3ms", "4s", "2m11s", "2h11m", "3d4h"]);
    expect([12, 2048, 38 * 1024 ** 2, 3 * 1024 ** 3].map(formatBytes)).toEqual(["12 B", "2 KB", "38 MB", "3.0 GB"]);
  });
});
