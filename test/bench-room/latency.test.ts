import { execFileSync } from "node:child_process";
import fc from "fast-check";
import { expect, test } from "vitest";
import { Latencies } from "../../src/bench/latency.js";
import { familyUsage, processUsage } from "../../src/bench/process-usage.js";

test("percentiles are exact by nearest rank", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 1000 }), { minLength: 1, maxLength: 300 }), (values) => {
      const latencies = new Latencies();
      for (const value of values) latencies.add(value);
      const { count, p50ms, p99ms, maxMs } = latencies.percentiles();
      expect(count).toBe(values.length);
      for (const [q, got] of [
        [0.5, p50ms],
        [0.99, p99ms],
        [1, maxMs],
      ] as const) {
        expect(values).toContain(got);
        expect(values.filter((value) => value <= got).length).toBeGreaterThanOrEqual(q * values.length);
        expect(values.filter((value) => value < got).length).toBeLessThan(Math.max(1, q * values.length));
      }
    }),
  );
});

test("holds more values than its first block", () => {
  const latencies = new Latencies();
  for (let i = 1; i <= 200_000; i++) latencies.add(i);
  expect(latencies.percentiles()).toEqual({ count: 200_000, p50ms: 100_000, p99ms: 198_000, p999ms: 199_800, maxMs: 200_000 });
});

test("usage of this process grows with its work, and a missing process has none", () => {
  const before = processUsage(process.pid);
  let x = 0;
  const until = performance.now() + 60;
  while (performance.now() < until) x += Math.sqrt(x + 1);
  const after = processUsage(process.pid);
  expect(x).toBeGreaterThan(0);
  expect((after?.cpuSeconds ?? 0) - (before?.cpuSeconds ?? 0)).toBeGreaterThan(0);
  expect(after?.rssMiB).toBeGreaterThan(10);
  expect(processUsage(2 ** 22 + 1)).toBeUndefined();
});

test("a family's usage holds that of its children, also of those that ended", () => {
  const alone = processUsage(process.pid);
  const before = familyUsage(process.pid);
  execFileSync(process.execPath, ["-e", "const end = performance.now() + 150; while (performance.now() < end);"]);
  const after = familyUsage(process.pid);
  expect(before?.cpuSeconds).toBeGreaterThanOrEqual(alone?.cpuSeconds ?? 0);
  expect((after?.cpuSeconds ?? 0) - (before?.cpuSeconds ?? 0)).toBeGreaterThan(0.02);
  expect(familyUsage(2 ** 22 + 1)).toBeUndefined();
});

test("percentiles of some seconds leave the others out", () => {
  const latencies = new Latencies();
  for (let i = 0; i < 100; i++) latencies.add(i, i % 2);
  expect(latencies.percentiles((second) => second === 0)).toMatchObject({ count: 50, maxMs: 98 });
  expect(latencies.percentiles(() => false)).toMatchObject({ count: 0, p99ms: 0 });
});
