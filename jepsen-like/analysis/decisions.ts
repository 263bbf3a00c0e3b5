/**
 * Everything in a history that asked for a decision, in one form: a `txn` over lists is a request to commit as well.
 */
import { operations, type HistoryEvent } from "../../src/check/index.js";

/**
 * The same history with each `txn` as a `decide`: ok is a commit; a fail that names an abort is an ok that tells the abort; any other
 * stays what it is. Indexes and times are those of the history.
 */
export function asDecisions(history: readonly HistoryEvent[]): readonly HistoryEvent[] {
  return history.map((event): HistoryEvent => {
    if (event.f !== "txn") return event;
    const decide = { ...event, f: "decide", value: "commit" };
    return event.type === "fail" && event.error === "QUORATE_ABORTED" ? { ...decide, type: "ok", value: "abort" } : decide;
  });
}

/** Of every transaction that a request to commit named branches for: `branch@participant`, sorted. */
export function committedLists(history: readonly HistoryEvent[]): ReadonlyMap<string, readonly string[]> {
  const lists = new Map<string, readonly string[]>();
  for (const { type, key, branches } of history) if (type === "invoke" && branches !== undefined) lists.set(key, [...branches].sort());
  return lists;
}

/**
 * Branches enlisted one by one: whether the client was told that they are. One that was refused because the decision was there may
 * have been recorded all the same: a request is sent again until it is answered, and its first arrival may have been taken.
 */
export function enlistments(
  history: readonly HistoryEvent[],
): readonly { readonly gid: string; readonly branch: string; readonly told: boolean }[] {
  return operations(history).flatMap(({ invoke, complete }) =>
    invoke.f === "enlist" && (complete?.type !== "fail" || complete.error === "QUORATE_ALREADY_DECIDED")
      ? [{ gid: invoke.key, branch: String(invoke.value), told: complete?.type === "ok" }]
      : [],
  );
}
