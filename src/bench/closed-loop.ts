/**
 * A closed loop: a fixed number of operations is always outstanding; the next is issued when one is answered.
 *
 * Latency is therefore service time at that concurrency: a system that stalls is simply asked less. For latency under a fixed rate of
 * arrival see open-loop.ts.
 */
import { realClock, type Clock } from "./clock.js";
import type { End, Issue, Observer, Recorder } from "./recorder.js";

/** One outstanding operation at a time; its `done` is made once and used for the whole run. */
interface Slot {
  startedMs: number;
  readonly done: (end: End) => void;
}

export class ClosedLoop {
  readonly #issue: Issue;
  readonly #recorder: Recorder;
  readonly #clock: Clock;
  #measuring = false;
  #stopping = false;
  #active = 0;
  #idle: (() => void) | undefined;

  constructor(issue: Issue, recorder: Recorder, clock = realClock) {
    this.#issue = issue;
    this.#recorder = recorder;
    this.#clock = clock;
  }

  /** Warms up, measures for `seconds`, then lets everything outstanding end. May be run again. */
  async run(outstanding: number, warmupSeconds: number, seconds: number, observer: Observer): Promise<void> {
    const clock = this.#clock;
    const idle = new Promise<void>((resolve) => (this.#idle = resolve));
    this.#stopping = false;
    for (let i = 0; i < outstanding; i++) this.#start();
    await clock.sleep(warmupSeconds * 1000);
    this.#measuring = true;
    observer.begin();
    const beganMs = clock.nowMs();
    this.#recorder.begin(beganMs);
    for (let second = 1; second <= seconds; second++) {
      await clock.sleep(Math.max(0, beganMs + second * 1000 - clock.nowMs()));
      this.#recorder.nextSecond(clock.nowMs());
      observer.second(this.#recorder);
    }
    this.#measuring = false;
    this.#stopping = true;
    await idle;
  }

  #start(): void {
    this.#active += 1;
    const slot: Slot = {
      startedMs: this.#clock.nowMs(),
      done: (end) => {
        const now = this.#clock.nowMs();
        if (this.#measuring) this.#recorder.record(end, now - slot.startedMs, now);
        if (this.#stopping) {
          this.#active -= 1;
          if (this.#active === 0) this.#idle?.();
          return;
        }
        slot.startedMs = now;
        this.#issue(slot.done);
      },
    };
    this.#issue(slot.done);
  }
}
