/**
 * The report on a history file, recorded by any run or tool.
 */
import { operations, type HistoryEvent } from "../../src/check/index.js";
import { judge, type Judgement } from "./judge.js";
import { faultBands } from "./timeline.js";
import { faultTimes, summarize, type FaultSummary } from "./times.js";

export interface HistoryReport extends Judgement {
  readonly events: number;
  readonly operations: number;
  readonly ok: number;
  readonly failed: number;
  /** Nobody knows whether they happened. */
  readonly open: number;
  readonly faults: number;
  readonly times: readonly FaultSummary[];
}

/** Of a file read by `readHistory`. */
export function checkHistory(history: readonly HistoryEvent[]): HistoryReport {
  const done = operations(history);
  const judgement = judge(history);
  return {
    ...judgement,
    invariants: judgement.invariants.filter((each) => each.checked > 0 || each.violations > 0),
    events: history.length,
    operations: done.length,
    ok: done.filter(({ complete }) => complete?.type === "ok").length,
    failed: done.filter(({ complete }) => complete?.type === "fail").length,
    open: done.filter(({ complete }) => complete === undefined || complete.type === "info").length,
    faults: faultBands(history).length,
    times: summarize(faultTimes(history)),
  };
}
