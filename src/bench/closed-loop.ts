/**
 * A closed loop: a fixed number of requests is always outstanding; the next is issued when one is answered.
 *
 * Latency is therefore service time at that concurrency. No promise or closure is made per operation: at the rates measured
 * here either would be a visible part of the driver's cost.
 */
import { performance } from "node:perf_hooks";
import type { Answer } from "../coordinator/index.js";
import { Latencies, type Percentiles } from "./latency.js";

/** Issues one request whose answer goes to `done`, exactly once. */
export type Issue = (done: (answer: Answer) => void) => void;

export interface LoopResult {
  readonly ops: number;
  readonly seconds: number;
  readonly opsPerSec: number;
  readonly latency: Percentiles;
  /** Answers that were errors, by code. */
  readonly errors: Readonly<Record<string, number>>;
  /** Answers that were aborts, by reason. */
  readonly aborts: Readonly<Record<string, number>>;
  /** The longest time without any answer, ms. */
  readonly longestSilenceMs: number;
}

/** One outstanding request at a time; its `done` is made once and used for the whole run. */
interface Slot {
  startedMs: number;
  readonly done: (answer: Answer) => void;
}

export class ClosedLoop {
  readonly #issue: Issue;
  readonly #latencies = new Latencies();
  readonly #errors: Record<string, number> = {};
  readonly #aborts: Record<string, number> = {};
  #measuring = false;
  #stopping = false;
  #active = 0;
  #lastMs = 0;
  #silenceMs = 0;
  #idle: (() => void) | undefined;

  constructor(issue: Issue) {
    this.#issue = issue;
  }

  /** Warms up, measures for `seconds`, then lets everything outstanding end. */
  async run(
    outstanding: number,
    warmupSeconds: number,
    seconds: number,
    onProgress: (ops: number, second: number) => void,
    onMeasure: () => void,
  ): Promise<LoopResult> {
    const idle = new Promise<void>((resolve) => (this.#idle = resolve));
    for (let i = 0; i < outstanding; i++) this.#start();
    await sleep(warmupSeconds * 1000);
    this.#measuring = true;
    onMeasure();
    const beganMs = (this.#lastMs = performance.now());
    for (let second = 1; second <= seconds; second++) {
      await sleep(Math.max(0, beganMs + second * 1000 - performance.now()));
      onProgress(this.#latencies.count, second);
    }
    this.#measuring = false;
    const elapsed = (performance.now() - beganMs) / 1000;
    const ops = this.#latencies.count;
    this.#stopping = true;
    await idle;
    return {
      ops,
      seconds: elapsed,
      opsPerSec: ops / elapsed,
      latency: this.#latencies.percentiles(),
      errors: this.#errors,
      aborts: this.#aborts,
      longestSilenceMs: this.#silenceMs,
    };
  }

  #start(): void {
    this.#active += 1;
    const slot: Slot = {
      startedMs: performance.now(),
      done: (answer) => {
        this.#ended(slot, answer);
        if (this.#stopping) {
          this.#active -= 1;
          if (this.#active === 0) this.#idle?.();
          return;
        }
        slot.startedMs = performance.now();
        this.#issue(slot.done);
      },
    };
    this.#issue(slot.done);
  }

  #ended(slot: Slot, answer: Answer): void {
    if (!this.#measuring) return;
    const now = performance.now();
    this.#silenceMs = Math.max(this.#silenceMs, now - this.#lastMs);
    this.#lastMs = now;
    if (answer.kind === "error") this.#errors[answer.code] = (this.#errors[answer.code] ?? 0) + 1;
    else if (answer.kind === "decided" && answer.decision === "abort") {
      const reason = answer.reason ?? "none";
      this.#aborts[reason] = (this.#aborts[reason] ?? 0) + 1;
    } else this.#latencies.add(now - slot.startedMs);
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
