/**
 * A branch that alone decides its transaction: barrier, statements, XA COMMIT ... ONE PHASE. Nothing is prepared.
 *
 * It runs as a branch all the same, so that the server refuses what would end the transaction in between. The witness row commits with the
 * work, so it is there exactly when the work is; a refusal is the mark of a roll back, under the same key. Whichever is inserted first
 * decides for ever. So an answer that was lost, a crash in between and a second call at the same time need no other care: the next call
 * waits for the row, or finds it.
 */
import type { OnePhaseResult, PrepareRequest } from "../contract.js";
import { abandon, BranchTakenError, openAsked, runStatements } from "./asked.js";
import { couldNotTell, type Context } from "./context.js";
import { markRolledBack, readOutcome } from "./outcomes.js";
import { decodeMysqlPayload } from "./payload.js";
import { parseParticipantRow, participantRowSql } from "./schema.js";
import { isTemporary, Session, sqlMessage } from "./session.js";
import { isPrepared, settleBranch } from "./xa.js";

const COMMITTED: OnePhaseResult = { kind: "committed" };

export async function commitAsked(context: Context, request: PrepareRequest, xid: string): Promise<OnePhaseResult> {
  const decoded = decodeMysqlPayload(request.payload);
  let session: Session;
  try {
    session = await Session.open(context.pool);
  } catch (error) {
    throw couldNotTell(context, request.gid, "no connection to commit on", error);
  }
  let fence: string | undefined;
  try {
    fence = await openAsked(context, session, request, xid);
  } catch (error) {
    if (error instanceof BranchTakenError) return standing(context, request, xid);
    if (isTemporary(error)) throw couldNotTell(context, request.gid, "the branch could not be started", error);
    return refuse(context, request, sqlMessage(error));
  }
  if (fence !== undefined) {
    await abandon(session, xid);
    throw couldNotTell(context, request.gid, "the work is not taken", new Error(fence));
  }
  const problem = "problem" in decoded ? decoded.problem : await runStatements(context, session, request, xid, decoded.statements);
  if (problem !== undefined) {
    await abandon(session, xid);
    return refuse(context, request, problem);
  }
  return commit(context, session, request, xid);
}

async function commit(context: Context, session: Session, request: PrepareRequest, xid: string): Promise<OnePhaseResult> {
  try {
    await session.run(`xa end ${xid}`);
    // Durability: InnoDB syncs its log before it answers, with innodb_flush_log_at_trx_commit = 1, which `start` checks.
    await session.run(`xa commit ${xid} one phase`);
  } catch (error) {
    await abandon(session, xid);
    // Whether it took effect the witness row tells the next call.
    if (isTemporary(error)) throw couldNotTell(context, request.gid, "the connection was lost during XA COMMIT", error);
    return refuse(context, request, sqlMessage(error));
  }
  await session.giveBack();
  return COMMITTED;
}

/** Durable before it is said, and in a transaction of its own; or what has become of the branch meanwhile. */
export async function refuse(context: Context, request: PrepareRequest, detail: string): Promise<OnePhaseResult> {
  let mark: Awaited<ReturnType<typeof markRolledBack>>;
  try {
    mark = await Session.use(context.pool, (session) => markRolledBack(session, context.tables, context.participant, request));
  } catch (error) {
    throw couldNotTell(context, request.gid, `the refusal (${detail}) could not be recorded`, error);
  }
  if (mark === "committed") return COMMITTED;
  if (mark === "marked") return { kind: "refused", detail };
  throw couldNotTell(context, request.gid, "another session is running this branch", new Error(detail));
}

/** The branch has a row, or another session is about to write it. A prepare of an earlier leader may have left it prepared. */
async function standing(context: Context, request: PrepareRequest, xid: string): Promise<OnePhaseResult> {
  const { tables, participant } = context;
  try {
    return await Session.use(context.pool, async (session): Promise<OnePhaseResult> => {
      const outcome = await readOutcome(session, tables, request);
      if (outcome === "committed") return COMMITTED;
      if (outcome === "rolled-back") return { kind: "refused", detail: "the branch was rolled back before" };
      const [row] = await session.rows(participantRowSql(tables, participant));
      const { epoch } = parseParticipantRow(row);
      if (request.epoch < epoch) throw new Error(`fenced: the call is of epoch ${request.epoch}, and epoch ${epoch} was seen`);
      if (!(await isPrepared(session, xid))) throw new Error("another session is running this branch");
      // Gone: somebody else ended it, and its row tells the next call how.
      if ((await settleBranch(session, xid, "commit")) === "gone") throw new Error("another session has just ended this branch");
      return COMMITTED;
    });
  } catch (error) {
    throw couldNotTell(context, request.gid, "the branch is not free", error);
  }
}
