/**
 * A branch that alone decides its transaction: barrier, statements, COMMIT. Nothing is prepared.
 *
 * The witness row commits with the work, so it is there exactly when the work is; a refusal is the mark of a roll back, under the same
 * key. Whichever is inserted first decides for ever. So an answer that was lost, a crash in between and a second call at the same time
 * need no other care: the next call waits for the row, or finds it.
 */
import type { OnePhaseResult, PrepareRequest } from "../contract.js";
import { isAboutWitness, openAsked, runStatements } from "./asked.js";
import { couldNotTell, type Context } from "./context.js";
import { isPrepared, markRolledBack, readOutcome } from "./outcomes.js";
import { decodePostgresPayload } from "./payload.js";
import { participantRowSql, parseParticipantRow } from "./schema.js";
import { isTemporary, Session, sqlMessage, SQLSTATE, sqlStateOf } from "./session.js";

const COMMITTED: OnePhaseResult = { kind: "committed" };

export async function commitAsked(context: Context, request: PrepareRequest, xid: string): Promise<OnePhaseResult> {
  const decoded = decodePostgresPayload(request.payload);
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
    await session.rollback();
    if (isAboutWitness(error)) return standing(context, request, xid);
    if (isTemporary(error)) throw couldNotTell(context, request.gid, "the branch could not be started", error);
    return refuse(context, request, sqlMessage(error));
  }
  if (fence !== undefined) {
    await session.rollback();
    throw couldNotTell(context, request.gid, "the work is not taken", new Error(fence));
  }
  const problem = "problem" in decoded ? decoded.problem : await runStatements(context, session, request, decoded.statements);
  if (problem !== undefined) {
    await session.rollback();
    return refuse(context, request, problem);
  }
  return commit(context, session, request);
}

async function commit(context: Context, session: Session, request: PrepareRequest): Promise<OnePhaseResult> {
  let command: string | undefined;
  try {
    // Durability: waited for whatever the role's default; PREPARE TRANSACTION would be by itself, COMMIT is not.
    const results = await session.run("set local synchronous_commit = on; commit");
    command = results.at(-1)?.command;
  } catch (error) {
    await session.rollback();
    // Whether it took effect the witness row tells the next call.
    if (isTemporary(error)) throw couldNotTell(context, request.gid, "the connection was lost during COMMIT", error);
    return refuse(context, request, sqlMessage(error));
  }
  // COMMIT in a transaction that has failed is no error: the server rolls back and says so in the tag.
  if (command === "COMMIT") {
    session.release();
    return COMMITTED;
  }
  await session.rollback();
  return refuse(context, request, `the transaction had failed; the server answered COMMIT with ${command ?? "nothing"}`);
}

/** Durable before it is said, and in a transaction of its own; or what has become of the branch meanwhile. */
async function refuse(context: Context, request: PrepareRequest, detail: string): Promise<OnePhaseResult> {
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
      const [row] = await session.run(participantRowSql(tables, participant));
      const { epoch } = parseParticipantRow(row?.rows[0]);
      if (request.epoch < epoch) throw new Error(`fenced: the call is of epoch ${request.epoch}, and epoch ${epoch} was seen`);
      if (!(await isPrepared(session, xid))) throw new Error("another session is running this branch");
      try {
        await session.query(`commit prepared '${xid}'`);
        return COMMITTED;
      } catch (error) {
        // Somebody else ended it: its row tells the next call how.
        throw sqlStateOf(error) === SQLSTATE.undefinedObject ? new Error("another session has just ended this branch") : error;
      }
    });
  } catch (error) {
    throw couldNotTell(context, request.gid, "the branch is not free", error);
  }
}
