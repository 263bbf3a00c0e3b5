/**
 * DECIDE, DONE, HEURISTIC, FORGET and FLOOR: how a transaction ends, and when it may be forgotten.
 *
 * Invariant: the first decision in the log wins, for ever. Nothing here replaces a decision.
 */
import { gidProblem, gidTimeMs, must } from "../base/index.js";
import type { Gid, Zxid } from "../base/index.js";
import type { ApplyResult } from "./api.js";
import type { Command } from "./command.js";
import { belowFloor, findBranch, futureProblem } from "./lifecycle.js";
import { refuse, refusePlain } from "./refusal.js";
import type { Refused } from "./refusal.js";
import type { Tables } from "./tables.js";
import { owes } from "./transaction.js";
import type { BranchRecord, DecisionRecord, FinishedOutcome, Transaction } from "./transaction.js";

type Decide = Extract<Command, { kind: "DECIDE" }>;
type Done = Extract<Command, { kind: "DONE" }>;
type Forget = Extract<Command, { kind: "FORGET" }>;
type Floor = Extract<Command, { kind: "FLOOR" }>;
type Heuristic = Extract<Command, { kind: "HEURISTIC" }>;

export function applyDecide(tables: Tables, command: Decide, zxid: Zxid): ApplyResult {
  const { gid } = command;
  const found = tables.lookup(gid);
  if (found.kind === "outcome") return { kind: "decided", gid, decision: found.outcome.decision, first: false };
  const transaction = found.kind === "transaction" ? found.transaction : undefined;
  if (transaction?.decision !== undefined) return { kind: "decided", gid, decision: transaction.decision.decision, first: false };
  if (command.decision === "commit") {
    const refused = voteProblem(transaction, command);
    if (refused !== undefined) return refused;
  } else if (transaction === undefined) {
    return found.kind === "expired" ? belowFloor(tables, gid) : abortUnrecorded(tables, command, zxid);
  } else {
    const held = delegationProblem(transaction, command);
    if (held !== undefined) return held;
  }
  const before = must(transaction, "transaction to decide");
  const { decision, reason, detail } = command;
  const record: DecisionRecord = { decision, reason, detail, zxid, stampMs: tables.stampMs };
  const branches = votedBranches(before.branches, command);
  const delegate = delegateOf(before);
  // Committed or refused, its participant has made that durable before this record was written: nothing is owed to it.
  const settled = delegate === undefined ? branches : branches.map((branch) => (branch.id === delegate.id ? acknowledged(branch) : branch));
  store(tables, before, { ...before, state: "decided", branches: settled, decision: record });
  return { kind: "decided", gid, decision, first: true };
}

/** Commit needs every branch of the sealed set in exactly one of yes and readOnly: a set by branch id, never a count of votes. */
function voteProblem(transaction: Transaction | undefined, command: Decide): Refused | undefined {
  const { gid, yes, readOnly } = command;
  if (transaction === undefined) {
    return refuse("incomplete-votes", `commit of ${gid} has no sealed list of branches: there is no record`, gid);
  }
  if (transaction.state !== "sealed") {
    return refuse("incomplete-votes", `commit of ${gid} has no sealed list of branches: the transaction is ${transaction.state}`, gid);
  }
  for (const branch of transaction.branches) {
    const votedYes = occurrences(yes, branch.id);
    const votedReadOnly = occurrences(readOnly, branch.id);
    if (votedYes + votedReadOnly !== 1) {
      return refuse("incomplete-votes", `commit of ${gid} names branch "${branch.id}" ${votedYes + votedReadOnly} times, not once`, gid);
    }
    if (votedReadOnly === 1 && branch.kind === "tcc") {
      return refuse("incomplete-votes", `commit of ${gid} names the TCC branch "${branch.id}" read-only: a try votes yes or no`, gid);
    }
    const brought = branch.vote;
    if (brought !== undefined && brought !== (votedYes === 1 ? "yes" : "read-only")) {
      return refuse("incomplete-votes", `commit of ${gid} contradicts the recorded vote "${brought}" of branch "${branch.id}"`, gid);
    }
  }
  if (yes.length + readOnly.length === transaction.branches.length) return undefined;
  return refuse("incomplete-votes", `commit of ${gid} names a branch that is not in the sealed list`, gid);
}

/** The branch of a delegated transaction that commits in one phase: the asked one. */
export function delegateOf(transaction: Transaction): BranchRecord | undefined {
  return transaction.delegated ? transaction.branches.find((branch) => branch.mode === "asked") : undefined;
}

/**
 * A delegated transaction may be committed already, by its participant alone, whatever this log says so far. Only the participant can
 * rule that out, by a refusal that it will stand by for ever.
 */
function delegationProblem(transaction: Transaction, command: Decide): Refused | undefined {
  const delegate = delegateOf(transaction);
  if (delegate === undefined || command.refusedBy === delegate.id) return undefined;
  const { gid } = command;
  return refuse(
    "delegated",
    `transaction ${gid} is delegated to participant "${delegate.participant}": it is aborted only when that has refused branch "${delegate.id}" durably`,
    gid,
  );
}

function occurrences(list: readonly string[], id: string): number {
  let count = 0;
  for (const entry of list) if (entry === id) count++;
  return count;
}

/**
 * An abort of a gid that never got a record, so that a Commit still under way loses. No branch of it is known here: those that
 * exist ask and are answered from this record.
 */
function abortUnrecorded(tables: Tables, command: Decide, zxid: Zxid): ApplyResult {
  const { gid, decision, reason } = command;
  const malformed = gidProblem(gid);
  if (malformed !== undefined) return refuse("invalid", malformed, gid);
  // A far future gid would outlive every floor, so nobody may make one up; but one with a prepared branch exists, and its locks must go.
  const future = reason === "inquiry" ? undefined : futureProblem(tables, gid);
  if (future !== undefined) return future;
  tables.putOutcome({ gid, decision, reason, zxid, stampMs: tables.stampMs, branches: [] });
  return { kind: "decided", gid, decision, first: true };
}

function votedBranches(branches: readonly BranchRecord[], command: Decide): readonly BranchRecord[] {
  if (command.yes.length === 0 && command.readOnly.length === 0) return branches;
  return branches.map((branch) => {
    if (branch.vote !== undefined) return branch;
    if (command.yes.includes(branch.id)) return withVote(branch, "yes");
    return command.readOnly.includes(branch.id) ? withVote(branch, "read-only") : branch;
  });
}

function withVote(branch: BranchRecord, vote: "yes" | "read-only"): BranchRecord {
  const { id, participant, mode, payload, kind, done, heuristic } = branch;
  return { id, participant, mode, payload, kind, vote, done, heuristic };
}

function acknowledged({ id, participant, mode, payload, kind, vote, heuristic }: BranchRecord): BranchRecord {
  return { id, participant, mode, payload, kind, vote, done: true, heuristic };
}

/** Stores a decided transaction, or its outcome when nothing is owed any more. True when it is finished. */
function store(tables: Tables, before: Transaction, next: Transaction): boolean {
  const decision = must(next.decision, "decision of a decided transaction");
  for (const branch of next.branches) {
    if (!owes(branch, decision.decision)) continue;
    tables.putTransaction(next, before);
    return false;
  }
  tables.removeTransaction(before);
  tables.putOutcome(outcomeOf(next, decision));
  return true;
}

function outcomeOf(transaction: Transaction, record: DecisionRecord): FinishedOutcome {
  const branches = transaction.branches.map(({ id, participant, kind, vote, heuristic }) => ({
    id,
    participant,
    kind,
    vote,
    heuristic: heuristic === undefined ? undefined : heuristicText(heuristic.outcome, heuristic.by, heuristic.note),
  }));
  const { decision, reason, zxid, stampMs } = record;
  return { gid: transaction.gid, decision, reason, zxid, stampMs, branches };
}

function heuristicText(outcome: string, by: string, note: string): string {
  return `${outcome} (${by}: ${note})`;
}

/** Acknowledgements repeat and arrive late: those of unknown, undecided or finished transactions change nothing. */
export function applyDone(tables: Tables, command: Done): ApplyResult {
  const finished: Gid[] = [];
  for (const { gid, branch } of command.branches) {
    const before = tables.transactions.get(gid);
    if (before?.decision === undefined) continue;
    const recorded = findBranch(before.branches, branch);
    if (recorded === undefined || !owes(recorded, before.decision.decision)) continue;
    if (store(tables, before, replaceBranch(before, acknowledged(recorded)))) finished.push(gid);
  }
  return { kind: "done", finished };
}

function replaceBranch(transaction: Transaction, changed: BranchRecord): Transaction {
  const branches = transaction.branches.map((branch) => (branch.id === changed.id ? changed : branch));
  const { gid, state, client, timeoutMs, openedZxid, openedStampMs, delegated, decision } = transaction;
  return { gid, state, client, timeoutMs, openedZxid, openedStampMs, branches, delegated, decision };
}

export function applyHeuristic(tables: Tables, command: Heuristic): ApplyResult {
  const { gid, outcome, by, note } = command;
  const limit = tables.limits.noteCharsMax;
  if (by.length > limit || note.length > limit) {
    return refuse("too-large", `by has ${by.length} and note ${note.length} characters; the limit noteCharsMax is ${limit}`, gid);
  }
  const found = tables.lookup(gid);
  switch (found.kind) {
    case "expired":
      return belowFloor(tables, gid);
    case "none":
      return refuse("unknown", `transaction ${gid} has no record; a heuristic outcome belongs to a decided transaction`, gid);
    case "outcome": {
      const known = found.outcome.branches.some((branch) => branch.id === command.branch);
      if (!known) return noBranch(gid, command.branch);
      const branches = found.outcome.branches.map((branch) =>
        branch.id === command.branch ? { ...branch, heuristic: heuristicText(outcome, by, note) } : branch,
      );
      tables.putOutcome({ ...found.outcome, branches });
      return { kind: "heuristic", gid, branch: command.branch };
    }
    case "transaction":
      return heuristicOf(tables, found.transaction, command);
  }
}

function heuristicOf(tables: Tables, transaction: Transaction, command: Heuristic): ApplyResult {
  const { gid } = transaction;
  if (transaction.delegated && transaction.decision === undefined) {
    return refuse(
      "wrong-state",
      `transaction ${gid} is delegated and undecided: only its participant knows, or settles, whether it is committed; bring the participant back and the outcome follows`,
      gid,
    );
  }
  if (transaction.decision === undefined) {
    return refuse(
      "wrong-state",
      `transaction ${gid} is ${transaction.state} and undecided: a branch settled by hand now could contradict the decision; abort the transaction or wait for its outcome`,
      gid,
    );
  }
  const recorded = findBranch(transaction.branches, command.branch);
  if (recorded === undefined) return noBranch(gid, command.branch);
  const { outcome, by, note } = command;
  // Done, so that it is no longer retried; the decision stays what it is.
  store(tables, transaction, replaceBranch(transaction, { ...recorded, done: true, heuristic: { outcome, by, note } }));
  return { kind: "heuristic", gid, branch: command.branch };
}

function noBranch(gid: Gid, branch: string): Refused {
  return refuse("invalid", `transaction ${gid} has no branch "${branch}"; see its branches with txn get`, gid);
}

/**
 * Each gid is checked again here, because acknowledgements and the floor may differ from what the proposer saw.
 *
 * A commit goes only after every yes voter acknowledged a durable commit: only then is it among the outcomes. An abort below the
 * floor may go with acknowledgements missing: whoever asks later finds no record and a gid below the floor, and is answered "roll
 * back", which is what the record said. No commit can take its place, because a gid below the floor without a record is never
 * started again.
 */
export function applyForget(tables: Tables, command: Forget): ApplyResult {
  const gids: Gid[] = [];
  const refused: Gid[] = [];
  for (const gid of command.gids) {
    if (forget(tables, gid)) gids.push(gid);
    else refused.push(gid);
  }
  return { kind: "forgotten", gids, refused };
}

function forget(tables: Tables, gid: Gid): boolean {
  if (!(gidTimeMs(gid) < tables.floorMs)) return false;
  const transaction = tables.transactions.get(gid);
  if (transaction !== undefined) {
    if (!tables.mayGoUnacknowledged(transaction)) return false;
    tables.removeTransaction(transaction);
  } else if (tables.outcomes.has(gid)) {
    tables.removeOutcome(gid);
  }
  return true;
}

/** Never goes back. A floor inside the commit window would expire gids whose client may still be retrying its Commit. */
export function applyFloor(tables: Tables, command: Floor): ApplyResult {
  const highest = tables.stampMs - tables.limits.commitWindowMs;
  if (!Number.isSafeInteger(command.timeMs) || command.timeMs > highest) {
    return refusePlain("invalid", `a floor of ${command.timeMs} ms is inside the commit window; the highest allowed now is ${highest} ms`);
  }
  if (command.timeMs > tables.floorMs) {
    tables.floorMs = command.timeMs;
    for (const client of tables.clients.dropIdle(command.timeMs, tables.limits.idleClientsPerFloorMax)) tables.clientChanged(client);
  }
  return { kind: "floor", timeMs: tables.floorMs };
}
