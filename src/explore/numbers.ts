/**
 * Numbers for values, so that states can be compared by short texts.
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
