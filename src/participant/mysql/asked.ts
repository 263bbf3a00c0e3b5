/**
 * Branches whose work arrives with prepare: barrier first, then the statements, then XA PREPARE.
 *
 * The witness row is inserted before the work, so that of two prepares of one branch only one does the work, wherever they run; the
 * other is refused by the server's own list of branches (1440), or waits for the row, and then finds the branch prepared. Such a branch
 * always writes, and so never votes read-only: what it locked inside prepare stays locked until the decision.
 */
import { gidTimeMs } from "../../base/index.js";
import type { PrepareRequest, VoteResult } from "../contract.js";
import type { SqlStatement } from "../sql-statements.js";
import { couldNotTell, type Context } from "./context.js";
import { insertRowSql, readOutcome } from "./outcomes.js";
import { decodeMysqlPayload } from "./payload.js";
import { parseParticipantRow, participantRowSql } from "./schema.js";
import { ERRNO, errnoOf, isTemporary, Session, sqlMessage, type MysqlHeader } from "./session.js";
import { shapeOf } from "./sql-text.js";
import { beginBranch, changedForGood, CHANGED_FOR_GOOD, discardBranch, isPrepared } from "./xa.js";
import { no, prepareBranch, YES } from "./xa-prepare.js";

/** Another session has the branch, or had it. */
export class BranchTakenError extends Error {}

export async function prepareAsked(context: Context, request: PrepareRequest, xid: string): Promise<VoteResult> {
  const decoded = decodeMysqlPayload(request.payload);
  if ("problem" in decoded) {
    // Without work to do it can still be a branch that a client prepared here, or that was prepared before.
    return (await standing(context, request, xid)) ?? no(decoded.problem);
  }
  let session: Session;
  try {
    session = await Session.open(context.pool);
  } catch (error) {
    throw couldNotTell(context, request.gid, "no connection to prepare on", error);
  }
  let fence: string | undefined;
  try {
    fence = await openAsked(context, session, request, xid);
  } catch (error) {
    return conflict(context, request, xid, error);
  }
  const problem = fence ?? (await runStatements(context, session, request, xid, decoded.statements));
  if (problem !== undefined) {
    await abandon(session, xid);
    return no(problem);
  }
  return prepareBranch(context, session, request, xid, "yes");
}

/**
 * Begins, inserts the witness, then reads epoch and floor: in this order, see forget.ts. Why this work is not taken any more, if it is
 * not. Rejects, with the session ended, with the database's error, or BranchTakenError when another session has the branch.
 */
export async function openAsked(context: Context, session: Session, request: PrepareRequest, xid: string): Promise<string | undefined> {
  const { tables, participant, flavour } = context;
  try {
    await session.limit(flavour, context.lockTimeoutS, context.statementTimeoutMs);
    await beginBranch(session, xid, context.isolation);
  } catch (error) {
    // Not begun: there is nothing to roll back, and what else is open on this connection is not ours to guess about.
    session.destroy();
    throw errnoOf(error) === ERRNO.xaDuplicate ? new BranchTakenError(sqlMessage(error), { cause: error }) : error;
  }
  try {
    await session.run(insertRowSql(tables, participant, request, "committed"));
  } catch (error) {
    await abandon(session, xid);
    const errno = errnoOf(error);
    const taken = errno === ERRNO.duplicateEntry || errno === ERRNO.lockWaitTimeout || errno === ERRNO.deadlock;
    throw taken ? new BranchTakenError(sqlMessage(error), { cause: error }) : error;
  }
  try {
    const [row] = await session.rows(participantRowSql(tables, participant));
    const { epoch, floorMs } = parseParticipantRow(row);
    if (gidTimeMs(request.gid) < floorMs) return "expired: the gid is below the floor of this participant";
    if (request.epoch < epoch) return `fenced: the call is of epoch ${request.epoch}, and epoch ${epoch} was seen`;
    return undefined;
  } catch (error) {
    await abandon(session, xid);
    throw error;
  }
}

/** Runs the work; why it fails the branch, if it does. Rejects, with the session ended, when it is to be asked for again. */
export async function runStatements(
  context: Context,
  session: Session,
  request: PrepareRequest,
  xid: string,
  statements: readonly SqlStatement[],
): Promise<string | undefined> {
  try {
    for (const statement of statements) {
      if (!shapeOf(statement.sql).harmless) session.spoil();
      const problem = await run(session, statement);
      if (problem !== undefined) return await withNote(session, problem);
    }
    return (await changedForGood(session)) ? CHANGED_FOR_GOOD : undefined;
  } catch (error) {
    if (!isTemporary(error)) return withNote(session, sqlMessage(error));
    // Nothing was promised and the server rolls back: to be asked again is better than to abort for a restart of the database.
    await abandon(session, xid);
    throw couldNotTell(context, request.gid, "the work was interrupted", error);
  }
}

/** The problem, and what the roll back will not undo. After a deadlock the server takes no more questions about the branch. */
async function withNote(session: Session, problem: string): Promise<string> {
  const remains = await changedForGood(session).catch(() => false);
  return remains ? `${problem}; ${CHANGED_FOR_GOOD}` : problem;
}

/** Rolls the open branch back and gives the connection back. */
export async function abandon(session: Session, xid: string): Promise<void> {
  await discardBranch(session, xid);
  await session.giveBack();
}

/** The branch could not be begun. */
async function conflict(context: Context, request: PrepareRequest, xid: string, error: unknown): Promise<VoteResult> {
  if (!(error instanceof BranchTakenError)) {
    if (isTemporary(error)) throw couldNotTell(context, request.gid, "the branch could not be started", error);
    return no(sqlMessage(error));
  }
  const vote = await standing(context, request, xid);
  if (vote !== undefined) return vote;
  throw couldNotTell(context, request.gid, "another session is preparing this branch", error);
}

/** How the branch stands in the database; undefined: neither prepared nor settled. */
export async function standing(context: Context, request: PrepareRequest, xid: string): Promise<VoteResult | undefined> {
  try {
    return await Session.use(context.pool, async (session) => {
      if (await isPrepared(session, xid)) return YES;
      const outcome = await readOutcome(session, context.tables, request);
      if (outcome === undefined) return undefined;
      return outcome === "committed" ? YES : no("the branch was rolled back before");
    });
  } catch (error) {
    throw couldNotTell(context, request.gid, "the state of the branch could not be read", error);
  }
}

/** Runs one statement; why it fails the branch, if it does. */
async function run(session: Session, statement: SqlStatement): Promise<string | undefined> {
  const { sql, params = [], rows } = statement;
  let result: unknown;
  try {
    result = await session.execute(sql, params);
  } catch (error) {
    // The server refuses it before anything is done: the branch is still whole.
    if (errnoOf(error) === ERRNO.xaWrongState)
      return `${JSON.stringify(sql)} would end the transaction of the branch, or the branch is lost: ${sqlMessage(error)}`;
    throw error;
  }
  const affected = Array.isArray(result) ? result.length : (result as MysqlHeader).affectedRows;
  return rows === undefined || affected === rows ? undefined : `${JSON.stringify(sql)} was to affect ${rows} rows and affected ${affected}`;
}
