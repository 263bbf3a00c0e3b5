import type { Mutant } from "./catalogue.mjs";
import type { Hunt } from "./results.mjs";

export const SEARCHED_MIN: number;
interface Row {
  readonly mutant: Mutant;
  readonly hunts?: readonly Hunt[] | undefined;
  readonly explored?: { readonly found?: object } | undefined;
  readonly tested?: { readonly ran: number; readonly failed: readonly { readonly file: string; readonly test: string }[] } | undefined;
}
interface Failure {
  readonly seed: number;
  readonly invariant: string;
  readonly message: string;
}
export function judge(
  rows: readonly Partial<Row>[],
  facts: {
    readonly seedsMax: number;
    readonly baseline: readonly { readonly start: number; readonly failures: readonly Failure[]; readonly vacuity: readonly string[] }[];
    readonly controls: readonly { readonly mutant: Mutant; readonly found?: Failure }[];
    readonly worlds: readonly { readonly found?: { readonly world: string; readonly message: string } }[];
    readonly tests: { readonly ran: number; readonly failed: readonly { readonly file: string; readonly test: string }[] };
  },
): { readonly problems: readonly string[]; readonly searched: readonly unknown[]; readonly judged: readonly unknown[] };
