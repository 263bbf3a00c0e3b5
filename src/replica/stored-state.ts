/**
 * Between the state machine and its stored form: what a checkpoint writes, and how a stored state is read, at once or piece by piece.
 */
import type { Restoring, StateChange, StateMachine } from "../txn/index.js";
import { codecs } from "../wire/index.js";
import type { StateWrite } from "./ports.js";

/** Entries read in one piece: a few ms, so that a million of them do not keep the node from being heard. */
const SLICE_ENTRIES = 2_000;

export function* decodeState(entries: Iterable<StateWrite>): Generator<StateChange, undefined> {
  for (const { key, value } of entries) if (value !== undefined) yield codecs.stateChange.decode(key, value);
}

export function* encodeChanges(changes: Iterable<StateChange>): Generator<StateWrite> {
  for (const change of changes) yield { key: codecs.stateChange.encodeKey(change), value: codecs.stateChange.encodeValue(change) };
}

/** A stored state on its way into the state machine, which keeps its old state until all of it is there. */
export class StateRestore {
  readonly #restoring: Restoring;
  readonly #changes: Iterator<StateChange>;

  constructor(machine: StateMachine, entries: Iterable<StateWrite>) {
    this.#restoring = machine.restoring();
    this.#changes = decodeState(entries);
  }

  /** Reads the next piece, one entry when `rarely`. True: that was all of it, and the new state is in force. */
  step(rarely: boolean): boolean {
    for (let left = rarely ? 1 : SLICE_ENTRIES; left > 0; left--) {
      const next = this.#changes.next();
      if (next.done === true) {
        this.#restoring.finish();
        return true;
      }
      this.#restoring.take(next.value);
    }
    return false;
  }
}
