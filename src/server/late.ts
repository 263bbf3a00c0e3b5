/**
 * A part that is made after the parts that refer to it. Reading it too early is a bug.
 */
import { must } from "../base/index.js";

export class Late<T> {
  readonly #name: string;
  #value: T | undefined;

  constructor(name: string) {
    this.#name = name;
  }

  set(value: T): T {
    this.#value = value;
    return value;
  }

  get(): T {
    return must(this.#value, this.#name);
  }
}
