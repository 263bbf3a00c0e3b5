import { expect, test } from "vitest";
import { SilenceDetector } from "../../src/zab/detector.js";
import { OPTIONS } from "./world/world.js";

const options = { ...OPTIONS, pingIntervalMs: 50, followerSilenceMsMin: 200, followerSilenceMsMax: 1000 };

function after(gapsMs: readonly number[]): { detector: SilenceDetector; nowMs: number } {
  const detector = new SilenceDetector(options, 0);
  let nowMs = 0;
  for (const gap of gapsMs) detector.heartbeat((nowMs += gap));
  return { detector, nowMs };
}

test("steady heartbeats are suspected after the minimum", () => {
  const { detector, nowMs } = after(Array<number>(50).fill(50));
  expect(detector.deadlineMs).toBe(nowMs + 200);
});

test("heartbeats that usually come late are given three times their gap, up to the maximum", () => {
  expect(after(Array<number>(80).fill(150)).detector.limitMs).toBeCloseTo(450, 0);
  expect(after(Array<number>(80).fill(900)).detector.limitMs).toBe(1000);
});

test("a burst of other messages postpones suspicion without teaching a tiny gap", () => {
  const { detector, nowMs } = after(Array<number>(80).fill(150));
  for (let i = 1; i <= 100; i++) detector.heard(nowMs + i);
  expect(detector.limitMs).toBeCloseTo(450, 0);
  expect(detector.deadlineMs).toBeCloseTo(nowMs + 100 + 450, 0);
});
