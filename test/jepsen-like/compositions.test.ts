import { expect, test } from "vitest";
import { COMPOSITIONS, compositionNamed } from "../../jepsen-like/run.js";

test("every composition has a name of its own and says how it is known that its fault was felt", () => {
  expect(new Set(COMPOSITIONS.map(({ name }) => name)).size).toBe(COMPOSITIONS.length);
  for (const { name, summary } of COMPOSITIONS) {
    expect(compositionNamed(name)?.summary).toBe(summary);
    expect(summary).toMatch(/felt (when|as) /);
    expect(summary).not.toContain("\n");
  }
  expect(compositionNamed("no-such-fault")).toBeUndefined();
});
