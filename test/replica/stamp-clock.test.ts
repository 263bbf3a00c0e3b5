import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { StampClock } from "../../src/replica/index.js";

function clock(lastStampMs: number, wallMs: number) {
  const hands = { monotonicMs: 1000, wallMs };
  const stamp = new StampClock(() => hands, 250, lastStampMs);
  return {
    stamp,
    pass: (ms: number): void => {
      hands.monotonicMs += ms;
      hands.wallMs += ms;
    },
    jump: (ms: number): void => {
      hands.wallMs += ms;
    },
  };
}

describe("the cluster's clock", () => {
  test("never goes back, whatever the wall clock does", () => {
    const event = fc.oneof(
      fc.record({ kind: fc.constant("pass" as const), ms: fc.integer({ min: 0, max: 5000 }) }),
      fc.record({ kind: fc.constant("jump" as const), ms: fc.integer({ min: -(10 ** 9), max: 10 ** 9 }) }),
      fc.record({ kind: fc.constantFrom("observe" as const, "lead" as const, "resign" as const), ms: fc.constant(0) }),
    );
    fc.assert(
      fc.property(fc.array(event, { maxLength: 60 }), (events) => {
        const c = clock(5_000, 10_000);
        let last = 0;
        for (const { kind, ms } of events) {
          if (kind === "pass") c.pass(ms);
          else if (kind === "jump") c.jump(ms);
          else if (kind === "lead") c.stamp.lead();
          else if (kind === "resign") c.stamp.resign();
          const now = c.stamp.now();
          expect(now).toBeGreaterThanOrEqual(last);
          last = now;
          c.stamp.observe(now);
        }
      }),
    );
  });

  test("follows the monotonic clock alone while leading", () => {
    const c = clock(0, 1_000_000);
    c.stamp.lead();
    c.jump(3_600_000);
    c.pass(10);
    expect(c.stamp.now()).toBe(1_000_010);
    c.jump(-7_200_000);
    c.pass(5);
    expect(c.stamp.now()).toBe(1_000_015);
  });

  test("of a running follower moves towards a jumped wall clock by the skew at most", () => {
    const c = clock(0, 1_000_000);
    c.stamp.observe(1_000_000);
    c.jump(3_600_000);
    c.pass(100);
    expect(c.stamp.now()).toBe(1_000_100 + 250);
  });

  test("of a process that has just started takes the wall clock's word, but never goes below the log's last stamp", () => {
    expect(clock(5_000, 900_000).stamp.now()).toBe(900_000);
    expect(clock(900_000, 5_000).stamp.now()).toBe(900_000);
  });
});
