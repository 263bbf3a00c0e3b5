/**
 * An open loop: operations are due on a fixed schedule, whether or not earlier ones are answered, as users arrive.
 *
 * Latency is counted from the moment an operation was due, not from when it could be sent. A stall of the system (or of this driver)
 * therefore shows in every operation that was due meanwhile; counted from the sending it would show in a single one ("coordinated
 * omission"). The backlog needs no memory, because the n-th operation is due at n / rate; it is bounded in time, and a system that
 * falls behind by more is told to have failed at this rate.
 */
import { realClock, type Clock } from "./clock.js";
import type { Issue, Observer, Recorder } from "./recorder.js";

/** Sent and unanswered at most; what is due beyond that waits on the schedule. */
export const OPEN_LOOP_IN_FLIGHT_MAX = 8192;
/** An operation that cannot even be sent this long after it was due ends the run. */
export const OPEN_LOOP_LATE_MS_MAX = 5000;
const TICK_MS = 1;

export interface OpenLoopResult {
  /** False: operations were due that could not be sent, because too many were unanswered. */
  readonly keptUp: boolean;
  /** The longest that an operation had to wait to be sent, ms. */
  readonly lateMaxMs: number;
  /** Operations that were due in the measured time. */
  readonly due: number;
  /** What a person should know; undefined when the system kept up. */
  readonly finding: string | undefined;
}

export class OpenLoop {
  readonly #issue: Issue;
  readonly #recorder: Recorder;
  readonly #clock: Clock;
  #inFlight = 0;
  #idle: (() => void) | undefined;
  #beganMs = 0;
  /** Operations due from here on, and before there, are measured. */
  #fromMs = Infinity;
  #untilMs = Infinity;
  #firstSecond = 0;
  #issued = 0;
  #lateMaxMs = 0;
  #full = false;

  constructor(issue: Issue, recorder: Recorder, clock = realClock) {
    this.#issue = issue;
    this.#recorder = recorder;
    this.#clock = clock;
  }

  /**
   * Starts `rate` operations a second, measures those that are due in `seconds` after the warm-up, and waits for all their answers. Runs
   * once.
   */
  async run(rate: number, warmupSeconds: number, seconds: number, observer: Observer): Promise<OpenLoopResult> {
    const clock = this.#clock;
    this.#beganMs = clock.nowMs();
    const fromMs = this.#beganMs + warmupSeconds * 1000;
    const wanted = Math.round(rate * (warmupSeconds + seconds));
    let begun = false;
    let passed = 0;
    for (;;) {
      const now = clock.nowMs();
      if (!begun && now >= fromMs) {
        begun = true;
        observer.begin();
        this.#fromMs = fromMs;
        this.#firstSecond = this.#recorder.second;
        this.#recorder.begin(now);
      }
      const lateMs = this.#sendDue(rate, wanted, now);
      for (; begun && passed < seconds && now >= fromMs + (passed + 1) * 1000; passed++) {
        this.#recorder.nextSecond(now);
        observer.second(this.#recorder);
      }
      const over = lateMs > OPEN_LOOP_LATE_MS_MAX;
      // What was due and could not be sent yet is sent late, and counted so.
      if (over || (passed === seconds && this.#issued >= wanted)) {
        this.#untilMs = over ? this.#beganMs + (this.#issued * 1000) / rate : fromMs + seconds * 1000;
        if (over && begun && passed < seconds) this.#recorder.nextSecond(now);
        if (this.#inFlight > 0) await new Promise<void>((resolve) => (this.#idle = resolve));
        return this.#result(rate, lateMs, over, begun ? Math.min(now - fromMs, seconds * 1000) : 0);
      }
      await clock.sleep(TICK_MS);
    }
  }

  /** How late the first operation is that is due and was not sent, ms. */
  #sendDue(rate: number, wanted: number, now: number): number {
    // Operation 0 is due at once.
    const due = Math.min(wanted, Math.floor(((now - this.#beganMs) / 1000) * rate) + 1);
    for (; this.#issued < due && this.#inFlight < OPEN_LOOP_IN_FLIGHT_MAX; this.#issued++) {
      this.#one(this.#beganMs + (this.#issued * 1000) / rate, now);
    }
    if (this.#issued >= due) return 0;
    if (now >= this.#fromMs) this.#full = true;
    return now - (this.#beganMs + (this.#issued * 1000) / rate);
  }

  #one(dueMs: number, now: number): void {
    this.#inFlight += 1;
    if (dueMs >= this.#fromMs) this.#lateMaxMs = Math.max(this.#lateMaxMs, now - dueMs);
    this.#issue((end) => {
      const ended = this.#clock.nowMs();
      if (dueMs >= this.#fromMs && dueMs < this.#untilMs)
        this.#recorder.record(end, ended - dueMs, ended, this.#firstSecond + Math.floor((dueMs - this.#fromMs) / 1000));
      this.#inFlight -= 1;
      if (this.#inFlight === 0 && this.#untilMs !== Infinity) this.#idle?.();
    });
  }

  #result(rate: number, lateMs: number, over: boolean, measuredMs: number): OpenLoopResult {
    const keptUp = !over && !this.#full;
    const finding = over
      ? `the system cannot keep up with ${rate}/s: ${OPEN_LOOP_IN_FLIGHT_MAX} operations were unanswered and the next one was ${(lateMs / 1000).toFixed(1)} s late; the run was ended`
      : this.#full
        ? `the system barely kept up with ${rate}/s: at times ${OPEN_LOOP_IN_FLIGHT_MAX} operations were unanswered and further ones waited up to ${Math.round(this.#lateMaxMs)} ms to be sent`
        : undefined;
    return { keptUp, lateMaxMs: this.#lateMaxMs, due: Math.round((rate * measuredMs) / 1000), finding };
  }
}
