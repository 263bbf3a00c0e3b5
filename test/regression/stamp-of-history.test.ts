/**
 * A restarted node applies records made long ago. Their stamps said "now" to its clock: as leader it then put the cluster's clock
 * back by the age of the last record, and clients that had the time of the leader before were refused as coming from the future.
 */
import { describe, expect, test } from "vitest";
import { StampClock } from "../../src/replica/index.js";

const HOUR_MS = 3_600_000;
const SKEW_MS = 250;
const STAMP_MS = 1_000_000_000;

function started(lastStampMs: number, wallMs: number) {
  const hands = { monotonicMs: 50, wallMs };
  return { hands, clock: new StampClock(() => hands, SKEW_MS, lastStampMs) };
}

describe("stamps of records made some time ago", () => {
  test("do not put the clock of a node that has just started back to when they were made", () => {
    const { clock } = started(STAMP_MS, STAMP_MS + HOUR_MS);
    clock.recall(STAMP_MS + 10);
    clock.lead();
    expect(clock.now()).toBe(STAMP_MS + HOUR_MS);
  });

  test("do not put the clock of a running node back when a leader brings it what it missed", () => {
    const { hands, clock } = started(0, STAMP_MS);
    clock.observe(STAMP_MS);
    hands.monotonicMs += HOUR_MS;
    clock.recall(STAMP_MS + 1_000);
    clock.lead();
    expect(clock.now()).toBe(STAMP_MS + HOUR_MS);
  });

  test("are a lower bound all the same", () => {
    const { hands, clock } = started(0, STAMP_MS);
    clock.observe(STAMP_MS);
    clock.recall(STAMP_MS + HOUR_MS);
    hands.monotonicMs += 5;
    clock.lead();
    expect(clock.now()).toBe(STAMP_MS + HOUR_MS + 5);
  });
});
