/**
 * Passes on to one participant what the cluster has forgotten, so that it drops its outcome rows.
 *
 * Decides when: one call at a time, with a pause after each, because nobody waits for it and a call costs the participant a durable
 * write. What is told is never too high, so the greatest value counts; whether it is from the right cluster is the caller's to check.
 */
import { messageOf } from "../base/index.js";
import { backoffMs } from "./backoff.js";
import { randomFloat } from "./entropy.js";

/** The cluster's floor moves every few seconds; calls that follow it any closer find nothing more to drop. */
const PAUSE_MS = 5_000;
const PAUSE_MS_MAX = 60_000;

export interface ForgettingOptions {
  /** Participant.forgetBelow. */
  readonly forget: (belowMs: number) => Promise<void>;
  readonly onFailed: (message: string) => void;
  /** Between the end of a call and the next one, ms; grows to `pauseMsMax` while calls fail. */
  readonly pauseMs?: number;
  readonly pauseMsMax?: number;
}

export class Forgetting {
  readonly #options: ForgettingOptions;
  readonly #pauseMs: number;
  readonly #pauseMsMax: number;
  #toldMs = 0;
  #doneMs = 0;
  /** The participant had a second call with `#doneMs`: it may drop only in the next one what it stored the floor for in this. */
  #repeated = true;
  #running: Promise<void> | undefined;
  #pause: NodeJS.Timeout | undefined;
  #failures = 0;
  #closed = false;

  constructor(options: ForgettingOptions) {
    this.#options = options;
    this.#pauseMs = options.pauseMs ?? PAUSE_MS;
    this.#pauseMsMax = options.pauseMsMax ?? PAUSE_MS_MAX;
  }

  /** The participant has dropped what it could below this, ms of gid time; 0 until then. */
  get doneMs(): number {
    return this.#doneMs;
  }

  /** The cluster has forgotten every gid below this. Values may come from any node, late and in any order. */
  told(belowMs: number): void {
    if (belowMs <= this.#toldMs) return;
    this.#toldMs = belowMs;
    if (this.#running === undefined && this.#pause === undefined) this.#next();
  }

  /** Calls nothing any more. Resolves when the call under way, if any, has ended. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#pause);
    await this.#running;
  }

  #next(): void {
    if (this.#closed || (this.#toldMs === this.#doneMs && this.#repeated)) return;
    this.#running = this.#call(this.#toldMs).then((pauseMs) => {
      this.#running = undefined;
      if (this.#closed) return;
      this.#pause = setTimeout(() => {
        this.#pause = undefined;
        this.#next();
      }, pauseMs).unref();
    });
  }

  /** Never rejects. Resolves with how long to pause. */
  async #call(belowMs: number): Promise<number> {
    try {
      await this.#options.forget(belowMs);
    } catch (error) {
      if (!this.#closed) this.#options.onFailed(messageOf(error));
      const limits = { delayMsMin: this.#pauseMs, delayMsMax: this.#pauseMsMax };
      return backoffMs(++this.#failures, limits, randomFloat);
    }
    this.#failures = 0;
    this.#repeated = belowMs === this.#doneMs;
    this.#doneMs = belowMs;
    return this.#pauseMs;
  }
}
