/**
 * Numbers for values, so that a state of a world is a short row of whole numbers and two states are compared number by number.
 */
import { must } from "../base/index.js";

export class Numbers<T> {
  readonly #numbers = new Map<string, number>();
  readonly #values: T[] = [];

  /** `text` names the value: equal texts, equal values. */
  of(value: T, text: string): number {
    let number = this.#numbers.get(text);
    if (number === undefined) {
      number = this.#values.length;
      this.#numbers.set(text, number);
      this.#values.push(value);
    }
    return number;
  }

  at(number: number): T {
    return must(this.#values[number], "numbered value");
  }
}

/** Numbered queues of numbers. Number 0 is the empty one; what pushing and shifting lead to is remembered. */
export class Queues {
  readonly #lists = new Numbers<readonly number[]>();
  readonly #shifted: (number | undefined)[] = [];
  readonly #pushed: Map<number, number>[] = [];

  constructor() {
    this.of([]);
  }

  of(list: readonly number[]): number {
    return this.#lists.of(list, list.join(" "));
  }

  at(queue: number): readonly number[] {
    return this.#lists.at(queue);
  }

  push(queue: number, item: number): number {
    const known = (this.#pushed[queue] ??= new Map());
    let after = known.get(item);
    if (after === undefined) known.set(item, (after = this.of([...this.at(queue), item])));
    return after;
  }

  /** The queue without its first item. */
  shift(queue: number): number {
    return (this.#shifted[queue] ??= this.of(this.at(queue).slice(1)));
  }
}
