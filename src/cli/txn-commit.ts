/**
 * Commits a transaction from what the cluster has recorded of it: reads the enlisted branches and sends the complete list back.
 *
 * The read comes first, so a branch that somebody enlists in between makes the Commit a QUORATE_BRANCH_MISMATCH, never a partial one.
 */
import { QuorateError } from "../base/index.js";
import type { Quorate } from "../client/index.js";
import type { BranchView, TransactionView } from "../coordinator/index.js";
import type { BranchSpec } from "../txn/index.js";
import { ask } from "./connection.js";

/** The transaction as decided. Throws QUORATE_UNKNOWN_TRANSACTION, QUORATE_EXPIRED, QUORATE_WRONG_STATE, QUORATE_OUTCOME_UNKNOWN. */
export async function commitRecorded(quorate: Quorate, gid: string, timeoutMs: number): Promise<TransactionView> {
  const view = await quorate.outcome(gid, { timeoutMs });
  switch (view.state) {
    case "unknown":
      throw unknownTransaction(view);
    case "expired":
      throw new QuorateError("QUORATE_EXPIRED", `${view.gid} is below the cluster's floor: it was never started, or is forgotten`, {
        gid: view.gid,
        outcome: "unknown",
      });
    case "open": {
      const branches = view.branches.map((branch) => specOf(view, branch));
      // No client, as in begin: nobody's lost stream concerns this transaction.
      const body = { kind: "commit", gid: view.gid, client: "", timeoutMs: COMMIT_TIMEOUT_MS, branches, votes: [] } as const;
      await ask(quorate, "decided", body, timeoutMs);
      return quorate.outcome(gid, { timeoutMs });
    }
    default:
      // Sealed already, by this command or another: it is being decided, or is decided.
      return quorate.outcome(gid, { timeoutMs, wait: true });
  }
}

/** Only counts for a transaction that Commit itself starts; this one is recorded. */
const COMMIT_TIMEOUT_MS = 60_000;

function specOf(view: TransactionView, branch: BranchView): BranchSpec {
  if (branch.mode !== "asked")
    throw new QuorateError(
      "QUORATE_WRONG_STATE",
      `branch ${branch.id} of ${view.gid} was brought by a client, which alone can prepare it; let that client commit, or abort here`,
      { gid: view.gid, outcome: "unknown" },
    );
  if (branch.payload === undefined)
    throw new QuorateError("QUORATE_INTERNAL", `the node did not send the work of branch ${branch.id} of ${view.gid}`, {
      gid: view.gid,
      outcome: "unknown",
    });
  const { id, participant, payload, kind } = branch;
  return { id, participant, mode: "asked", payload, kind };
}

export function unknownTransaction({ gid }: TransactionView): QuorateError {
  return new QuorateError(
    "QUORATE_UNKNOWN_TRANSACTION",
    `the cluster has no record of ${gid}: it was never opened; \`quorate txn begin\` makes one`,
    {
      outcome: "unknown",
      gid,
    },
  );
}
