/**
 * The simulated world's spine: virtual time, the event loop, randomness by concern, the trace and its hash, coverage, violations.
 *
 * Nothing in this room reads a real clock or another source of randomness, so a seed is a run.
 */
import { InvariantViolation, messageOf, Prng } from "../base/index.js";
import type { Violation } from "../check/index.js";
import { EventQueue } from "./event-queue.js";

/** Readable lines kept for the end of a failed run. */
const TRACE_LINES_MAX = 100_000;

export class World {
  readonly seed: number;
  readonly tracing: boolean;
  /** What happened how often: named situations, for the batch's report. */
  readonly coverage = new Map<string, number>();
  readonly #queue = new EventQueue();
  readonly #codes = new Map<string, number>();
  readonly #lines: string[] = [];
  #now = 0;
  #hash = 0x811c9dc5;
  #steps = 0;
  #violation: Violation | undefined;

  constructor(seed: number, tracing: boolean) {
    this.seed = seed;
    this.tracing = tracing;
  }

  /** Virtual milliseconds since the run began. */
  get now(): number {
    return this.#now;
  }

  get steps(): number {
    return this.#steps;
  }

  get violation(): Violation | undefined {
    return this.#violation;
  }

  /** Eight hex digits over everything that was marked: equal for equal runs. */
  get traceHash(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, "0");
  }

  get traceLines(): readonly string[] {
    return this.#lines;
  }

  /** The generator of one concern. It depends on the seed and the label alone: a new concern changes nothing of the others. */
  fork(label: string): Prng {
    return new Prng(`quorate-sim/${this.seed}/${label}`);
  }

  at(time: number, run: () => void): void {
    this.#queue.push(time < this.#now ? this.#now : time, run);
  }

  after(delayMs: number, run: () => void): void {
    this.at(this.#now + delayMs, run);
  }

  /** Runs events until `time`, or until an invariant breaks. */
  runUntil(time: number): void {
    while (this.#violation === undefined && this.#queue.nextAt() <= time) {
      const event = this.#queue.pop();
      if (event === undefined) break;
      this.#now = event.at;
      this.#steps += 1;
      this.guard(event.run);
    }
    if (this.#violation === undefined && this.#now < time) this.#now = time;
  }

  /** Runs `step`; a broken invariant, or any other throw of the code under test, ends the run as a violation. */
  guard(step: () => void): void {
    try {
      step();
    } catch (error) {
      const stack = error instanceof Error ? (error.stack ?? "") : "";
      this.fail({
        invariant: error instanceof InvariantViolation ? "assertion" : "exception",
        message: `${messageOf(error)}\n${stack.split("\n").slice(1, 9).join("\n")}`,
      });
    }
  }

  /** Records the first violation; the run ends with it. */
  fail(violation: Violation): void {
    if (this.#violation !== undefined) return;
    this.#violation = violation;
    this.mark("VIOLATION", violation.invariant, () => violation.message);
  }

  cover(name: string, times = 1): void {
    this.coverage.set(name, (this.coverage.get(name) ?? 0) + times);
  }

  /** One line of the trace. `who` and `what` go into the hash with the time; `detail` is only made when somebody reads it. */
  mark(who: string, what: string, detail?: () => string): void {
    let h = this.#hash;
    h = Math.imul(h ^ this.#code(who), 0x01000193);
    h = Math.imul(h ^ this.#code(what), 0x01000193);
    // Microseconds: the fraction decides the order of events, so it belongs into the hash.
    h = Math.imul(h ^ (Math.floor(this.#now * 1000) | 0), 0x01000193);
    this.#hash = h;
    if (this.tracing) this.note(who, what, detail);
  }

  /** A line for readers only: it is not part of the hash. */
  note(who: string, what: string, detail?: () => string): void {
    if (!this.tracing) return;
    if (this.#lines.length >= TRACE_LINES_MAX * 2) this.#lines.splice(0, TRACE_LINES_MAX);
    this.#lines.push(`${this.#now.toFixed(3).padStart(11)} ${who.padEnd(6)} ${what}${detail === undefined ? "" : ` ${detail()}`}`);
  }

  /** Folds a number into the trace hash. */
  mix(value: number): void {
    this.#hash = Math.imul(this.#hash ^ (value | 0), 0x01000193);
  }

  #code(text: string): number {
    let code = this.#codes.get(text);
    if (code === undefined) {
      code = 0x811c9dc5;
      for (let i = 0; i < text.length; i++) code = Math.imul(code ^ text.charCodeAt(i), 0x01000193);
      this.#codes.set(text, code);
    }
    return code;
  }
}
