/**
 * A text of everything an object graph holds, the same for graphs that behave the same.
 *
 * Decides when two states of a real room are one state. It follows every property, array, map and set in its own order, and names an
 * object that was met before by the order of meeting, so shared references and cycles are told apart from copies. What it cannot
 * see would make the search unsound, so it is an error: a function or an object of an unknown kind must be declared by the
 * caller, who says what it stands for. Private fields are invisible to any walk: the explorer runs an opened copy of the sources
 * (scripts/opened.mjs), in which they are ordinary properties.
 */

/** Objects and functions that are not walked, and what they stand for. */
export type Declared = ReadonlyMap<object, string>;

export function heapText(root: unknown, declared: Declared = NOTHING_DECLARED): string {
  const walk = new Walk(declared);
  walk.value(root);
  return walk.out.join("");
}

const NOTHING_DECLARED: Declared = new Map();

class Walk {
  readonly out: string[] = [];
  readonly declared: Declared;
  readonly seen = new Map<object, number>();

  constructor(declared: Declared) {
    this.declared = declared;
  }

  value(value: unknown): void {
    if (typeof value === "string") this.out.push(JSON.stringify(value));
    else if (typeof value === "number") this.out.push(Object.is(value, -0) ? "-0" : String(value));
    else if (typeof value === "boolean" || value === undefined || value === null) this.out.push(String(value));
    else if (typeof value === "object" || typeof value === "function") this.#object(value);
    else throw new Error(`a ${typeof value} in the state: heapText does not know what it would mean`);
  }

  #object(value: object): void {
    const declared = this.declared.get(value);
    if (declared !== undefined) {
      this.out.push("<", declared, ">");
      return;
    }
    if (typeof value === "function") throw new Error(`the state holds the function "${value.name}", which is not declared`);
    const before = this.seen.get(value);
    if (before !== undefined) {
      this.out.push("^", String(before));
      return;
    }
    this.seen.set(value, this.seen.size);
    if (Array.isArray(value)) this.#list(value as readonly unknown[]);
    else if (value instanceof Map) this.#entries("Map", value as ReadonlyMap<unknown, unknown>);
    else if (value instanceof Set) this.#entries("Set", value as ReadonlySet<unknown>);
    else if (value instanceof Uint8Array) this.out.push("0x", Array.from(value, (byte) => byte.toString(16).padStart(2, "0")).join(""));
    else this.#fields(value);
  }

  /** Empty places are skipped and counted: the timer wheel has a thousand of them. */
  #list(list: readonly unknown[]): void {
    this.out.push("[", String(list.length));
    for (let i = 0; i < list.length; i++) {
      const item = list[i];
      if (item === undefined) continue;
      this.out.push(",", String(i), ":");
      this.value(item);
    }
    this.out.push("]");
  }

  #entries(name: string, entries: ReadonlyMap<unknown, unknown> | ReadonlySet<unknown>): void {
    this.out.push(name, "{");
    for (const [key, item] of entries.entries()) {
      this.value(key);
      this.out.push("=");
      this.value(item);
      this.out.push(",");
    }
    this.out.push("}");
  }

  #fields(value: object): void {
    const prototype = Object.getPrototypeOf(value) as { readonly constructor?: { readonly name: string } } | null;
    const name = prototype === null || prototype === Object.prototype ? "" : (prototype.constructor?.name ?? "");
    const keys = Object.keys(value);
    // Private fields, an iterator, a weak map, a date: something is held that no walk can see.
    if (prototype !== null && prototype !== Object.prototype && keys.length === 0) {
      throw new Error(`the state holds a ${name} that shows nothing of what it holds`);
    }
    this.out.push(name, "{");
    for (const key of keys) {
      this.out.push(key, "=");
      this.value((value as Record<string, unknown>)[key]);
      this.out.push(",");
    }
    this.out.push("}");
  }
}
