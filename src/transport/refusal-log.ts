/**
 * Log lines about refused and failing peers: the first of each kind at once, repetitions at most every ten seconds, because a
 * misconfigured node dials several times a second.
 */
import type { Logger } from "../base/index.js";

const REPEAT_MS = 10_000;
const KINDS_MAX = 256;

export class RefusalLog {
  readonly #log: Logger;
  readonly #last = new Map<string, number>();

  constructor(log: Logger) {
    this.#log = log;
  }

  warn(fields: object, message: string): void {
    const now = performance.now();
    const last = this.#last.get(message);
    if (last !== undefined && now - last < REPEAT_MS) return;
    if (this.#last.size >= KINDS_MAX) this.#last.clear();
    this.#last.set(message, now);
    this.#log.warn(fields, message);
  }

  /** The trouble is over: its next occurrence is logged at once. */
  forget(message: string): void {
    this.#last.delete(message);
  }
}
