/**
 * A real room as an automaton: its states are numbered, a step from a numbered state is made once and remembered.
 *
 * The objects of a room cannot be copied, so a state is kept as the inputs that first led to it, and a step replays them on a new
 * object. Two states get one number only when everything they hold is equal (heap.ts), so that they have the same futures.
 */
import { must } from "../base/index.js";

/** One life of the real thing. Made again for each replay. */
export interface Subject<Input, Output> {
  /** A function of the inputs so far. Throws what the room throws: a broken invariant is a violation. */
  step(input: Input): Output;
  /** Everything that may matter later. */
  text(): string;
}

interface Known<Input> {
  readonly parent: number;
  readonly input: Input | undefined;
  readonly depth: number;
}

/** What a step did: to which state it led and what came out, or what was thrown. */
export type Step<Output> =
  { readonly kind: "to"; readonly state: number; readonly output: Output } | { readonly kind: "threw"; readonly message: string };

export class Automaton<Input, Output> {
  readonly #create: () => Subject<Input, Output>;
  readonly #numbers = new Map<string, number>();
  readonly #states: Known<Input>[] = [];
  readonly #steps = new Map<string, Step<Output>>();

  constructor(create: () => Subject<Input, Output>) {
    this.#create = create;
    this.#intern(create().text(), { parent: -1, input: undefined, depth: 0 });
  }

  /** The number of the state before any input. */
  get initial(): number {
    return 0;
  }

  get size(): number {
    return this.#states.length;
  }

  /** `name` names the input: equal names, equal inputs. */
  step(state: number, name: string, input: Input): Step<Output> {
    const key = `${state} ${name}`;
    let step = this.#steps.get(key);
    if (step === undefined) {
      step = this.#make(state, input);
      this.#steps.set(key, step);
    }
    return step;
  }

  /** The inputs that first led here. */
  inputs(state: number): readonly Input[] {
    const inputs: Input[] = [];
    for (let at = this.#known(state); at.input !== undefined; at = this.#known(at.parent)) inputs.push(at.input);
    return inputs.reverse();
  }

  #make(state: number, input: Input): Step<Output> {
    const subject = this.#create();
    for (const earlier of this.inputs(state)) subject.step(earlier);
    let output: Output;
    try {
      output = subject.step(input);
    } catch (error) {
      return { kind: "threw", message: error instanceof Error ? error.message : String(error) };
    }
    const to = this.#intern(subject.text(), { parent: state, input, depth: this.#known(state).depth + 1 });
    return { kind: "to", state: to, output };
  }

  #intern(text: string, known: Known<Input>): number {
    const number = this.#numbers.get(text);
    if (number !== undefined) return number;
    this.#numbers.set(text, this.#states.length);
    this.#states.push(known);
    return this.#states.length - 1;
  }

  #known(state: number): Known<Input> {
    return must(this.#states[state], "numbered state");
  }
}
