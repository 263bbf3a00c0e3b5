/**
 * Checks a history by itself: what clients were told, wherever and by whatever it was recorded. It knows nothing of the banks' books
 * or the cluster's log, which a run is held against as well.
 */
import { checkAnswers, checkRegisters, operations, type HistoryEvent, type Violation } from "../../src/check/index.js";
import { checkDecisionOrder } from "./decision-model.js";
import { tally, type InvariantResult } from "./invariants.js";
import { faultBands } from "./timeline.js";
import { checkDoubt, faultTimes, longestDoubt, summarize, type FaultSummary, type LongestDoubt } from "./times.js";

export interface HistoryReport {
  readonly verdict: "valid" | "invalid" | "unknown";
  readonly why: string | undefined;
  readonly invariants: readonly InvariantResult[];
  readonly violations: readonly Violation[];
  readonly events: number;
  readonly operations: number;
  readonly ok: number;
  readonly failed: number;
  /** Nobody knows whether they happened. */
  readonly open: number;
  readonly faults: number;
  readonly times: readonly FaultSummary[];
  readonly doubt: LongestDoubt;
}

const TYPES = new Set(["invoke", "ok", "fail", "info"]);

/**
 * JSON Lines, or the same events as one JSON array. Throws RangeError, naming the line, for what is no history: bad JSON, a missing
 * field, an index out of order, two operations of one process at once.
 */
export function readHistory(text: string): readonly HistoryEvent[] {
  const found = text.trimStart().startsWith("[")
    ? (parse(text, "the array") as readonly unknown[]).map((value, i) => ({ value, where: `event ${i + 1}` }))
    : text.split("\n").flatMap((line, i) => (line.trim() === "" ? [] : [{ value: parse(line, `line ${i + 1}`), where: `line ${i + 1}` }]));
  let before = -1;
  const events = found.map(({ value, where }) => {
    const event = value as Partial<HistoryEvent> | null;
    if (
      typeof event !== "object" ||
      event === null ||
      !Number.isInteger(event.index) ||
      !Number.isFinite(event.time) ||
      !Number.isInteger(event.process) ||
      typeof event.f !== "string" ||
      !TYPES.has(String(event.type))
    )
      throw new RangeError(`${where} is no event: it needs index, time, process, type (invoke, ok, fail, info) and f`);
    if (Number(event.index) <= before) throw new RangeError(`${where}: index ${event.index} comes after ${before}`);
    before = Number(event.index);
    return { ...event, key: String(event.key ?? ""), value: event.value ?? null } as HistoryEvent;
  });
  operations(events);
  return events;
}

export function checkHistory(history: readonly HistoryEvent[]): HistoryReport {
  const done = operations(history);
  const order = checkDecisionOrder(history);
  const registers = history.some(({ f }) => f === "put") ? checkRegisters(history) : { violations: [], unknown: [] };
  const doubt = longestDoubt(history);
  const violations = [...checkAnswers(history), ...order.violations, ...registers.violations, ...checkDoubt(doubt)];
  const told = done.filter(({ invoke, complete }) => (invoke.f === "decide" || invoke.f === "status") && complete?.type === "ok").length;
  const gaveUp = order.unknown.length + registers.unknown.length;
  const why =
    gaveUp > 0
      ? `the search for an order gave up on ${gaveUp} keys`
      : told === 0 && registersIn(history) === 0
        ? "it holds no answered decision, status or register operation"
        : undefined;
  return {
    verdict: violations.length > 0 ? "invalid" : why === undefined ? "valid" : "unknown",
    why,
    invariants: tally(
      { "I2-decision": order.checked, "I5-in-doubt": doubt.withMajorityMs === undefined ? 0 : doubt.written, "I13-monotonic": told },
      violations,
    ).filter((each) => each.checked > 0 || each.violations > 0),
    violations,
    events: history.length,
    operations: done.length,
    ok: done.filter(({ complete }) => complete?.type === "ok").length,
    failed: done.filter(({ complete }) => complete?.type === "fail").length,
    open: done.filter(({ complete }) => complete === undefined || complete.type === "info").length,
    faults: faultBands(history).length,
    times: summarize(faultTimes(history)),
    doubt,
  };
}

function registersIn(history: readonly HistoryEvent[]): number {
  return history.filter(({ f, type }) => f === "put" && type === "ok").length;
}

function parse(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new RangeError(`${where} is no JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
}
