import { describe, expect, test } from "vitest";
import { ClosedLoop } from "../../src/bench/closed-loop.js";
import { OPEN_LOOP_IN_FLIGHT_MAX, OPEN_LOOP_LATE_MS_MAX, OpenLoop } from "../../src/bench/open-loop.js";
import { Recorder, type End, type Observer } from "../../src/bench/recorder.js";
import { stallingSystem, VirtualClock } from "./virtual-clock.js";

/** Notes when the measured time began and what each second brought. */
class Watch implements Observer {
  began = 0;
  readonly opsOfSeconds: number[] = [];

  begin(): void {
    this.began += 1;
  }

  second(recorder: Recorder): void {
    this.opsOfSeconds.push(recorder.opsOfLastSecond);
  }
}

async function openLoop(issue: (clock: VirtualClock) => (done: (end: End) => void) => void, rate: number, warmup: number, seconds: number) {
  const clock = new VirtualClock();
  const recorder = new Recorder();
  const watch = new Watch();
  const result = await clock.run(new OpenLoop(issue(clock), recorder, clock).run(rate, warmup, seconds, watch));
  return { recorded: recorder.result(), recorder, result, watch };
}

describe("an open loop", () => {
  test("starts exactly as many operations as the schedule says, and measures those of the measured time", async () => {
    let issued = 0;
    const { recorded, result, watch } = await openLoop(
      (clock) => (done) => {
        issued += 1;
        clock.at(clock.nowMs() + 2, () => done("ok"));
      },
      100,
      2,
      5,
    );
    expect(issued).toBe(700);
    expect(recorded.ops).toBe(500);
    expect(result).toMatchObject({ keptUp: true, finding: undefined, due: 500 });
    expect(recorded.opsPerSec).toBeCloseTo(100, 0);
    expect(watch.began).toBe(1);
    expect(watch.opsOfSeconds).toHaveLength(5);
    expect(recorded.latency.maxMs).toBeLessThan(4);
  });

  test("a stall shows in every operation that was due meanwhile; a closed loop sees it once (coordinated omission)", async () => {
    // Answers take 1 ms, except that for one of ten seconds nothing is answered.
    const stalled = await openLoop((clock) => stallingSystem(clock, 1, 4000, 5000), 100, 0, 10);
    expect(stalled.recorded.ops).toBe(1000);
    // A tenth of all operations waited for up to a second, evenly spread.
    expect(stalled.recorded.latency.p99ms).toBeGreaterThan(850);
    expect(stalled.recorded.latency.maxMs).toBeGreaterThan(985);
    expect(stalled.recorder.of((second) => second === 3).latency.count).toBeGreaterThan(95);
    expect(stalled.recorder.of((second) => second === 4).latency.p50ms).toBeGreaterThan(400);
    expect(stalled.recorder.of((second) => second !== 4 && second !== 3).latency.maxMs).toBeLessThan(5);

    const clock = new VirtualClock();
    const recorder = new Recorder();
    const system = stallingSystem(clock, 10, 4000, 5000);
    await clock.run(new ClosedLoop(system, recorder, clock).run(1, 0, 10, new Watch()));
    const closed = recorder.result();
    expect(closed.ops).toBeGreaterThan(850);
    expect(closed.latency.p99ms).toBe(10);
    expect(closed.latency.maxMs).toBeGreaterThan(985);
  });

  test("a driver that wakes late counts from when an operation was due", async () => {
    class Sluggish extends VirtualClock {
      override sleep(): Promise<void> {
        return super.sleep(200);
      }
    }
    const clock = new Sluggish();
    const recorder = new Recorder();
    const loop = new OpenLoop((done) => clock.at(clock.nowMs(), () => done("ok")), recorder, clock);
    const result = await clock.run(loop.run(100, 0, 2, new Watch()));
    expect(recorder.ops).toBe(200);
    expect(recorder.result().latency.p50ms).toBeGreaterThanOrEqual(90);
    expect(result.lateMaxMs).toBeGreaterThanOrEqual(190);
  });

  test("a system that cannot keep up ends the run with a bounded backlog and says so", async () => {
    let inFlight = 0;
    let most = 0;
    let answered = 0;
    const rate = 20_000;
    const { recorded, result } = await openLoop(
      (clock) => {
        // One answer a millisecond, whatever is asked.
        let freeMs = 0;
        return (done) => {
          most = Math.max(most, ++inFlight);
          freeMs = Math.max(freeMs, clock.nowMs()) + 1;
          clock.at(freeMs, () => {
            inFlight -= 1;
            answered += 1;
            done("ok");
          });
        };
      },
      rate,
      0,
      30,
    );
    expect(most).toBe(OPEN_LOOP_IN_FLIGHT_MAX);
    expect(inFlight).toBe(0);
    expect(result.keptUp).toBe(false);
    expect(result.finding).toContain(`cannot keep up with ${rate}/s`);
    expect(recorded.ops).toBe(answered);
    // It ended when the next operation was too late, not after the 30 seconds.
    expect(recorded.seconds).toBeLessThan(7);
    expect(recorded.latency.maxMs).toBeGreaterThan(OPEN_LOOP_LATE_MS_MAX);
  });

  test("a backlog that is worked off is reported, and everything that was due is measured", async () => {
    const { recorded, result } = await openLoop((clock) => stallingSystem(clock, 1, 500, 1500), 10_000, 0, 3);
    expect(recorded.ops).toBe(30_000);
    expect(result).toMatchObject({ keptUp: false, due: 30_000 });
    expect(result.finding).toContain("barely kept up");
  });

  test("errors and aborts are counted apart, and are no work", async () => {
    const ends: readonly End[] = ["ok", "intended-abort", { error: "QUORATE_TIMEOUT" }, { abort: "timeout" }];
    let n = 0;
    const { recorded } = await openLoop((clock) => (done) => clock.at(clock.nowMs(), () => done(ends[n++ % 4] ?? "ok")), 100, 0, 2);
    expect(recorded).toMatchObject({ ops: 50, intendedAborts: 50, errors: { QUORATE_TIMEOUT: 50 }, aborts: { timeout: 50 } });
  });
});

describe("a closed loop", () => {
  test("keeps its number outstanding, leaves the warm-up out, and lets everything end", async () => {
    const clock = new VirtualClock();
    const recorder = new Recorder();
    const watch = new Watch();
    let inFlight = 0;
    let most = 0;
    const loop = new ClosedLoop(
      (done) => {
        most = Math.max(most, ++inFlight);
        clock.at(clock.nowMs() + 100, () => {
          inFlight -= 1;
          done("ok");
        });
      },
      recorder,
      clock,
    );
    await clock.run(loop.run(4, 3, 2, watch));
    expect([most, inFlight]).toEqual([4, 0]);
    expect(recorder.result().seconds).toBe(2);
    expect(Math.abs(recorder.ops - 80)).toBeLessThanOrEqual(4);
    expect(recorder.result().latency).toMatchObject({ p50ms: 100, maxMs: 100 });
    // A further stretch adds to the same figures.
    await clock.run(loop.run(2, 0, 1, watch));
    expect(watch.opsOfSeconds).toHaveLength(3);
    expect(recorder.result().seconds).toBe(3);
    expect(Math.abs(recorder.ops - 100)).toBeLessThanOrEqual(8);
  });
});
