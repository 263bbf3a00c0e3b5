/**
 * What a phase is called to a participant and to people: a branch of kind `tcc` is tried, confirmed and cancelled.
 */
import type { BranchKind } from "../txn/index.js";
import type { BranchPhase } from "./api.js";

export type PhaseName = BranchPhase | "try" | "confirm" | "cancel";

const TCC_NAMES: Readonly<Record<BranchPhase, PhaseName>> = {
  prepare: "try",
  commit: "confirm",
  rollback: "cancel",
  "one-phase": "one-phase",
};

export function phaseName(kind: BranchKind, phase: BranchPhase): PhaseName {
  return kind === "tcc" ? TCC_NAMES[phase] : phase;
}
