/**
 * The shape of one row of the settings table, and what a row's values are in TypeScript.
 */

/** Which options object a row ends up in; also the heading in docs/config.md. */
export type Room = "node" | "consensus" | "transactions" | "replica" | "storage" | "transport" | "server";

export type Unit = "ms" | "bytes" | "bytes/s" | "entries" | "count";

export interface IntegerRow {
  readonly type: "integer";
  readonly room: Room;
  readonly unit: Unit;
  readonly default: number;
  readonly min: number;
  readonly max: number;
  /** What the simulator draws from, both ends included: wide enough that nothing depends on the default. Undefined: it has no effect there. */
  readonly simulation: readonly [number, number] | undefined;
  /** Why this default and these bounds. */
  readonly reason: string;
}

export interface BooleanRow {
  readonly type: "boolean";
  readonly room: Room;
  readonly default: boolean;
  readonly reason: string;
}

export interface ChoiceRow {
  readonly type: "choice";
  readonly room: Room;
  readonly choices: readonly string[];
  readonly default: string;
  readonly reason: string;
}

/** `default: undefined` means: derived from other settings, or required; the reason says which. */
export interface TextRow {
  readonly type: "text";
  readonly room: Room;
  readonly default: string | undefined;
  /** For people: the form of the value. */
  readonly form: string;
  readonly pattern: RegExp;
  readonly reason: string;
}

export type Row = IntegerRow | BooleanRow | ChoiceRow | TextRow;

export type ValueOf<R> = R extends { readonly type: "integer" }
  ? number
  : R extends { readonly type: "boolean" }
    ? boolean
    : R extends { readonly type: "choice"; readonly choices: readonly (infer C)[] }
      ? C
      : R extends { readonly type: "text"; readonly default: string }
        ? string
        : string | undefined;

/** An integer that a program tunes; the word is kept for rows with bounds. */
export function integer(
  room: Room,
  unit: Unit,
  value: number,
  bounds: readonly [number, number],
  simulation: readonly [number, number] | undefined,
  reason: string,
): IntegerRow {
  return { type: "integer", room, unit, default: value, min: bounds[0], max: bounds[1], simulation, reason };
}
