/**
 * PREPARE TRANSACTION, and finding out what became of it when the connection broke in between.
 *
 * Durability: PostgreSQL syncs its log before it answers PREPARE TRANSACTION, whatever synchronous_commit says. When no answer came,
 * the branch may be prepared, may be about to be, or may be gone; guessing "no" would leave an orphan, guessing "yes" a lie.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { BranchRef, VoteResult } from "../contract.js";
import { couldNotTell, type Context } from "./context.js";
import { isPrepared, markRolledBack } from "./outcomes.js";
import { isConnectionLoss, Session, sqlMessage, SQLSTATE, sqlStateOf } from "./session.js";

export const YES: VoteResult = { vote: "yes", detail: "" };

export function no(detail: string): VoteResult {
  return { vote: "no", detail };
}

const LOOKS = 10;
const LOOK_AGAIN_MS = 200;

/**
 * Runs `sql`, which ends in PREPARE TRANSACTION of this branch, and votes. The session goes back to the pool. Rejects when the result
 * cannot be learned now.
 *
 * `found`: what a branch that is found prepared after the connection was lost means. Of asked work there is one version, the record's:
 * whoever prepared it, it is a yes. Brought work is a client's own, and a second client with the same gid may have brought other work:
 * what is found may be the other's, so it is nothing this client may vote for.
 */
export async function prepareTransaction(
  context: Context,
  session: Session,
  ref: BranchRef,
  xid: string,
  sql: string,
  found: "yes" | "cannot-tell",
): Promise<VoteResult> {
  let command: string | undefined;
  try {
    const results = await session.run(sql);
    command = results.at(-1)?.command;
  } catch (error) {
    await session.rollback();
    if (isConnectionLoss(error)) return findOut(context, ref, xid, error, found);
    if (sqlStateOf(error) === SQLSTATE.uniqueViolation && constraintTable(error) === "quorate_outcomes")
      return no("the branch was rolled back before");
    return no(sqlMessage(error));
  }
  // PREPARE TRANSACTION in a transaction that has failed is no error: the server rolls back and says so in the tag.
  if (command === "PREPARE") {
    session.release();
    return YES;
  }
  await session.rollback();
  return no(`the transaction had failed; the server answered PREPARE TRANSACTION with ${command ?? "nothing"}`);
}

/** The table of the constraint that an error is about. */
export function constraintTable(error: unknown): string | undefined {
  const table = error instanceof Error ? (error as { readonly table?: unknown }).table : undefined;
  return typeof table === "string" ? table : undefined;
}

/**
 * After a PREPARE without an answer. Either the prepared transaction is there: `found`. Or the mark of a roll back can be inserted, and
 * from then on this branch can never be prepared, whatever the old connection still has under way: no. Or neither yet: look again.
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
  throw couldNotTell(context, ref.gid, "the connection was lost during PREPARE TRANSACTION, and whether it took effect is not known", last);
}
