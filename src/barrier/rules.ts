/**
 * The rules, apart from any store: what the marks of a branch say about a call.
 *
 * A branch has at most one mark in each of three slots:
 *   start   `try` (the reserve was done) or `cancel` (a cancel came first, so a try never will be)
 *   end     `confirm` or `cancel`, of a branch whose start is `try`
 *   once    `once`
 * A mark never changes. Whoever writes it first has decided, whatever else was on its way.
 *
 * Stores with a lock around reading and writing ask `decide` before they write. SQL writes first, so that the unique key decides
 * between two connections, and asks `decide` only what to answer when the slot was taken.
 */
import { unreachable } from "../base/index.js";
import { BarrierHazard, type BarrierCall, type BarrierPhase, type BarrierResult } from "./contract.js";

export type Slot = "start" | "end" | "once";
export type Step = "try" | "confirm" | "cancel" | "once";

/** The marks of one branch. */
export interface Marks {
  readonly start?: Step | undefined;
  readonly end?: Step | undefined;
  readonly once?: Step | undefined;
}

/** `run`: call the function and write the mark with its work. `mark`: write the mark, nothing else. */
export type Decision =
  | { readonly kind: "run"; readonly slot: Slot }
  | { readonly kind: "mark"; readonly slot: Slot }
  | { readonly kind: "answer"; readonly result: Extract<BarrierResult, { kind: "duplicate" | "refused" }> };

const DUPLICATE: Decision = { kind: "answer", result: { kind: "duplicate" } };
export const LATE_TRY = "the branch was cancelled before, so this try comes too late and is refused for good";
export const EXPIRED = "expired: the gid is below the floor of this participant, so the cluster has forgotten its transaction";

export function stepOf(phase: BarrierPhase): Step {
  switch (phase) {
    case "try":
    case "prepare":
      return "try";
    case "confirm":
    case "commit":
      return "confirm";
    case "cancel":
    case "rollback":
      return "cancel";
    case "once":
      return "once";
    default:
      return unreachable(phase);
  }
}

/** New work is fenced by the epoch and refused below the floor; a decision never is. */
export function isNewWork(step: Step): boolean {
  return step === "try" || step === "once";
}

/**
 * What is to be done with a call, given the branch's marks. Throws BarrierHazard when the call contradicts them. `below`: the gid is
 * below the floor, where a missing mark means that it was dropped.
 */
export function decide(call: BarrierCall, marks: Marks, below: boolean): Decision {
  const step = stepOf(call.phase);
  switch (step) {
    case "once":
      return marks.once === undefined ? { kind: "run", slot: "once" } : DUPLICATE;
    case "try":
      if (marks.start === "cancel" || marks.end === "cancel") return { kind: "answer", result: { kind: "refused", detail: LATE_TRY } };
      return marks.start === undefined ? { kind: "run", slot: "start" } : DUPLICATE;
    case "confirm":
      if (marks.end === "confirm") return DUPLICATE;
      if (marks.start === "cancel" || marks.end === "cancel") throw cancelledBefore(call);
      if (marks.start === "try") return { kind: "run", slot: "end" };
      if (below) return DUPLICATE;
      throw neverTried(call);
    case "cancel":
      if (marks.end === "confirm") throw confirmedBefore(call);
      if (marks.end === "cancel" || marks.start === "cancel") return DUPLICATE;
      return marks.start === "try" ? { kind: "run", slot: "end" } : { kind: "mark", slot: "start" };
    default:
      return unreachable(step);
  }
}

function cancelledBefore(call: BarrierCall): BarrierHazard {
  return new BarrierHazard(
    call,
    "rolled-back",
    "a confirm came after the branch was cancelled here; nothing was run. The cluster decided to commit, so what was reserved has to be made good by hand",
  );
}

function confirmedBefore(call: BarrierCall): BarrierHazard {
  return new BarrierHazard(
    call,
    "committed",
    "a cancel came after the branch was confirmed here; nothing was run. The cluster decided to abort, so what was confirmed has to be undone by hand",
  );
}

function neverTried(call: BarrierCall): BarrierHazard {
  return new BarrierHazard(
    call,
    "hazard",
    "a confirm came and there is no try here, so there is nothing to confirm and nothing was run. Either the try's yes was not kept in this " +
      "store (another database, a restored backup, a row deleted by hand), or the caller never tried; it has to be settled by hand",
  );
}
