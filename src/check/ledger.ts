/**
 * Atomicity, by the rows that branches leave behind: each committed branch writes one row inside its own resource's transaction.
 * Joined over all resources when nothing moves any more.
 */
import { operations, type HistoryEvent } from "./history.js";
import type { Violation } from "./violation.js";

/** What the replicated log decided. */
export interface DecidedFact {
  readonly gid: string;
  readonly decision: "commit" | "abort";
  readonly zxid: string;
  /** Commit: the branches that owe an effect, with their resource. */
  readonly yes: readonly { readonly branch: string; readonly participant: string }[];
  readonly reason: string | undefined;
}

export interface LedgerRow {
  readonly participant: string;
  readonly gid: string;
  readonly branch: string;
  /** How often the effect happened. */
  readonly effects: number;
}

/** I1, I4 and I6: the rows are exactly those of the yes votes of committed transactions, each once. */
export function checkLedger(decided: ReadonlyMap<string, DecidedFact>, rows: readonly LedgerRow[]): readonly Violation[] {
  const violations: Violation[] = [];
  const seen = new Map<string, LedgerRow>();
  for (const row of rows) {
    const name = `${row.gid}/${row.branch}@${row.participant}`;
    seen.set(name, row);
    const fact = decided.get(row.gid);
    if (row.effects !== 1) violations.push({ invariant: "I6-duplicate", message: `${name} took effect ${row.effects} times` });
    if (fact === undefined) violations.push({ invariant: "I4-phantom", message: `${name} took effect, but nothing was decided` });
    else if (fact.decision === "abort")
      violations.push({ invariant: "I1-atomicity", message: `${name} took effect, but ${fact.zxid} aborts it` });
    else if (!fact.yes.some(({ branch, participant }) => branch === row.branch && participant === row.participant))
      violations.push({ invariant: "I4-phantom", message: `${name} took effect, but ${fact.zxid} commits without a yes of it` });
  }
  for (const fact of decided.values()) {
    if (fact.decision !== "commit") continue;
    for (const { branch, participant } of fact.yes) {
      const name = `${fact.gid}/${branch}@${participant}`;
      if (!seen.has(name)) violations.push({ invariant: "I1-atomicity", message: `${name} has no effect, but ${fact.zxid} commits it` });
    }
  }
  return violations;
}

/** I3: what clients were told is what the log decided, and a request that certainly failed has no effect anywhere. */
export function checkAcknowledged(
  history: readonly HistoryEvent[],
  decided: ReadonlyMap<string, DecidedFact>,
  rows: readonly LedgerRow[],
): readonly Violation[] {
  const violations: Violation[] = [];
  const effects = new Set(rows.map((row) => row.gid));
  for (const { invoke, complete } of operations(history)) {
    if ((invoke.f !== "decide" && invoke.f !== "status") || complete === undefined) continue;
    const fact = decided.get(invoke.key);
    const { value } = complete;
    if (complete.type === "ok" && (value === "commit" || value === "abort") && fact?.decision !== value)
      violations.push({
        invariant: "I3-acknowledged",
        message: `${invoke.key}: event ${complete.index} says ${value}, the log says ${fact === undefined ? "nothing" : fact.decision}`,
      });
    if (complete.type === "fail" && invoke.f === "decide" && invoke.value === "commit" && effects.has(invoke.key))
      violations.push({
        invariant: "I3-acknowledged",
        message: `${invoke.key}: event ${complete.index} says it failed, yet it took effect`,
      });
  }
  return violations;
}

/** I9: money is neither made nor lost. */
export function checkConservation(
  totals: readonly { readonly participant: string; readonly total: number }[],
  expected: number,
): readonly Violation[] {
  const sum = totals.reduce((whole, { total }) => whole + total, 0);
  if (sum === expected) return [];
  const parts = totals.map(({ participant, total }) => `${participant} ${total}`).join(", ");
  return [{ invariant: "I9-conservation", message: `all balances together are ${sum}, not ${expected}: ${parts}` }];
}
