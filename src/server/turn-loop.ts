/**
 * When the replica's outputs are carried out: once per turn of the event loop in which something happened, and at the time it asked for.
 *
 * Everything that arrives in one turn is thereby one proposal batch, one write and one frame per stream.
 */
import { must } from "../base/index.js";

export interface TurnLoopParts {
  /** Monotonic ms. */
  readonly now: () => number;
  readonly tick: () => void;
  /** Returns the monotonic time at which `tick` is wanted at the latest; -Infinity: more is owed, in a turn of its own. */
  readonly flush: () => number;
  /** A bug, or a broken invariant: the loop has stopped. */
  readonly onFatal: (error: unknown) => void;
}

/** setTimeout fires at once for longer delays. */
const DELAY_MS_MAX = 0x7fffffff;

export class TurnLoop {
  readonly #parts: TurnLoopParts;
  /** True before `start`, so that inputs may come in but nothing goes out. */
  #scheduled = true;
  #stopped = false;
  #timer: NodeJS.Timeout | undefined;
  #timerAtMs = Infinity;

  constructor(parts: TurnLoopParts) {
    this.#parts = parts;
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  /** Runs one input of the replica, and the flush it causes later in this turn. Cheap to call many times a turn. */
  input(action: () => void): void {
    if (this.#stopped) return;
    try {
      action();
    } catch (error) {
      this.#fail(error);
      return;
    }
    this.wake();
  }

  /** From here on outputs are carried out. */
  start(): void {
    this.#scheduled = false;
    this.wake();
  }

  wake(): void {
    if (this.#scheduled || this.#stopped) return;
    this.#scheduled = true;
    setImmediate(this.#turn);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  readonly #turn = (): void => {
    this.#scheduled = false;
    if (this.#stopped) return;
    try {
      const atMs = this.#parts.flush();
      // Time passes while a backlog is worked off, and timers may be due; what has arrived meanwhile comes first.
      if (atMs === -Infinity) this.input(this.#parts.tick);
      else this.#arm(atMs);
    } catch (error) {
      this.#fail(error);
    }
  };

  /** A timer that is early by accident costs one empty tick; re-arming it on every turn would cost more. */
  #arm(atMs: number): void {
    if (this.#stopped || atMs === Infinity) return;
    if (this.#timer !== undefined && this.#timerAtMs <= atMs) return;
    clearTimeout(this.#timer);
    this.#timerAtMs = atMs;
    const delay = Math.min(DELAY_MS_MAX, Math.max(0, Math.ceil(atMs - this.#parts.now())));
    this.#timer = setTimeout(this.#onTimer, delay);
  }

  readonly #onTimer = (): void => {
    this.#timer = undefined;
    this.#timerAtMs = Infinity;
    this.input(this.#parts.tick);
  };

  #fail(error: unknown): void {
    this.stop();
    this.#parts.onFatal(must(error, "what was thrown"));
  }
}
