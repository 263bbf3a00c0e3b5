/**
 * When a follower stops believing in a silent leader: three times the usual gap between heartbeats, inside bounds.
 *
 * Decides only "silent for too long". What that means is the follower's business. A closed connection is a faster hint than any of
 * this (follower.ts); the detector bounds the frozen and the cut-off leader.
 */
import type { ZabOptions } from "./peer-api.js";

/** Weight of the newest gap, as in TCP's round-trip estimator. */
const EWMA_WEIGHT = 1 / 8;
const GAPS_TOLERATED = 3;

export class SilenceDetector {
  readonly #minMs: number;
  readonly #maxMs: number;
  #gapMs: number;
  #heartbeatMs: number | undefined;
  #heardMs: number;

  constructor(options: ZabOptions, nowMs: number) {
    this.#minMs = options.followerSilenceMsMin;
    this.#maxMs = options.followerSilenceMsMax;
    this.#gapMs = options.pingIntervalMs;
    this.#heardMs = nowMs;
  }

  /** Any sign of life. */
  heard(nowMs: number): void {
    this.#heardMs = nowMs;
  }

  /** A heartbeat, which comes at a steady pace: only these teach the usual gap, or a busy stream would make it tiny. */
  heartbeat(nowMs: number): void {
    if (this.#heartbeatMs !== undefined) this.#gapMs += (nowMs - this.#heartbeatMs - this.#gapMs) * EWMA_WEIGHT;
    this.#heartbeatMs = nowMs;
    this.#heardMs = nowMs;
  }

  /** The silence that counts, in ms. */
  get limitMs(): number {
    return Math.min(this.#maxMs, Math.max(this.#minMs, GAPS_TOLERATED * this.#gapMs));
  }

  /** The leader is suspected from this moment on. */
  get deadlineMs(): number {
    return this.#heardMs + this.limitMs;
  }
}
