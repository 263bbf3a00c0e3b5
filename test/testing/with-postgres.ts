/** For tests that need a real PostgreSQL: where its binaries are absent they are skipped aloud, and in CI they fail. */
import { test } from "vitest";
import { findPostgres } from "../../src/testing/index.js";

export function withPostgres(define: () => void): void {
  const found = findPostgres();
  if (!("missing" in found)) return define();
  const { CI } = process.env;
  if (CI !== undefined && CI !== "" && CI !== "false") {
    test("PostgreSQL is there to be tested with", () => {
      throw new Error(found.missing);
    });
    return;
  }
  console.log(`SKIP tests with PostgreSQL: ${found.missing}`);
  test.skip(`PostgreSQL: ${found.missing}`, () => undefined);
}
