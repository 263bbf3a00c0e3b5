/**
 * What a run measured: latencies by second, errors, aborts. Two loops write to it, the closed and the open one, and several stretches of
 * measured time may follow each other in one recorder.
 */
import { Latencies, type Percentiles } from "./latency.js";

/**
 * How one operation ended. `intended-abort`: a transaction of which the load made one branch vote no, and which was aborted for that;
 * it is neither an error nor work done.
 */
export type End = "ok" | "intended-abort" | { readonly error: string } | { readonly abort: string };

/** Issues one operation whose end goes to `done`, exactly once. */
export type Issue = (done: (end: End) => void) => void;

export interface Recorded {
  /** Operations that did what they were asked for; rates and percentiles are of these alone. */
  readonly ops: number;
  readonly seconds: number;
  readonly opsPerSec: number;
  readonly latency: Percentiles;
  /** Answers that were errors, by code. */
  readonly errors: Readonly<Record<string, number>>;
  /** Answers that were aborts nobody intended, by reason. */
  readonly aborts: Readonly<Record<string, number>>;
  readonly intendedAborts: number;
  /** The longest time without any answer, ms. */
  readonly longestSilenceMs: number;
}

/** Called while a loop measures. */
export interface Observer {
  /** A stretch of measured time begins. */
  begin(): void;
  /** A second of it has passed. */
  second(recorder: Recorder): void;
}

export class Recorder {
  readonly #latencies = new Latencies();
  readonly #errors: Record<string, number> = {};
  readonly #aborts: Record<string, number> = {};
  /** Operations that ended well, by measured second, and how long each second really was. */
  readonly #ops: number[] = [];
  readonly #lengthsMs: number[] = [];
  #intendedAborts = 0;
  #beganMs = 0;
  #lastMs = 0;
  #silenceMs = 0;

  /** The measured second that now runs, over all stretches, from 0. */
  get second(): number {
    return this.#lengthsMs.length;
  }

  get ops(): number {
    return this.#latencies.count;
  }

  /** Operations of the second that ended last. */
  get opsOfLastSecond(): number {
    return this.#ops[this.second - 1] ?? 0;
  }

  /** A stretch of measured time begins. */
  begin(nowMs: number): void {
    this.#beganMs = this.#lastMs = nowMs;
  }

  /** The second that ran is over. */
  nextSecond(nowMs: number): void {
    this.#lengthsMs.push(nowMs - this.#beganMs);
    this.#beganMs = nowMs;
  }

  record(end: End, latencyMs: number, nowMs: number, second = this.second): void {
    this.#silenceMs = Math.max(this.#silenceMs, nowMs - this.#lastMs);
    this.#lastMs = nowMs;
    if (end === "ok") {
      this.#latencies.add(latencyMs, second);
      this.#ops[second] = (this.#ops[second] ?? 0) + 1;
    } else if (end === "intended-abort") this.#intendedAborts += 1;
    else if ("error" in end) this.#errors[end.error] = (this.#errors[end.error] ?? 0) + 1;
    else this.#aborts[end.abort] = (this.#aborts[end.abort] ?? 0) + 1;
  }

  result(): Recorded {
    const seconds = this.#seconds(() => true);
    return {
      ops: this.ops,
      seconds,
      opsPerSec: seconds === 0 ? 0 : this.ops / seconds,
      latency: this.#latencies.percentiles(),
      errors: this.#errors,
      aborts: this.#aborts,
      intendedAborts: this.#intendedAborts,
      longestSilenceMs: this.#silenceMs,
    };
  }

  /** The same figures over the seconds that `counts`. */
  of(counts: (second: number) => boolean): { readonly opsPerSec: number; readonly latency: Percentiles } {
    const seconds = this.#seconds(counts);
    const latency = this.#latencies.percentiles(counts);
    return { opsPerSec: seconds === 0 ? 0 : latency.count / seconds, latency };
  }

  #seconds(counts: (second: number) => boolean): number {
    return this.#lengthsMs.reduce((sum, ms, second) => (counts(second) ? sum + ms : sum), 0) / 1000;
  }
}
