/**
 * Breadth-first search: every state that can be reached, each once, the nearest first; so the first trace to a violation is a
 * shortest one.
 *
 * States are told apart by their whole key, not by a hash of it: no collision can hide one.
 */

/** One thing that may happen next. */
export interface Move<State> {
  readonly label: string;
  /** The state after it, or what it broke. Called at most once for each state it leaves from. */
  take(): State | Violation;
}

export class Violation {
  readonly message: string;

  constructor(message: string) {
    this.message = message;
  }
}

export interface World<State> {
  readonly name: string;
  initial(): State | Violation;
  /** Equal keys, equal futures. */
  key(state: State): string;
  /** All of them, in an order that depends on the state alone. */
  moves(state: State): readonly Move<State>[];
  /** What the state itself breaks. */
  check(state: State): Violation | undefined;
  /** What is wrong with a state from which nothing leads to another one: something that should have happened never will. */
  checkEnd(state: State): Violation | undefined;
  /** Names what a state shows, so that a search that never got anywhere interesting is noticed. */
  marks(state: State): readonly string[];
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
}

export function search<State>(world: World<State>, options: SearchOptions): SearchResult {
  const known = new Map<string, number>();
  const parents: number[] = [];
  const labels: string[] = [];
  const marks = new Map<string, number>();
  let frontier: { readonly number: number; readonly state: State }[] = [];
  let moves = 0;
  let ends = 0;
  let depth = 0;

  const traceTo = (number: number): string[] => {
    const trace: string[] = [];
    for (let at = number; at > 0; at = parents[at] ?? 0) trace.push(labels[at] ?? "");
    return trace.reverse();
  };
  const add = (state: State, parent: number, label: string): number | undefined => {
    const key = world.key(state);
    if (known.has(key)) return undefined;
    const number = known.size;
    known.set(key, number);
    parents.push(parent);
    labels.push(label);
    for (const mark of world.marks(state)) marks.set(mark, (marks.get(mark) ?? 0) + 1);
    return number;
  };
  const result = (exhausted: boolean, violation?: SearchResult["violation"]): SearchResult => ({
    ...{ world: world.name, states: known.size, moves, depth, exhausted, ends, marks },
    violation,
  });

  const first = world.initial();
  if (first instanceof Violation) return result(false, { message: `before the search begins: ${first.message}`, trace: [] });
  add(first, 0, "");
  const broken = world.check(first);
  if (broken !== undefined) return result(false, { message: broken.message, trace: [] });
  frontier.push({ number: 0, state: first });
  while (frontier.length > 0) {
    if (depth >= options.depthMax) return result(false);
    const next: typeof frontier = [];
    for (const { number, state } of frontier) {
      let progress = false;
      for (const { label, take } of world.moves(state)) {
        moves++;
        const after = take();
        if (after instanceof Violation) return result(false, { message: after.message, trace: [...traceTo(number), label] });
        const added = add(after, number, label);
        if (added === undefined) {
          progress ||= world.key(after) !== world.key(state);
          continue;
        }
        progress = true;
        const wrong = world.check(after);
        if (wrong !== undefined) return result(false, { message: wrong.message, trace: traceTo(added) });
        if (known.size > options.statesMax) return result(false);
        next.push({ number: added, state: after });
      }
      if (progress) continue;
      ends++;
      const stuck = world.checkEnd(state);
      if (stuck !== undefined) return result(false, { message: stuck.message, trace: traceTo(number) });
    }
    depth++;
    options.onDepth?.(depth, known.size, next.length);
    frontier = next;
  }
  return result(true);
}
