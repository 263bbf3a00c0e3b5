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
  const walk = new Walk(declared, undefined);
  walk.value(root);
  return walk.out.join("");
}

/** What a loose text takes no notice of. */
export interface Looseness {
  /** Properties that are left out. */
  readonly omitted: ReadonlySet<string>;
  /** Properties whose map or set keeps its order. */
  readonly ordered: ReadonlySet<string>;
}

/**
 * A text that leaves out what is not expected to matter: the order of maps and sets, whether two places hold the same object or equal
 * ones, and the properties named. Whoever takes equal loose texts for equal states has to show that nothing depends on these.
 */
export function looseText(root: unknown, declared: Declared, loose: Looseness): string {
  const walk = new Walk(declared, loose);
  walk.value(root);
  return walk.out.join("");
}

const NOTHING_DECLARED: Declared = new Map();

class Walk {
  readonly out: string[] = [];
  readonly declared: Declared;
  /** undefined: the walk is strict. */
  readonly loose: Looseness | undefined;
  /** The order of meeting; in a loose walk, of the objects that are being walked. */
  readonly seen = new Map<object, number>();

  constructor(declared: Declared, loose: Looseness | undefined) {
    this.declared = declared;
    this.loose = loose;
  }

  value(value: unknown, ordered = this.loose === undefined): void {
    if (typeof value === "string") this.out.push(JSON.stringify(value));
    else if (typeof value === "number") this.out.push(Object.is(value, -0) ? "-0" : String(value));
    else if (typeof value === "boolean" || value === undefined || value === null) this.out.push(String(value));
    else if (typeof value === "object" || typeof value === "function") this.#object(value, ordered);
    else throw new Error(`a ${typeof value} in the state: heapText does not know what it would mean`);
  }

  #object(value: object, ordered: boolean): void {
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
    else if (value instanceof Map) this.#entries("Map", [...(value as ReadonlyMap<unknown, unknown>)], ordered);
    else if (value instanceof Set)
      this.#entries(
        "Set",
        [...(value as ReadonlySet<unknown>)].map((item) => [item, true] as const),
        ordered,
      );
    else if (value instanceof Uint8Array) this.out.push("0x", Array.from(value, (byte) => byte.toString(16).padStart(2, "0")).join(""));
    else this.#fields(value);
    if (this.loose !== undefined) this.seen.delete(value);
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

  #entries(name: string, entries: readonly (readonly [unknown, unknown])[], ordered: boolean): void {
    const texts = entries.map(([key, item]) => this.#entry(key, item));
    this.out.push(name, "{", ...(ordered ? texts : texts.sort()), "}");
  }

  /** Written apart, so that entries can be sorted. */
  #entry(key: unknown, item: unknown): string {
    const start = this.out.length;
    this.value(key);
    this.out.push("=");
    this.value(item);
    this.out.push(",");
    return this.out.splice(start).join("");
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
      if (this.loose?.omitted.has(key) === true) continue;
      this.out.push(key, "=");
      this.value((value as Record<string, unknown>)[key], this.loose?.ordered.has(key) ?? true);
      this.out.push(",");
    }
    this.out.push("}");
  }
}
