/**
 * A prepared branch as a database lists it, whoever it belongs to: for looking at a database from outside of any participant.
 */
import type { BranchRef } from "./contract.js";

export interface PreparedBranch {
  /** The database's own name for it, for people. */
  readonly id: string;
  /** How long it has been prepared, ms; undefined: the database does not tell. */
  readonly ageMs: number | undefined;
  /** Undefined: it is not of Quorate's making. */
  readonly owner:
    | {
        /** The cluster's tag, see `clusterTag`. */
        readonly tag: string;
        readonly participant: string;
        readonly ref: BranchRef;
      }
    | undefined;
}
