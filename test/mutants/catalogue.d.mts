export interface Edit {
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

export interface Mutant {
  readonly id: string;
  readonly rule: string;
  /** Planted in the simulator's own participants or disks. */
  readonly model?: boolean;
  /** Why random simulation cannot notice it; it is looked for only shortly there. */
  readonly unseen?: string;
  /** Test files or folders that try to notice it; default: those of the rooms it is planted in. */
  readonly tests?: readonly string[];
  readonly edits: readonly Edit[];
}

export const MUTANTS: readonly Mutant[];
export const CONTROLS: readonly Mutant[];
