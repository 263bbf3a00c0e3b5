/**
 * Transactions as the command line shows them. The JSON shape is documented in docs/status.md.
 */
import { formatZxid } from "../base/index.js";
import type { TransactionView } from "../coordinator/index.js";
import { formatTable } from "./table.js";

export interface TransactionJson {
  readonly gid: string;
  readonly state: string;
  readonly decision: string | null;
  readonly reason: string | null;
  readonly detail: string | null;
  readonly decidedAt: string | null;
  readonly openedMs: number | null;
  readonly branches: readonly Readonly<Record<string, unknown>>[];
}

export function transactionJson(view: TransactionView): TransactionJson {
  return {
    gid: view.gid,
    state: view.state,
    decision: view.decision ?? null,
    reason: view.reason ?? null,
    detail: view.detail ?? null,
    decidedAt: view.decidedAt === undefined ? null : formatZxid(view.decidedAt),
    openedMs: view.openedMs ?? null,
    branches: view.branches.map((branch) => ({
      id: branch.id,
      participant: branch.participant,
      mode: branch.mode,
      kind: branch.kind,
      vote: branch.vote ?? null,
      done: branch.done,
      phase: branch.phase,
      attempts: branch.attempts,
      lastError: branch.lastError ?? null,
      heuristic: branch.heuristic ?? null,
    })),
  };
}

export function transactionTable(view: TransactionView): string {
  const decided =
    view.decision === undefined ? "undecided" : `${view.decision} at ${view.decidedAt === undefined ? "?" : formatZxid(view.decidedAt)}`;
  const why = [view.reason, view.detail].filter((part) => part !== undefined && part !== "").join(": ");
  const lines = [`TRANSACTION ${view.gid}   STATE ${view.state}   DECISION ${decided}${why === "" ? "" : ` (${why})`}`];
  if (view.branches.length > 0)
    lines.push(
      formatTable(
        ["BRANCH", "PARTICIPANT", "KIND", "MODE", "VOTE", "PHASE", "ATTEMPTS", "LAST ERROR"],
        view.branches.map((branch) => [
          branch.id,
          branch.participant,
          branch.kind,
          branch.mode === "" ? "-" : branch.mode,
          branch.vote ?? "-",
          branch.heuristic === undefined ? branch.phase : `${branch.phase}, heuristic ${branch.heuristic}`,
          branch.attempts,
          branch.lastError ?? "-",
        ]),
        [6],
      ),
    );
  return lines.join("\n");
}

export function transactionsTable(views: readonly TransactionView[]): string {
  if (views.length === 0) return "no transactions";
  return formatTable(
    ["GID", "STATE", "DECISION", "DECIDED AT", "BRANCHES", "WHY"],
    views.map((view) => [
      view.gid,
      view.state,
      view.decision ?? "-",
      view.decidedAt === undefined ? "-" : formatZxid(view.decidedAt),
      view.branches.map((branch) => branch.participant).join(","),
      [view.reason, view.detail].filter((part) => part !== undefined && part !== "").join(": ") || "-",
    ]),
  );
}
