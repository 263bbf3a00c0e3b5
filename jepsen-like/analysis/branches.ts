/**
 * I4: no branch is lost between its client and the record, and none appears that no client sent.
 */
import type { HistoryEvent, Violation } from "../../src/check/index.js";
import { committedLists, enlistments } from "./decisions.js";
import type { TransactionRecord } from "./final-reads.js";

const INVARIANT = "I4-branches";

/**
 * A committed transaction holds exactly the list that its commit named, and every branch whose enlistment was acknowledged. An aborted
 * or undecided one may hold fewer, never others. `compared`: transactions whose clients' lists were held against their record.
 */
export function checkBranches(
  history: readonly HistoryEvent[],
  records: ReadonlyMap<string, TransactionRecord>,
): { readonly violations: readonly Violation[]; readonly compared: number } {
  const lists = committedLists(history);
  const enlisted = new Map<string, { readonly all: Set<string>; readonly told: Set<string> }>();
  for (const { gid, branch, told } of enlistments(history)) {
    const of = enlisted.get(gid) ?? { all: new Set<string>(), told: new Set<string>() };
    enlisted.set(gid, of);
    of.all.add(branch);
    if (told) of.told.add(branch);
  }
  const violations: Violation[] = [];
  const say = (gid: string, message: string): void => void violations.push({ invariant: INVARIANT, message: `${gid}: ${message}` });
  let compared = 0;
  for (const { gid, decision, branches } of records.values()) {
    const list = lists.get(gid);
    if (list === undefined) continue;
    compared += 1;
    const { all, told } = enlisted.get(gid) ?? { all: new Set<string>(), told: new Set<string>() };
    const phantom = branches.find((branch) => !list.includes(branch) && !all.has(branch));
    if (phantom !== undefined) say(gid, `the record holds ${phantom}, which no client sent`);
    if (decision !== "commit") continue;
    const missing = list.find((branch) => !branches.includes(branch));
    if (missing !== undefined) say(gid, `committed without ${missing}, which its commit named`);
    const lost = [...told].find((branch) => !branches.includes(branch));
    if (lost !== undefined) say(gid, `committed without ${lost}, whose enlistment was acknowledged`);
  }
  return { violations, compared };
}
