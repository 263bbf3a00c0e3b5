/**
 * Branches whose work arrives with prepare: barrier first, then the statements, then PREPARE TRANSACTION.
 *
 * The witness row is inserted before the work, so that of two prepares of one branch only one does the work, wherever they run; the
 * other waits for it and then finds the branch prepared. Such a branch always writes, and so never votes read-only: what it read
 * inside PREPARE stays protected until the decision.
 */
import type { PrepareRequest, VoteResult } from "../contract.js";
import { beginSql, couldNotTell, type Context } from "./context.js";
import { insertRowSql, isPrepared, readOutcome } from "./outcomes.js";
import { decodePostgresPayload, type SqlStatement } from "./payload.js";
import { constraintTable, no, prepareTransaction, YES } from "./prepare-transaction.js";
import { participantRowSql, parseParticipantRow } from "./schema.js";
import { isTemporary, Session, sqlMessage, SQLSTATE, sqlStateOf } from "./session.js";
import { gidTimeMs } from "../../base/index.js";

/** How long a prepare waits for the row of another prepare of the same branch before it looks whether that one is done, ms. */
const WITNESS_WAIT_MS = 250;

export async function prepareAsked(context: Context, request: PrepareRequest, xid: string): Promise<VoteResult> {
  const decoded = decodePostgresPayload(request.payload);
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
    await session.rollback();
    return conflict(context, request, xid, error);
  }
  const problem = fence ?? (await runStatements(context, session, request, decoded.statements));
  if (problem !== undefined) {
    await session.rollback();
    return no(problem);
  }
  return prepareTransaction(context, session, request, xid, `prepare transaction '${xid}'`, "yes");
}

/** Runs the work; why it fails the branch, if it does. Rejects, with the session rolled back, when it is to be asked for again. */
export async function runStatements(
  context: Context,
  session: Session,
  request: PrepareRequest,
  statements: readonly SqlStatement[],
): Promise<string | undefined> {
  try {
    for (const statement of statements) {
      const problem = await run(session, statement);
      if (problem !== undefined) return problem;
    }
    return undefined;
  } catch (error) {
    if (!isTemporary(error)) return sqlMessage(error);
    // Nothing was promised and the server has rolled back: to be asked again is better than to abort for a restart of the database.
    await session.rollback();
    throw couldNotTell(context, request.gid, "the work was interrupted", error);
  }
}

/**
 * Begins, inserts the witness, then reads epoch and floor: in this order, see forget.ts. Why this work is not taken any more, if it is
 * not. Rejects with the database's error, for one when the witness is there already.
 */
export async function openAsked(context: Context, session: Session, request: PrepareRequest, xid: string): Promise<string | undefined> {
  const { tables, participant } = context;
  const results = await session.run(
    `${beginSql(context, xid)}; set local lock_timeout = ${WITNESS_WAIT_MS}; set local statement_timeout = ${context.statementTimeoutMs}; ` +
      `${insertRowSql(tables, participant, request, "committed")}; ${participantRowSql(tables, participant)}; ` +
      `set local lock_timeout = ${context.lockTimeoutMs}`,
  );
  const { epoch, floorMs } = parseParticipantRow(results.at(-2)?.rows[0]);
  if (gidTimeMs(request.gid) < floorMs) return "expired: the gid is below the floor of this participant";
  if (request.epoch < epoch) return `fenced: the call is of epoch ${request.epoch}, and epoch ${epoch} was seen`;
  return undefined;
}

/** The witness could not be inserted, or nothing could. */
async function conflict(context: Context, request: PrepareRequest, xid: string, error: unknown): Promise<VoteResult> {
  if (!isAboutWitness(error)) {
    if (isTemporary(error)) throw couldNotTell(context, request.gid, "the branch could not be started", error);
    return no(sqlMessage(error));
  }
  const vote = await standing(context, request, xid);
  if (vote !== undefined) return vote;
  throw couldNotTell(context, request.gid, "another session is preparing this branch", error);
}

/** Another session has inserted the branch's row, or is about to. */
export function isAboutWitness(error: unknown): boolean {
  const state = sqlStateOf(error);
  if (state === SQLSTATE.lockNotAvailable) return true;
  return state === SQLSTATE.uniqueViolation && constraintTable(error) === "quorate_outcomes";
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
  const result = await session.query({ text: sql, values: [...params], queryMode: "extended" });
  if (rows === undefined || result.rowCount === rows) return undefined;
  return `${JSON.stringify(sql)} was to affect ${rows} rows and affected ${result.rowCount ?? 0}`;
}
