/**
 * Breadth-first search: every state that can be reached, each once, the nearest first; so the first trace to a violation is a
 * shortest one.
 *
 * A state is a row of whole numbers (rows.ts) and is compared by its whole content. How a state was reached is kept as its parent
 * and the ordinal of the move, eight bytes; the trace is made by taking the moves again.
 */
import { must } from "../base/index.js";
import { Rows } from "./rows.js";

/** A state of a world: as many whole numbers as the world is wide. */
export type Row = readonly number[];

/** One thing that may happen next. */
export interface Move {
  label(): string;
  /** The state after it, or what it broke. */
  take(): Row | Violation;
}

export class Violation {
  readonly message: string;

  constructor(message: string) {
    this.message = message;
  }
}

export interface World {
  readonly name: string;
  /** Numbers in a row. */
  readonly width: number;
  initial(): Row | Violation;
  /** All of them, in an order that depends on the state alone. Equal rows, equal moves. */
  moves(state: Row): readonly Move[];
  /** What the state itself breaks. */
  check(state: Row): Violation | undefined;
  /** What is wrong with a state from which nothing leads to another one: something that should have happened never will. */
  checkEnd(state: Row): Violation | undefined;
  /** Names what a state shows, so that a search that never got anywhere interesting is noticed. */
  marks(state: Row): readonly string[];
  /** What moves did, and how many of them: for what a state does not show. */
  readonly happened: ReadonlyMap<string, number>;
}

export interface SearchOptions {
  /** The search stops above this many distinct states and says so. */
  readonly statesMax: number;
  /** Moves from the initial state; Infinity for all. */
  readonly depthMax: number;
  /** Called after each depth. */
  readonly onDepth?: ((depth: number, states: number, frontier: number) => void) | undefined;
}

export interface SearchResult {
  readonly world: string;
  readonly states: number;
  /** Moves taken, those that led to a known state included. */
  readonly moves: number;
  /** The farthest state from the start, in moves, whose moves were all tried. */
  readonly depth: number;
  /** True when no reachable state was left out. */
  readonly exhausted: boolean;
  /** States in which nothing can happen any more. */
  readonly ends: number;
  readonly violation: { readonly message: string; readonly trace: readonly string[] } | undefined;
  /** How many states showed each mark. */
  readonly marks: ReadonlyMap<string, number>;
  readonly happened: ReadonlyMap<string, number>;
}

/** Thirty-two bit numbers, as many as there are states. */
class Column {
  #numbers = new Uint32Array(1 << 12);
  #size = 0;

  push(number: number): void {
    if (this.#size === this.#numbers.length) {
      const larger = new Uint32Array(this.#size * 2);
      larger.set(this.#numbers);
      this.#numbers = larger;
    }
    this.#numbers[this.#size++] = number;
  }

  at(place: number): number {
    return must(this.#numbers[place], "number in its column");
  }
}

export function search(world: World, options: SearchOptions): SearchResult {
  const known = new Rows(world.width);
  const parents = new Column();
  const ordinals = new Column();
  const marks = new Map<string, number>();
  let moves = 0;
  let ends = 0;
  let depth = 0;

  const result = (exhausted: boolean, violation?: SearchResult["violation"]): SearchResult => ({
    ...{ world: world.name, states: known.size, moves, depth, exhausted, ends, marks, happened: world.happened },
    violation,
  });
  const traceTo = (place: number): string[] => {
    const trace: string[] = [];
    for (let at = place; at > 0; at = parents.at(at)) {
      trace.push(must(world.moves(known.at(parents.at(at)))[ordinals.at(at)], "move of the trace").label());
    }
    return trace.reverse();
  };
  /** Its place; the complement when it is new. */
  const add = (state: Row, parent: number, ordinal: number): number => {
    const place = known.add(state);
    if (place >= 0) return place;
    parents.push(parent);
    ordinals.push(ordinal);
    for (const mark of world.marks(state)) marks.set(mark, (marks.get(mark) ?? 0) + 1);
    return place;
  };

  const first = world.initial();
  if (first instanceof Violation) return result(false, { message: `before the search begins: ${first.message}`, trace: [] });
  add(first, 0, 0);
  const broken = world.check(first);
  if (broken !== undefined) return result(false, { message: broken.message, trace: [] });
  for (let from = 0; from < known.size; depth++) {
    if (depth >= options.depthMax) return result(false);
    const upTo = known.size;
    for (; from < upTo; from++) {
      const state = known.at(from);
      let progress = false;
      let ordinal = 0;
      for (const move of world.moves(state)) {
        moves++;
        const after = move.take();
        if (after instanceof Violation) return result(false, { message: after.message, trace: [...traceTo(from), move.label()] });
        const place = add(after, from, ordinal++);
        if (place >= 0) {
          progress ||= place !== from;
          continue;
        }
        progress = true;
        const wrong = world.check(after);
        if (wrong !== undefined) return result(false, { message: wrong.message, trace: traceTo(~place) });
        if (known.size > options.statesMax) return result(false);
      }
      if (progress) continue;
      ends++;
      const stuck = world.checkEnd(state);
      if (stuck !== undefined) return result(false, { message: stuck.message, trace: traceTo(from) });
    }
    options.onDepth?.(depth + 1, known.size, known.size - upTo);
  }
  return result(true);
}
