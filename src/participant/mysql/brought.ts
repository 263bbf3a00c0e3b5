/**
 * Branches whose work a client runs itself: an XA branch on a connection of the user's pool, from begin to prepare or rollback.
 *
 * The handle runs whatever the user wants. What it must not do is end the transaction; the server refuses that inside a branch, and its
 * answers show most of the time that it was not tried. Otherwise prepare ends and resumes the branch, which fails unless the branch is
 * still the open one, before the witness is inserted: outside of it the witness would be committed by itself.
 */
import { gidTimeMs, QuorateError } from "../../base/index.js";
import type { BranchRef, BroughtBranch, VoteResult } from "../contract.js";
import { couldNotTell, type Context } from "./context.js";
import { insertRowSql } from "./outcomes.js";
import { ERRNO, errnoOf, isConnectionLoss, Session, sqlMessage, type MysqlHeader, type MysqlQueryOptions } from "./session.js";
import { shapeOf } from "./sql-text.js";
import { beginBranch, changedForGood, CHANGED_FOR_GOOD, discardBranch, settleBranch } from "./xa.js";
import { no, prepareBranch } from "./xa-prepare.js";

/** What the user's function works with: `query` and `execute` of `mysql2/promise`, inside the branch. */
export interface MysqlHandle {
  query<Result = unknown>(sql: string | MysqlQueryOptions, values?: unknown): Promise<[Result, unknown]>;
  execute<Result = unknown>(sql: string | MysqlQueryOptions, values?: unknown): Promise<[Result, unknown]>;
}

type State = "open" | "preparing" | "prepared" | "ended";

export async function beginBrought(
  context: Context,
  ref: BranchRef,
  xid: string,
  floorMs: () => number,
): Promise<BroughtBranch<MysqlHandle>> {
  let session: Session | undefined;
  try {
    session = await Session.open(context.pool);
    await beginBranch(session, xid, context.isolation);
    return new MysqlBranch(context, session, ref, xid, floorMs);
  } catch (error) {
    session?.destroy();
    const taken = errnoOf(error) === ERRNO.xaDuplicate;
    throw couldNotTell(context, ref.gid, taken ? "another connection has this branch" : "the branch could not be started", error);
  }
}

class MysqlBranch implements BroughtBranch<MysqlHandle> {
  readonly handle: MysqlHandle;
  readonly #context: Context;
  readonly #session: Session;
  readonly #ref: BranchRef;
  readonly #xid: string;
  readonly #floorMs: () => number;
  #state: State = "open";
  #vote: Promise<VoteResult> | undefined;
  #ending: Promise<void> | undefined;
  /** A command that was refused here: the function wanted something else than a branch. */
  #refused: string | undefined;
  /** Sent and not answered yet. */
  readonly #underway = new Set<Promise<unknown>>();
  /** Some statement is known to have written. */
  #wrote = false;
  /** Every statement is known to have left transaction and connection as they were. */
  #certain = true;
  /** Rows that this connection has ever written, before the first statement that might only read; undefined: not asked for. */
  #before: Promise<number | undefined> | undefined;
  #first = true;

  constructor(context: Context, session: Session, ref: BranchRef, xid: string, floorMs: () => number) {
    this.#context = context;
    this.#session = session;
    this.#ref = ref;
    this.#xid = xid;
    this.#floorMs = floorMs;
    this.handle = {
      query: (sql, values) => this.#query("query", sql, values),
      execute: (sql, values) => this.#query("execute", sql, values),
    };
  }

  prepare(): Promise<VoteResult> {
    if (this.#ending !== undefined) return Promise.resolve(no("the branch was rolled back"));
    return (this.#vote ??= this.#prepare());
  }

  rollback(): Promise<void> {
    return (this.#ending ??= this.#rollback());
  }

  async #query<Result>(method: "query" | "execute", sql: string | MysqlQueryOptions, values: unknown): Promise<[Result, unknown]> {
    if (this.#state !== "open")
      throw new QuorateError(
        "QUORATE_WRONG_STATE",
        `the database handle of branch "${this.#ref.branch}" was used after its transaction ended; await every query inside the function`,
        { gid: this.#ref.gid },
      );
    const text = typeof sql === "string" ? sql : sql.sql;
    const shape = shapeOf(text);
    if (shape.control !== undefined) {
      this.#refused ??= shape.control;
      throw new QuorateError(
        "QUORATE_WRONG_STATE",
        `${shape.control} is not allowed inside a branch: its transaction is begun and ended for it; the branch will vote no`,
        { gid: this.#ref.gid },
      );
    }
    if (this.#first && !shape.writing) this.#before = rowsWritten(this.#session).catch(() => undefined);
    this.#first = false;
    if (!shape.harmless) {
      this.#certain = false;
      // Somebody else shall not get a connection on which a SET, a CALL or the like ran.
      this.#session.spoil();
    }
    const query = this.#session.passOn(method, sql, values);
    this.#underway.add(query);
    try {
      const result = await query;
      const { affectedRows } = result[0] as Partial<MysqlHeader>;
      if (shape.writing && (affectedRows ?? 0) > 0) this.#wrote = true;
      return result as [Result, unknown];
    } finally {
      this.#underway.delete(query);
    }
  }

  async #prepare(): Promise<VoteResult> {
    const { participant, tables } = this.#context;
    this.#state = "preparing";
    let end: VoteResult | "read-only" | undefined;
    try {
      end = await this.#look();
      if (end === "read-only") return await this.#endReadOnly();
      // Waits at most for a mark that is being written, and then fails.
      if (end === undefined) await this.#session.run(insertRowSql(tables, participant, this.#ref, "committed"));
    } catch (error) {
      // Nothing was sent that could have prepared it.
      end = no(errnoOf(error) === ERRNO.duplicateEntry ? "the branch was rolled back before" : sqlMessage(error));
    }
    if (end !== undefined) {
      this.#state = "ended";
      await this.#discard();
      return end as VoteResult;
    }
    const vote = await prepareBranch(this.#context, this.#session, this.#ref, this.#xid, "cannot-tell");
    this.#state = vote.vote === "yes" ? "prepared" : "ended";
    return vote;
  }

  /** How the branch must end other than by XA PREPARE; undefined: it is to be prepared. */
  async #look(): Promise<VoteResult | "read-only" | undefined> {
    // A client's own begin is never a late duplicate: the floor as this process knows it will do.
    if (gidTimeMs(this.#ref.gid) < this.#floorMs()) return no("expired: the gid is below the floor of this participant");
    await this.#settled();
    if (this.#refused !== undefined) return no(`${this.#refused} was tried inside the branch, whose transaction is begun and ended for it`);
    if (!this.#certain) {
      try {
        await this.#session.run(`xa end ${this.#xid}`);
        await this.#session.run(`xa start ${this.#xid} resume`);
      } catch (error) {
        return no(
          `the branch is no longer the open one on its connection: rolled back by the server, or ended by a statement of the function; ` +
            `what was committed there is not undone: ${sqlMessage(error)}`,
        );
      }
    }
    if (await changedForGood(this.#session)) return no(CHANGED_FOR_GOOD);
    return (await this.#isReadOnly()) ? "read-only" : undefined;
  }

  /** Proven by the server's own count of rows written, not guessed from the statements: functions and triggers write too. */
  async #isReadOnly(): Promise<boolean> {
    if (this.#wrote) return false;
    if (this.#first) return true;
    if (this.#before === undefined) return false;
    return (await this.#before) === (await rowsWritten(this.#session));
  }

  /** Queries that were not awaited belong to the branch too. */
  async #settled(): Promise<void> {
    while (this.#underway.size > 0) await Promise.allSettled(this.#underway);
  }

  /** Nothing was written: there is nothing to prepare. */
  async #endReadOnly(): Promise<VoteResult> {
    this.#state = "ended";
    await this.#session.run(`xa end ${this.#xid}`);
    await this.#session.run(`xa commit ${this.#xid} one phase`);
    this.#session.release();
    return { vote: "read-only", detail: "" };
  }

  async #discard(): Promise<void> {
    await discardBranch(this.#session, this.#xid);
    this.#session.release();
  }

  async #rollback(): Promise<void> {
    // A prepare under way has to end first; what it finds decides what there is to roll back.
    if (this.#vote !== undefined) await this.#vote.catch(() => undefined);
    const state = this.#state;
    this.#state = "ended";
    switch (state) {
      case "open":
        // Queries that were not awaited are answered first: the connection takes one after the other.
        return this.#discard();
      case "ended":
        return;
      case "prepared":
        await rollbackPrepared(this.#context, this.#ref, this.#xid);
        return;
      case "preparing":
        // In doubt. What is prepared under this name may be the work of another client with the same gid, and may be about to be
        // committed: the cluster is told of the abort, and answers when the branch is found.
        return;
    }
  }
}

/** All rows the connection wrote or tried to write, in whatever way, since it was made. */
async function rowsWritten(session: Session): Promise<number> {
  const rows = await session.rows("show session status where variable_name in ('Handler_write', 'Handler_update', 'Handler_delete')");
  return rows.reduce((sum, row) => sum + Number(row["Value"]), 0);
}

/** Rolls a prepared branch back from any connection. True: it was there. */
export async function rollbackPrepared(context: Context, ref: BranchRef, xid: string): Promise<boolean> {
  try {
    return (await Session.use(context.pool, (session) => settleBranch(session, xid, "rollback"))) === "done";
  } catch (error) {
    throw couldNotTell(
      context,
      ref.gid,
      isConnectionLoss(error) ? "the connection was lost during XA ROLLBACK" : "XA ROLLBACK failed",
      error,
    );
  }
}
