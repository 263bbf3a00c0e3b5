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

  test("a stamp ahead of all that a follower can explain is told, once, and nothing else is", () => {
    const c = clock(0, 1_000_000);
    // Just started: it has measured nothing and accuses nobody.
    expect(c.stamp.observe(5_000_000)).toBe(0);
    c.pass(1_000);
    expect(c.stamp.observe(5_001_000)).toBe(0);
    // Two leaders after each other, each with the skew, and a record that was on its way for long.
    c.pass(1_000);
    expect(c.stamp.observe(5_002_500)).toBe(0);
    c.pass(60_000);
    expect(c.stamp.observe(5_003_000)).toBe(0);
    c.pass(10);
    expect(c.stamp.observe(8_603_010)).toBe(3_600_000);
    c.pass(10);
    expect(c.stamp.observe(8_603_020)).toBe(0);
  });

  test("a leader that has just started says how far it took the wall clock's word; one that has seen stamps go by took none", () => {
    const started = clock(1_000_000, 1_360_000);
    expect(started.stamp.lead()).toBe(360_000);
    const behind = clock(1_000_000, 400_000);
    expect(behind.stamp.lead()).toBe(0);
    const first = clock(0, 1_000_000);
    expect(first.stamp.lead()).toBe(0);
    const running = clock(1_000_000, 1_000_000);
    running.stamp.observe(1_000_100);
    running.jump(3_600_000);
    expect(running.stamp.lead()).toBe(0);
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
