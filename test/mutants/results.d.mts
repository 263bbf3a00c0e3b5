export interface Hunt {
  readonly tried: number;
  readonly found?: { readonly seed: number; readonly invariant: string; readonly message: string } | undefined;
}
export interface Piece extends Hunt {
  readonly seconds: number;
  readonly decisions: number;
  readonly commits: number;
  readonly leaderChanges: number;
  readonly resolvedByInquiry: number;
  readonly failures: readonly { readonly seed: number; readonly invariant: string; readonly message: string }[];
}

export class Results {
  constructor(folder?: string);
  get(...name: readonly (string | number)[]): unknown;
  set<T>(value: T, ...name: readonly (string | number)[]): T;
}
export function added(before: Piece | undefined, piece: Piece): Piece;
export function median(values: readonly number[]): number;
export function seedsToDetection(hunts: readonly Hunt[], max: number): { readonly seeds: readonly number[]; readonly median: number };
