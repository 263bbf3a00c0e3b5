/**
 * Timers in coarse slots, without an allocation or a comparison tree per timer.
 *
 * A timer is a link in the list of its slot, so setting, moving and cancelling one costs a few pointer writes: every branch call has
 * one and nearly all are cancelled. Timers fire late by at most one grain, never early.
 */

const GRAIN_MS = 8;
const SLOTS = 1024;
const NOT_SET = -1;
/** Taken out of its slot in this advance, and not yet fired or cancelled. */
const DUE = -2;

/** What has a timer: one at a time. The wheel alone writes these fields. */
export abstract class Timed {
  timerDueMs = 0;
  timerSlot = NOT_SET;
  timerNext: Timed | undefined = undefined;
  timerPrevious: Timed | undefined = undefined;

  get timerSet(): boolean {
    return this.timerSlot !== NOT_SET;
  }
}

export class TimerWheel<T extends Timed> {
  readonly #slots: (Timed | undefined)[] = new Array<Timed | undefined>(SLOTS).fill(undefined);
  /** Every tick up to this one has been looked at. */
  #tick = 0;
  /** No timer is due before this tick; Infinity when there is none. */
  #earliest = Infinity;

  /** Drops every timer and starts from this time. */
  start(nowMs: number): void {
    for (let i = 0; i < SLOTS; i++) {
      for (let node = this.#slots[i]; node !== undefined;) {
        const next: Timed | undefined = node.timerNext;
        node.timerSlot = NOT_SET;
        node.timerNext = node.timerPrevious = undefined;
        node = next;
      }
      this.#slots[i] = undefined;
    }
    this.#tick = Math.floor(nowMs / GRAIN_MS);
    this.#earliest = Infinity;
  }

  /** Sets or moves the timer of `node`. */
  set(node: T, dueMs: number): void {
    this.cancel(node);
    const tick = Math.max(Math.ceil(dueMs / GRAIN_MS), this.#tick + 1);
    const slot = tick % SLOTS;
    const head = this.#slots[slot];
    node.timerDueMs = dueMs;
    node.timerSlot = slot;
    node.timerNext = head;
    if (head !== undefined) head.timerPrevious = node;
    this.#slots[slot] = node;
    if (tick < this.#earliest) this.#earliest = tick;
  }

  cancel(node: T): void {
    if (node.timerSlot === NOT_SET) return;
    if (node.timerSlot !== DUE) this.#unlink(node);
    node.timerSlot = NOT_SET;
  }

  /** Fires what is due. `fire` may set and cancel timers, its own too. */
  advance(nowMs: number, fire: (node: T) => void): void {
    const nowTick = Math.floor(nowMs / GRAIN_MS);
    if (nowTick < this.#earliest) {
      this.#tick = Math.max(this.#tick, nowTick);
      return;
    }
    const due: Timed[] = [];
    const from = Math.max(this.#tick + 1, nowTick - SLOTS + 1);
    for (let tick = from; tick <= nowTick; tick++) {
      for (let node = this.#slots[tick % SLOTS]; node !== undefined;) {
        const next: Timed | undefined = node.timerNext;
        if (node.timerDueMs <= nowMs) {
          this.#unlink(node);
          node.timerSlot = DUE;
          due.push(node);
        }
        node = next;
      }
    }
    this.#tick = nowTick;
    this.#earliest = this.#findEarliest();
    due.sort((a, b) => a.timerDueMs - b.timerDueMs);
    for (const node of due) {
      if (node.timerSlot !== DUE) continue;
      node.timerSlot = NOT_SET;
      fire(node as T);
    }
  }

  /** When to call advance; may be early, never late. Infinity when nothing is set. */
  wakeAtMs(): number {
    return this.#earliest * GRAIN_MS;
  }

  #findEarliest(): number {
    for (let tick = this.#tick + 1; tick <= this.#tick + SLOTS; tick++) {
      if (this.#slots[tick % SLOTS] !== undefined) return tick;
    }
    return Infinity;
  }

  #unlink(node: Timed): void {
    if (node.timerPrevious === undefined) this.#slots[node.timerSlot] = node.timerNext;
    else node.timerPrevious.timerNext = node.timerNext;
    if (node.timerNext !== undefined) node.timerNext.timerPrevious = node.timerPrevious;
    node.timerNext = node.timerPrevious = undefined;
  }
}
