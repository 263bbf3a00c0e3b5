/**
 * The invariants a run is judged by, and how often each was put to the test.
 */
import type { Violation } from "../../src/check/index.js";

export interface InvariantResult {
  /** As in Violation. */
  readonly invariant: string;
  readonly promise: string;
  /** What was held against it: transactions, answers, rows, branches, nodes. 0: this run says nothing about it. */
  readonly checked: number;
  readonly unit: string;
  readonly violations: number;
}

const PROMISES = {
  "I1-atomicity": ["a transaction takes effect in all its branches or in none, and nowhere against its decision", "decided transactions"],
  "I2-decision": ["one decision for each transaction, the same in every answer, in an order that respects real time", "transactions"],
  "I3-acknowledged": ["what a client was told is what the log holds, and what failed has no effect", "answers"],
  "I4-phantom": ["nothing takes effect that was not decided", "ledger rows"],
  "I4-branches": ["no branch that a client sent is lost, none appears that nobody sent", "transactions"],
  "I5-in-doubt": ["no branch stays in doubt long while a majority is connected", "branches in doubt"],
  "I6-duplicate": ["every effect happens once, however often its call arrives", "ledger rows and repeated calls"],
  "I7-confirm": ["what was tried is confirmed once where the log commits it, and nowhere else", "confirmed branches"],
  "I8-reserve": ["nothing is left reserved at the end", "participants that reserve"],
  "I9-conservation": ["money is neither made nor lost, and no account is overdrawn", "participants"],
  "I10-orphan": ["nothing is left prepared or open at the end", "places: participants, the cluster"],
  "I11-lock": ["nothing is left locked at the end: every account can be written", "places: participants, all their accounts together"],
  "I12-replicas": ["nodes at the same entry have the same state, during the run and at its end", "pairs of digests"],
  "I13-monotonic": ["a decision that was told is never taken back, whichever node is asked", "answers"],
  "I14-bounded": ["memory and logs do not grow for ever", "nodes watched for 5 minutes or more"],
  "L1-recovery": ["a cluster whose majority is up and connected has a leader and serves", "recoveries"],
  append: ["transactions over lists are strictly serializable", "transactions"],
  linearizability: ["every register is linearizable", "register operations"],
} as const;

export type InvariantName = keyof typeof PROMISES;

/** "append-G1c" and its like are findings of one checker. */
function promiseOf(invariant: string): string {
  return invariant.startsWith("append-") ? "append" : invariant;
}

export function tally(
  checked: Readonly<Partial<Record<InvariantName, number>>>,
  violations: readonly Violation[],
): readonly InvariantResult[] {
  const count = (name: string): number => violations.filter(({ invariant }) => promiseOf(invariant) === name).length;
  const known = Object.entries(PROMISES).map(([invariant, [promise, unit]]) => ({
    invariant,
    promise,
    unit,
    checked: checked[invariant as InvariantName] ?? 0,
    violations: count(invariant),
  }));
  const others = [...new Set(violations.map(({ invariant }) => promiseOf(invariant)))].filter((name) => !Object.hasOwn(PROMISES, name));
  return [
    ...known,
    ...others.map((invariant) => ({
      invariant,
      promise: invariant,
      unit: "findings",
      checked: count(invariant),
      violations: count(invariant),
    })),
  ];
}
