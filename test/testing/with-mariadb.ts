/** For tests that need a real MariaDB: where there is none they are skipped aloud, and in CI they fail. */
import { test } from "vitest";
import { findMariadb } from "../../src/testing/index.js";

export function withMariadb(define: () => void): void {
  const found = findMariadb();
  if (!("missing" in found)) return define();
  const { CI } = process.env;
  if (CI !== undefined && CI !== "" && CI !== "false") {
    test("MariaDB is there to be tested with", () => {
      throw new Error(found.missing);
    });
    return;
  }
  console.log(`SKIP tests with MariaDB: ${found.missing}`);
  test.skip(`MariaDB: ${found.missing}`, () => undefined);
}
