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
  "I1-atomicity": ["a transaction takes effect in all its banks or in none", "decided transactions"],
  "I2-decision": ["one decision for each transaction, the same in every answer, in an order that respects real time", "transactions"],
  "I3-acknowledged": ["what a client was told is what the log holds, and what failed has no effect", "answers"],
  "I4-phantom": ["nothing takes effect that was not decided", "ledger rows"],
  "I5-in-doubt": ["no branch stays in doubt long while a majority is connected", "branches in doubt"],
  "I6-duplicate": ["every effect happens once", "ledger rows"],
  "I9-conservation": ["money is neither made nor lost", "banks"],
  "I10-orphan": ["nothing is left prepared at the end", "banks"],
  "I11-lock": ["nothing is left locked at the end", "banks"],
  "I12-replicas": ["nodes at the same entry have the same state", "pairs of nodes"],
  "I13-monotonic": ["a decision that was told is never taken back", "answers"],
  "L1-recovery": ["a cluster whose majority is up and connected has a leader and serves", "recoveries"],
} as const;

export type InvariantName = keyof typeof PROMISES;

export function tally(
  checked: Readonly<Partial<Record<InvariantName, number>>>,
  violations: readonly Violation[],
): readonly InvariantResult[] {
  const count = (name: string): number => violations.filter(({ invariant }) => invariant === name).length;
  const known = Object.entries(PROMISES).map(([invariant, [promise, unit]]) => ({
    invariant,
    promise,
    unit,
    checked: checked[invariant as InvariantName] ?? 0,
    violations: count(invariant),
  }));
  const others = [...new Set(violations.map(({ invariant }) => invariant))].filter((name) => !Object.hasOwn(PROMISES, name));
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
