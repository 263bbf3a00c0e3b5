/** For tests that need a real Redis: where there is none they are skipped aloud, and in CI they fail. */
import { test } from "vitest";
import { findRedis } from "../../src/testing/index.js";

export function withRedis(define: () => void): void {
  const found = findRedis();
  if (!("missing" in found)) return define();
  const { CI } = process.env;
  if (CI !== undefined && CI !== "" && CI !== "false") {
    test("Redis is there to be tested with", () => {
      throw new Error(found.missing);
    });
    return;
  }
  console.log(`SKIP tests with Redis: ${found.missing}`);
  test.skip(`Redis: ${found.missing}`, () => undefined);
}
