import type { Edit } from "./catalogue.mjs";

export interface RealMutant {
  readonly id: string;
  readonly rule: string;
  readonly composition: string;
  readonly workload: string;
  readonly workers?: number;
  /** Invariants that it may break: any of them is a find. */
  readonly breaks: readonly string[];
  /** Absent: those of the catalogue's mutant with this id. */
  readonly edits?: readonly Edit[];
}

export const REAL_MUTANTS: readonly RealMutant[];
