import { expect, test } from "vitest";
import { COMPOSITIONS, compositionNamed, WORKLOAD_DEFAULT, workloadNamed, WORKLOADS } from "../../jepsen-like/run.js";

test("every composition has a name of its own and says how it is known that its fault was felt", () => {
  expect(new Set(COMPOSITIONS.map(({ name }) => name)).size).toBe(COMPOSITIONS.length);
  for (const { name, summary, faultless } of COMPOSITIONS) {
    expect(compositionNamed(name)?.summary).toBe(summary);
    if (faultless !== true) expect(summary).toMatch(/felt (when|as) /);
    expect(summary).not.toContain("\n");
  }
  expect(compositionNamed("no-such-fault")).toBeUndefined();
});

test("every workload has a name of its own and says in one line what must hold", () => {
  expect(new Set(WORKLOADS.map(({ name }) => name)).size).toBe(WORKLOADS.length);
  expect(workloadNamed(WORKLOAD_DEFAULT)).toBeDefined();
  expect(workloadNamed("no-such-load")).toBeUndefined();
  for (const { summary, parts } of WORKLOADS) {
    expect(summary).toMatch(/^[^\n]+: [^\n]+$/);
    expect(parts.length).toBeGreaterThan(0);
  }
});
