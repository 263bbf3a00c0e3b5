/**
 * A real room as an automaton: its states are numbered, a step from a numbered state is made once and remembered.
 *
 * The objects of a room cannot be copied, so a state is kept as the inputs that first led to it, and a step replays them on a new
 * object. Two states get one number only when they have the same futures. That is certain when everything they hold is equal
 * (`text`). They also get one number when only their loose texts are equal (heap.ts: up to the order of maps, say), and then it is
 * shown, not believed: every variant of a numbered state is kept, every step that is asked for is made from all of them, and
 * all must give the same output and lead to states of one number again; otherwise the search ends with an error. So the numbered states
 * are a bisimulation quotient of the exact ones, for all inputs that ever occur.
 */
import { must } from "../base/index.js";
import { heapText } from "./heap.js";

/** One life of the real thing. Made again for each replay. */
export interface Subject<Input, Output, View> {
  /** A function of the inputs so far. Throws what the room throws: a broken invariant is a violation. */
  step(input: Input): Output;
  /** Everything that may matter later. */
  text(): string;
  /** What is expected to matter later: a function of what the text holds. */
  looseText(): string;
  /** What the world may look at: a function of what the loose text holds. */
  view(): View;
}

/** An exact state, by the inputs that first led to it. */
interface Variant<Input> {
  readonly state: number;
  readonly parent: Variant<Input> | undefined;
  readonly input: Input | undefined;
}

interface Known<Input, Output, View> {
  readonly view: View;
  readonly variants: Variant<Input>[];
  readonly steps: Map<number, { readonly input: Input; readonly step: Step<Output> }>;
}

/** What a step did: to which state it led and what came out, or what was thrown. */
export type Step<Output> =
  { readonly kind: "to"; readonly state: number; readonly output: Output } | { readonly kind: "threw"; readonly message: string };

export class Automaton<Input, Output, View> {
  readonly #create: () => Subject<Input, Output, View>;
  readonly #numbers = new Map<string, number>();
  readonly #states: Known<Input, Output, View>[] = [];
  /** Every exact state met, by its text. */
  readonly #exact = new Set<string>();

  constructor(create: () => Subject<Input, Output, View>) {
    this.#create = create;
    this.#intern(create(), undefined, undefined);
  }

  /** The number of the state before any input. */
  get initial(): number {
    return 0;
  }

  get size(): number {
    return this.#states.length;
  }

  /** `name` numbers the input: equal numbers, equal inputs. The input itself is asked for only when the step is a new one. */
  step(state: number, name: number, input: () => Input): Step<Output> {
    const { steps } = this.#known(state);
    return steps.get(name)?.step ?? this.#first(state, name, input());
  }

  view(state: number): View {
    return this.#known(state).view;
  }

  #first(state: number, name: number, input: Input): Step<Output> {
    const { steps, variants } = this.#known(state);
    const step = this.#make(must(variants[0], "variant"), input);
    steps.set(name, { input, step });
    // More may be found on the way: those verify themselves.
    for (const variant of variants.slice(1)) this.#verify(variant, input, step);
    return step;
  }

  #make(from: Variant<Input>, input: Input): Step<Output> {
    const subject = this.#create();
    for (const earlier of inputsOf(from)) subject.step(earlier);
    let output: Output;
    try {
      output = subject.step(input);
    } catch (error) {
      return { kind: "threw", message: error instanceof Error ? error.message : String(error) };
    }
    return { kind: "to", state: this.#intern(subject, from, input), output };
  }

  #verify(variant: Variant<Input>, input: Input, expected: Step<Output>): void {
    const step = this.#make(variant, input);
    if (heapText(step) === heapText(expected)) return;
    throw new Error(
      `two states were taken for one and are not: after ${heapText(inputsOf(variant))} and ${heapText(input)} comes ${heapText(step)} here, ${heapText(expected)} there`,
    );
  }

  #intern(subject: Subject<Input, Output, View>, parent: Variant<Input> | undefined, input: Input | undefined): number {
    const loose = subject.looseText();
    let state = this.#numbers.get(loose);
    if (state === undefined) {
      state = this.#states.length;
      this.#numbers.set(loose, state);
      this.#states.push({ view: subject.view(), variants: [], steps: new Map() });
    }
    const exact = subject.text();
    if (this.#exact.has(exact)) return state;
    this.#exact.add(exact);
    const variant: Variant<Input> = { state, parent, input };
    const known = this.#known(state);
    known.variants.push(variant);
    for (const each of [...known.steps.values()]) this.#verify(variant, each.input, each.step);
    return state;
  }

  #known(state: number): Known<Input, Output, View> {
    return must(this.#states[state], "numbered state");
  }
}

function inputsOf<Input>(variant: Variant<Input>): readonly Input[] {
  const inputs: Input[] = [];
  for (let at = variant; at.parent !== undefined; at = at.parent) inputs.push(must(at.input, "input of a later state"));
  return inputs.reverse();
}
