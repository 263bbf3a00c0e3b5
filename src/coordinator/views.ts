/**
 * Transactions as people see them: what is recorded, and on the leader how far the driver is with each branch.
 */
import type { Gid } from "../base/index.js";
import type { BranchRecord, FinishedOutcome, Lookup, StateMachine, Transaction } from "../txn/index.js";
import type { BranchDrive, Drive } from "./drive.js";
import type { BranchView, Request, TransactionView } from "./request.js";

/** The most transactions one list answer holds. */
export const LIST_LIMIT_MAX = 10_000;

export function viewOf(gid: Gid, found: Lookup, drive: Drive | undefined): TransactionView {
  switch (found.kind) {
    case "transaction":
      return transactionView(found.transaction, drive, true);
    case "outcome":
      return outcomeView(found.outcome);
    case "expired":
    case "none":
      return {
        gid,
        state: found.kind === "expired" ? "expired" : "unknown",
        decision: undefined,
        reason: undefined,
        detail: undefined,
        decidedAt: undefined,
        openedMs: undefined,
        branches: [],
      };
  }
}

export function listViews(
  state: StateMachine,
  drives: ReadonlyMap<Gid, Drive>,
  which: Extract<Request, { kind: "list" }>["state"],
  limit: number,
): TransactionView[] {
  const most = Math.max(0, Math.min(Math.floor(limit), LIST_LIMIT_MAX));
  const views: TransactionView[] = [];
  if (which !== "finished") {
    for (const transaction of state.transactions()) {
      if (views.length >= most) break;
      if (which === "all" || (which === "open") === (transaction.state === "open")) {
        views.push(transactionView(transaction, drives.get(transaction.gid), false));
      }
    }
  }
  if (which === "finished" || which === "all") {
    for (const outcome of state.outcomes(most - views.length)) views.push(outcomeView(outcome));
  }
  return views;
}

/** `withWork`: with the payloads of an open transaction, which whoever commits it must repeat. */
function transactionView(transaction: Transaction, drive: Drive | undefined, withWork: boolean): TransactionView {
  const { gid, decision } = transaction;
  const state =
    decision !== undefined
      ? decision.decision === "commit"
        ? "committing"
        : "aborting"
      : transaction.state === "open"
        ? "open"
        : "preparing";
  return {
    gid,
    state,
    decision: decision?.decision,
    reason: decision?.reason,
    detail: decision === undefined || decision.detail === "" ? undefined : decision.detail,
    decidedAt: decision?.zxid,
    openedMs: transaction.openedStampMs,
    branches: transaction.branches.map((branch) => {
      const view = branchView(transaction, branch, drive?.find(branch.id, branch.participant));
      return withWork && transaction.state === "open" ? { ...view, payload: branch.payload } : view;
    }),
  };
}

function branchView(transaction: Transaction, branch: BranchRecord, driven: BranchDrive | undefined): BranchView {
  return {
    id: branch.id,
    participant: branch.participant,
    mode: branch.mode,
    kind: branch.kind,
    vote: branch.vote ?? driven?.vote,
    done: branch.done,
    phase: phaseOf(transaction, branch, driven),
    attempts: driven?.attempt ?? 0,
    lastError: driven?.lastError,
    heuristic:
      branch.heuristic === undefined ? undefined : `${branch.heuristic.outcome} (${branch.heuristic.by}: ${branch.heuristic.note})`,
  };
}

function phaseOf(transaction: Transaction, branch: BranchRecord, driven: BranchDrive | undefined): string {
  if (branch.done || driven?.status === "settled") return "done";
  if (transaction.state === "open") return "enlisted";
  if (driven?.status === "paused") return "paused";
  const waiting = driven?.status === "unattached" ? ", no instance attached" : "";
  const tcc = branch.kind === "tcc";
  if (transaction.decision === undefined) {
    const vote = branch.vote ?? driven?.vote;
    if (vote === undefined) {
      if (!tcc && driven?.status === "idle" && driven.drive.triesMissing) return "waiting for the tries";
      return `${transaction.delegated ? "committing in one phase" : tcc ? "trying" : "preparing"}${waiting}`;
    }
    return vote === "yes" ? (tcc ? "tried" : "prepared") : vote === "no" ? "refused" : "read-only";
  }
  if (transaction.decision.decision === "abort") return `${tcc ? "cancelling" : "rolling-back"}${waiting}`;
  return branch.vote === "yes" ? `${tcc ? "confirming" : "committing"}${waiting}` : "done";
}

function outcomeView(outcome: FinishedOutcome): TransactionView {
  return {
    gid: outcome.gid,
    state: outcome.decision === "commit" ? "committed" : "aborted",
    decision: outcome.decision,
    reason: outcome.reason,
    detail: undefined,
    decidedAt: outcome.zxid,
    openedMs: undefined,
    branches: outcome.branches.map((branch) => ({
      id: branch.id,
      participant: branch.participant,
      mode: "",
      kind: branch.kind,
      vote: branch.vote,
      done: true,
      phase: "done",
      attempts: 0,
      lastError: undefined,
      heuristic: branch.heuristic,
    })),
  };
}
