/**
 * What a barrier is, whatever it is kept in. docs/participants.md, "Barrier", has the rules and why they are enough.
 *
 * A barrier stands in front of the handlers of a branch (try, confirm, cancel). It runs a handler's function at most once, together
 * with the mark that says so, and never in an order that the decision contradicts.
 */
import { gidProblem, nameProblem, QuorateError } from "../base/index.js";

/** `prepare`, `commit` and `rollback` are other words for try, confirm and cancel. `once`: a single step that stands alone. */
export const BARRIER_PHASES = ["try", "confirm", "cancel", "prepare", "commit", "rollback", "once"] as const;
export type BarrierPhase = (typeof BARRIER_PHASES)[number];

/** One call of a branch's handler, as the coordinator's headers or message carry it. */
export interface BarrierCall {
  readonly gid: string;
  /** The branch's id inside its transaction. */
  readonly branch: string;
  readonly phase: BarrierPhase;
  /** The leader's epoch: a whole number. */
  readonly epoch: number;
  /** The cluster's id: a-z, 0-9 and "-", up to 40 characters. */
  readonly cluster: string;
  /** The participant's name. */
  readonly participant: string;
}

/** Whose rows: those of one participant in one cluster. */
export type BarrierScope = Pick<BarrierCall, "cluster" | "participant">;

/**
 * `done`: the function ran, and its work is durable together with the mark (`value`: what it returned), or there was nothing to
 * cancel and that is remembered. `duplicate`: done before; nothing ran. `refused`: it is not done and never will be.
 */
export type BarrierResult<Value = unknown> =
  | { readonly kind: "done"; readonly value?: Value }
  | { readonly kind: "duplicate" }
  | { readonly kind: "refused"; readonly detail: string };

/**
 * What whoever serves handlers needs to know of a barrier. `Handle`: what the function works with; `Work`: what it returns;
 * `Value`: what `done` carries.
 *
 * A rejection is the function's own error, unchanged, with nothing kept of its work; or a QuorateError: QUORATE_HAZARD when the call
 * contradicts what was done (a BarrierHazard: for people, never repeated), otherwise `retry: "safe"` when it could not be told what
 * became of the call: the same call again finds out. Serialization failures and deadlocks of a database come unchanged too, for
 * whoever repeats transactions.
 */
export interface Barrier<Handle = unknown, Work = unknown, Value = unknown> {
  call(call: BarrierCall, fn: (handle: Handle) => Promise<Work> | Work): Promise<BarrierResult<Value>>;
}

/** The branch cannot follow the decision: it was settled against it, or what was promised is not here. Repeating changes nothing. */
export class BarrierHazard extends QuorateError {
  /**
   * What is in force here: `committed` or `rolled-back` against the decision; `hazard`: the try that should be here is not; `mixed`:
   * only a part of a function's work is (Redis, which does not roll back).
   */
  readonly heuristic: "committed" | "rolled-back" | "hazard" | "mixed";

  constructor(call: BarrierCall, heuristic: BarrierHazard["heuristic"], what: string) {
    super("QUORATE_HAZARD", `branch "${call.branch}" of ${call.gid} at participant "${call.participant}": ${what}`, {
      gid: call.gid,
      retry: "never",
    });
    this.heuristic = heuristic;
  }
}

/** The result of a call that could not be carried out or learned: the same call is to be made again. */
export function couldNotTell(call: BarrierCall, what: string, cause?: unknown): QuorateError {
  return new QuorateError("QUORATE_PARTICIPANT", `branch "${call.branch}" of ${call.gid} at participant "${call.participant}": ${what}`, {
    gid: call.gid,
    retry: "safe",
    cause,
  });
}

const CLUSTER_PATTERN = /^[a-z][a-z0-9-]{0,39}$/;
/** Gids of the far future are refused by the cluster; this only keeps numbers inside what every store can hold exactly. */
const EPOCH_MAX = Number.MAX_SAFE_INTEGER;

/** Throws QUORATE_INVALID_ARGUMENT naming the field and what it must be: these texts end up in SQL, keys and scripts as they are. */
export function checkCall(call: BarrierCall): void {
  const problem =
    gidProblem(String(call.gid)) ??
    nameProblem("branch", String(call.branch)) ??
    (BARRIER_PHASES.includes(call.phase) ? undefined : `phase ${JSON.stringify(call.phase)} must be one of ${BARRIER_PHASES.join(", ")}`) ??
    (Number.isSafeInteger(call.epoch) && call.epoch >= 0 && call.epoch <= EPOCH_MAX
      ? undefined
      : `epoch ${String(call.epoch)} must be a whole number, the leader's epoch as the call carries it`);
  if (problem !== undefined) throw new QuorateError("QUORATE_INVALID_ARGUMENT", `barrier call: ${problem}`);
  checkScope(call);
}

export function checkScope(scope: BarrierScope): void {
  const problem = CLUSTER_PATTERN.test(scope.cluster)
    ? nameProblem("participant", String(scope.participant))
    : `cluster ${JSON.stringify(scope.cluster)} must be the cluster's id: a-z, 0-9 and "-", beginning with a letter, up to 40 characters`;
  if (problem !== undefined) throw new QuorateError("QUORATE_INVALID_ARGUMENT", `barrier call: ${problem}`);
}

export function checkFloor(floorMs: number): void {
  if (!Number.isSafeInteger(floorMs) || floorMs < 0 || floorMs >= 2 ** 48)
    throw new QuorateError("QUORATE_INVALID_ARGUMENT", `floorMs must be milliseconds since 1970, got ${floorMs}`);
}
