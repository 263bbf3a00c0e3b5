/**
 * XA PREPARE, and finding out what became of it when the connection broke in between.
 *
 * Durability: InnoDB syncs its log before it answers XA PREPARE with innodb_flush_log_at_trx_commit = 1, which `start` checks. When no
 * answer came, the branch may be prepared, may be about to be, or may be gone; guessing "no" would leave an orphan, guessing "yes" a lie.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { BranchRef, VoteResult } from "../contract.js";
import { couldNotTell, type Context } from "./context.js";
import { markRolledBack } from "./outcomes.js";
import { isConnectionLoss, Session, sqlMessage } from "./session.js";
import { discardBranch, isPrepared } from "./xa.js";

export const YES: VoteResult = { vote: "yes", detail: "" };

export function no(detail: string): VoteResult {
  return { vote: "no", detail };
}

const LOOKS = 10;
const LOOK_AGAIN_MS = 200;

/**
 * Ends and prepares the branch that is open on `session`, its witness in it, and votes. The session is used up: closed where the branch is
 * prepared, so that any other connection may settle it. Rejects when the result cannot be learned now.
 *
 * `found`: what a branch that is found prepared after the connection was lost means. Of asked work there is one version, the record's:
 * whoever prepared it, it is a yes. Brought work is a client's own, and a second client with the same gid may have brought other work:
 * what is found may be the other's, so it is nothing this client may vote for.
 */
export async function prepareBranch(
  context: Context,
  session: Session,
  ref: BranchRef,
  xid: string,
  found: "yes" | "cannot-tell",
): Promise<VoteResult> {
  try {
    await session.run(`xa end ${xid}`);
    await session.run(`xa prepare ${xid}`);
    session.destroy();
    return YES;
  } catch (error) {
    if (isConnectionLoss(error)) {
      session.destroy();
      return findOut(context, ref, xid, error, found);
    }
    await discardBranch(session, xid);
    session.destroy();
    return no(sqlMessage(error));
  }
}

/**
 * After an XA PREPARE without an answer. Either the branch is prepared: `found`. Or the mark of a roll back can be inserted, and from then
 * on this branch can never be prepared: no. Or neither yet, because the old connection still holds the witness: look again.
 */
async function findOut(context: Context, ref: BranchRef, xid: string, cause: unknown, found: "yes" | "cannot-tell"): Promise<VoteResult> {
  let last = cause;
  for (let look = 1; look <= LOOKS; look++) {
    try {
      const vote = await Session.use(context.pool, async (session) => {
        if (await isPrepared(session, xid)) return found;
        const mark = await markRolledBack(session, context.tables, context.participant, ref);
        if (mark === "committed") return found;
        return mark === "marked" ? no(`the connection was lost before the branch was prepared: ${sqlMessage(cause)}`) : undefined;
      });
      if (vote === "yes") return YES;
      if (vote === "cannot-tell") break;
      if (vote !== undefined) return vote;
    } catch (error) {
      last = error;
    }
    await delay(LOOK_AGAIN_MS);
  }
  throw couldNotTell(context, ref.gid, "the connection was lost during XA PREPARE, and whether it took effect is not known", last);
}
