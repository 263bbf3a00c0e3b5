import fc from "fast-check";
import { expect, test } from "vitest";
import { Timed, TimerWheel } from "../../src/coordinator/timer-wheel.js";

class Timer extends Timed {
  readonly name: number;
  constructor(name: number) {
    super();
    this.name = name;
  }
}

const GRAIN_MS = 8;

test("every timer fires once, never early, and late by less than a grain when the wheel is woken as it asks", () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant("set" as const), timer: fc.nat(9), inMs: fc.oneof(fc.nat(50), fc.nat(40_000)) }),
    fc.record({ do: fc.constant("cancel" as const), timer: fc.nat(9), inMs: fc.constant(0) }),
    fc.record({ do: fc.constant("pass" as const), timer: fc.constant(0), inMs: fc.oneof(fc.nat(30), fc.nat(20_000)) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.nat(1_000_000), (steps, startMs) => {
      const wheel = new TimerWheel<Timer>();
      const timers = Array.from({ length: 10 }, (_, name) => new Timer(name));
      const due = new Map<number, number>();
      let nowMs = startMs + 0.5;
      wheel.start(nowMs);
      const advance = (toMs: number): void => {
        while (nowMs < toMs) {
          nowMs = Math.min(toMs, Math.max(wheel.wakeAtMs(), nowMs + 0.25));
          wheel.advance(nowMs, (timer) => {
            const dueMs = due.get(timer.name);
            expect(dueMs).toBeDefined();
            expect(nowMs).toBeGreaterThanOrEqual(dueMs ?? Infinity);
            expect(nowMs - (dueMs ?? 0)).toBeLessThanOrEqual(2 * GRAIN_MS);
            due.delete(timer.name);
          });
        }
      };
      for (const { do: what, timer, inMs } of steps) {
        const node = timers[timer] as Timer;
        if (what === "set") {
          wheel.set(node, nowMs + inMs);
          due.set(timer, nowMs + inMs);
        } else if (what === "cancel") {
          wheel.cancel(node);
          due.delete(timer);
        } else {
          advance(nowMs + inMs);
        }
        expect(timers.filter((candidate) => candidate.timerSet).map(({ name }) => name)).toEqual([...due.keys()].sort((a, b) => a - b));
      }
      advance(nowMs + 60_000);
      expect(due.size).toBe(0);
      expect(wheel.wakeAtMs()).toBe(Infinity);
    }),
    { numRuns: 150 },
  );
});

test("a timer that fires may cancel another that is due too, and set itself again", () => {
  const wheel = new TimerWheel<Timer>();
  const [a, b] = [new Timer(1), new Timer(2)];
  wheel.start(0);
  wheel.set(a, 10);
  wheel.set(b, 12);
  const fired: number[] = [];
  wheel.advance(100, (timer) => {
    fired.push(timer.name);
    wheel.cancel(b);
    if (fired.length === 1) wheel.set(a, 200);
  });
  expect(fired).toEqual([1]);
  wheel.advance(300, (timer) => fired.push(timer.name));
  expect(fired).toEqual([1, 1]);
});
