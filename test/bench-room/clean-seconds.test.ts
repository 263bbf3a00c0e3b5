import { expect, test } from "vitest";
import { CLEAN_CORES_MAX, CLEAN_SECONDS_MIN, cleanSeconds, isClean } from "../../src/bench/clean-seconds.js";
import { parseMachineTimes } from "../../src/bench/process-usage.js";
import { Recorder } from "../../src/bench/recorder.js";
import { UsageMeter } from "../../src/bench/usage-meter.js";

const quiet = { foreign: 0.02, steal: 0 };
const noisy = { foreign: 0.9, steal: 0 };

test("a second is clean when what others use and what is stolen stay below the threshold together", () => {
  expect(isClean(quiet)).toBe(true);
  expect(isClean(noisy)).toBe(false);
  expect(isClean({ foreign: 0, steal: 0.5 })).toBe(false);
  expect(isClean({ foreign: CLEAN_CORES_MAX * 0.6, steal: CLEAN_CORES_MAX * 0.6 })).toBe(false);
  expect(isClean({ foreign: CLEAN_CORES_MAX, steal: 0 })).toBe(false);
});

test("a second of which nothing is known is not clean", () => {
  expect(isClean({ foreign: undefined, steal: 0 })).toBe(false);
  expect(isClean({ foreign: 0, steal: undefined })).toBe(false);
});

test("clean seconds are reported apart only when there are enough of them", () => {
  const few = cleanSeconds([...Array.from({ length: CLEAN_SECONDS_MIN - 1 }, () => quiet), noisy, noisy]);
  expect(few).toMatchObject({ count: CLEAN_SECONDS_MIN - 1, of: CLEAN_SECONDS_MIN + 1, enough: false });
  const enough = cleanSeconds([noisy, ...Array.from({ length: CLEAN_SECONDS_MIN }, () => quiet)]);
  expect(enough).toMatchObject({ count: CLEAN_SECONDS_MIN, enough: true });
  expect([enough.includes(0), enough.includes(1), enough.includes(CLEAN_SECONDS_MIN), enough.includes(99)]).toEqual([
    false,
    true,
    true,
    false,
  ]);
});

test("rate and percentiles of the clean seconds leave the others out", () => {
  const recorder = new Recorder();
  recorder.begin(0);
  for (let second = 0; second < 6; second++) {
    const slow = second === 2;
    for (let i = 0; i < (slow ? 10 : 100); i++) recorder.record("ok", slow ? 500 : 5, second * 1000 + i);
    recorder.nextSecond((second + 1) * 1000);
  }
  const clean = cleanSeconds([quiet, quiet, noisy, quiet, quiet, quiet]);
  const apart = recorder.of((second) => clean.includes(second));
  expect(apart.opsPerSec).toBe(100);
  expect(apart.latency).toMatchObject({ count: 500, maxMs: 5 });
  expect(recorder.result()).toMatchObject({ ops: 510, seconds: 6, opsPerSec: 85 });
  expect(recorder.result().latency.maxMs).toBe(500);
});

test("the kernel's account of the machine is read field by field", () => {
  const text = "cpu  100 200 300 4000 500 60 70 80 9 9\ncpu0 1 2 3 4 5 6 7 8 9 9\n";
  const { busySeconds, idleSeconds, stealSeconds } = parseMachineTimes(text);
  expect(busySeconds).toBeCloseTo(7.3);
  expect(idleSeconds).toBeCloseTo(45);
  expect(stealSeconds).toBeCloseTo(0.8);
});

test("the meter's seconds add up to what this process spent, and say nothing of others when something of ours is out of sight", async () => {
  const self = { name: "driver", pid: process.pid, role: "driver", family: false } as const;
  const meters = [new UsageMeter([self], true), new UsageMeter([self], false)] as const;
  for (const meter of meters) meter.begin();
  for (let second = 0; second < 2; second++) {
    const until = performance.now() + 150;
    let x = 1;
    while (performance.now() < until) x += Math.sqrt(x);
    await new Promise((resolve) => setTimeout(resolve, 20));
    for (const meter of meters) meter.second();
  }
  const [seen, partly] = meters;
  expect(seen.seconds).toHaveLength(2);
  const mean = seen.mean();
  expect(mean?.total).toBeGreaterThan(0);
  expect(mean?.total).toBeCloseTo(mean?.cores["driver"] ?? -1);
  expect(mean?.foreign).toBeGreaterThanOrEqual(0);
  expect(mean?.steal).toBeGreaterThanOrEqual(0);
  expect(partly.mean()?.foreign).toBeUndefined();
  expect(seen.mean(() => false)).toBeUndefined();
  expect(seen.rssMiB()["driver"]).toBeGreaterThan(10);
});
