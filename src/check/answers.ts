/**
 * What clients were told of decisions: one decision for each gid, for ever, at one place of the log, and never taken back.
 */
import { operations, type HistoryEvent } from "./history.js";
import type { Violation } from "./violation.js";

/**
 * I2 and I13 over `decide` (ok value: the decision in force) and `status` (ok value "commit", "abort", "expired", or where the
 * transaction stands). A status asked after somebody was told a decision must give it, or say that it is forgotten.
 */
export function checkAnswers(history: readonly HistoryEvent[]): readonly Violation[] {
  const told = new Map<string, { readonly decision: string; readonly zxid: string | undefined; readonly at: number }>();
  const done = operations(history).filter(({ invoke }) => invoke.f === "decide" || invoke.f === "status");
  const violations: Violation[] = [];
  const completed = done.flatMap(({ invoke, complete }) => (complete?.type === "ok" ? [{ invoke, complete }] : []));
  completed.sort((a, b) => a.complete.index - b.complete.index);
  for (const { complete } of completed) {
    const { key, value, zxid } = complete;
    if (value !== "commit" && value !== "abort") continue;
    const before = told.get(key);
    if (before === undefined) {
      told.set(key, { decision: value, zxid, at: complete.index });
      continue;
    }
    if (before.decision !== value)
      violations.push({
        invariant: "I2-decision",
        message: `${key}: event ${before.at} says ${before.decision}, event ${complete.index} says ${value}`,
      });
    if (zxid !== undefined && before.zxid !== undefined && before.zxid !== zxid)
      violations.push({
        invariant: "I2-decision",
        message: `${key}: decided at ${before.zxid} by event ${before.at}, and at ${zxid} by event ${complete.index}`,
      });
    if (before.zxid === undefined && zxid !== undefined) told.set(key, { ...before, zxid });
  }
  for (const { invoke, complete } of completed) {
    const { key, value } = complete;
    const before = told.get(key);
    if (before === undefined || before.at >= invoke.index || value === "commit" || value === "abort" || value === "expired") continue;
    violations.push({
      invariant: "I13-monotonic",
      message: `${key}: event ${before.at} says ${before.decision}; a status asked afterwards, at ${invoke.index}, says ${String(value)}`,
    });
  }
  return violations;
}
