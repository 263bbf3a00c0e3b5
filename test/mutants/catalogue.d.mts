export interface Edit {
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

export interface Mutant {
  readonly id: string;
  readonly rule: string;
  readonly edits: readonly Edit[];
}

export const MUTANTS: readonly Mutant[];
export const CONTROLS: readonly Mutant[];
