/**
 * Collects until the end of the event loop's turn, then sends: one frame per stream and turn, whatever a turn brings.
 */

/** Something with unsent items. */
export abstract class Flushable {
  /** Waiting for the end of the turn. */
  dirty = false;
  /** Sends what is collected, as far as the stream takes it. */
  abstract flush(): void;
}

export class TurnFlusher {
  #dirty: Flushable[] = [];
  #scheduled = false;

  /** Has `one` flushed at the end of this turn. */
  mark(one: Flushable): void {
    if (one.dirty) return;
    one.dirty = true;
    this.#dirty.push(one);
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#run);
  }

  flush(): void {
    const dirty = this.#dirty;
    if (dirty.length === 0) return;
    this.#dirty = [];
    for (const one of dirty) {
      one.dirty = false;
      one.flush();
    }
  }

  readonly #run = (): void => {
    this.#scheduled = false;
    this.flush();
  };
}
