/**
 * Between the state machine and its stored form: what a checkpoint writes, and how a stored state is read, at once or piece by piece.
 */
import type { Restoring, StateChange, StateMachine } from "../txn/index.js";
import { codecs } from "../wire/index.js";
import type { StateWrite } from "./ports.js";

/** What is read in one piece: a few ms, so that a large state does not keep the node from being heard. */
const SLICE_COST = 2_000;
/** An entry costs 1, and 1 more for each of so many bytes: a page of outcomes is as much work as hundreds of small values. */
const BYTES_PER_COST = 128;

export function* decodeState(entries: Iterable<StateWrite>): Generator<StateChange, undefined> {
  for (const { key, value } of entries) if (value !== undefined) yield codecs.stateChange.decode(key, value);
}

export function* encodeChanges(changes: Iterable<StateChange>): Generator<StateWrite> {
  for (const change of changes) yield { key: codecs.stateChange.encodeKey(change), value: codecs.stateChange.encodeValue(change) };
}

/** A stored state on its way into the state machine, which keeps its old state until all of it is there. */
export class StateRestore {
  readonly #restoring: Restoring;
  readonly #entries: Iterator<StateWrite>;

  constructor(machine: StateMachine, entries: Iterable<StateWrite>) {
    this.#restoring = machine.restoring();
    this.#entries = entries[Symbol.iterator]();
  }

  /** Reads the next piece, one entry when `rarely`. True: that was all of it, and the new state is in force. */
  step(rarely: boolean): boolean {
    for (let left = rarely ? 1 : SLICE_COST; left > 0;) {
      const next = this.#entries.next();
      if (next.done === true) {
        this.#restoring.finish();
        return true;
      }
      const { key, value } = next.value;
      if (value === undefined) continue;
      this.#restoring.take(codecs.stateChange.decode(key, value));
      left -= 1 + Math.floor(value.length / BYTES_PER_COST);
    }
    return false;
  }
}
