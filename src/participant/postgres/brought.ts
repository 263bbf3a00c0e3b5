/**
 * Branches whose work a client runs itself: a transaction on a connection of the user's pool, from begin to prepare or rollback.
 *
 * The handle runs whatever the user wants. What it must not do is end the transaction. The answers of the statements tell most of the
 * time that it did not, and that it wrote: then the witness and PREPARE TRANSACTION go out at once. Otherwise prepare asks the server
 * first, at the price of one more round trip: the transaction carries the branch's name in a setting that ends with it.
 */
import { gidTimeMs, QuorateError } from "../../base/index.js";
import type { BranchRef, BroughtBranch, VoteResult } from "../contract.js";
import { beginSql, couldNotTell, type Context } from "./context.js";
import { insertRowSql } from "./outcomes.js";
import { no, prepareTransaction } from "./prepare-transaction.js";
import { isConnectionLoss, Session, sqlMessage, SQLSTATE, sqlStateOf, type PgQueryConfig, type PgQueryResult } from "./session.js";

/** What the user's function works with: `query` of the `pg` package, inside the branch's transaction. */
export interface PostgresHandle {
  query<Row = Record<string, unknown>>(text: string | PgQueryConfig, values?: readonly unknown[]): Promise<PgQueryResult<Row>>;
}

type State = "open" | "preparing" | "prepared" | "ended";

/** First words of command tags that leave the transaction as it is. Of any other, also of ROLLBACK TO a savepoint, the server is asked. */
const HARMLESS = new Set(["SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "SAVEPOINT", "RELEASE", "SET"]);
/** Of these, the ones that have written when they affected rows. */
const WRITING = new Set(["INSERT", "UPDATE", "DELETE", "MERGE"]);

export async function beginBrought(
  context: Context,
  ref: BranchRef,
  xid: string,
  floorMs: () => number,
): Promise<BroughtBranch<PostgresHandle>> {
  let session: Session | undefined;
  try {
    session = await Session.open(context.pool);
    await session.run(beginSql(context, xid));
    return new PostgresBranch(context, session, ref, xid, floorMs);
  } catch (error) {
    await session?.rollback();
    throw couldNotTell(context, ref.gid, "the branch could not be started", error);
  }
}

class PostgresBranch implements BroughtBranch<PostgresHandle> {
  readonly handle: PostgresHandle;
  readonly #context: Context;
  readonly #session: Session;
  readonly #ref: BranchRef;
  readonly #xid: string;
  readonly #floorMs: () => number;
  #state: State = "open";
  #vote: Promise<VoteResult> | undefined;
  #ending: Promise<void> | undefined;
  /** The first statement that failed: later ones only say that the transaction is aborted. */
  #firstFailure: string | undefined;
  /** Sent and not answered yet. */
  readonly #underway = new Set<Promise<unknown>>();
  /** Some statement is known to have written, so the transaction has an id. */
  #wrote = false;
  /** Every statement is known to have left the transaction open. */
  #certain = true;

  constructor(context: Context, session: Session, ref: BranchRef, xid: string, floorMs: () => number) {
    this.#context = context;
    this.#session = session;
    this.#ref = ref;
    this.#xid = xid;
    this.#floorMs = floorMs;
    this.handle = { query: (text, values) => this.#query(text, values) };
  }

  prepare(): Promise<VoteResult> {
    if (this.#ending !== undefined) return Promise.resolve(no("the branch was rolled back"));
    return (this.#vote ??= this.#prepare());
  }

  rollback(): Promise<void> {
    return (this.#ending ??= this.#rollback());
  }

  async #query<Row>(text: string | PgQueryConfig, values: readonly unknown[] | undefined): Promise<PgQueryResult<Row>> {
    if (this.#state !== "open")
      throw new QuorateError(
        "QUORATE_WRONG_STATE",
        `the database handle of branch "${this.#ref.branch}" was used after its transaction ended; await every query inside the function`,
        { gid: this.#ref.gid },
      );
    const query = this.#session.query(text, values === undefined ? undefined : [...values]);
    this.#underway.add(query);
    try {
      const result = await query;
      this.#watch(result);
      return result as PgQueryResult<Row>;
    } catch (error) {
      this.#firstFailure ??= sqlMessage(error);
      this.#certain = false;
      throw error;
    } finally {
      this.#underway.delete(query);
    }
  }

  /** A text of several statements has several results. */
  #watch(result: PgQueryResult | readonly PgQueryResult[]): void {
    if (Array.isArray(result)) {
      for (const each of result as readonly PgQueryResult[]) this.#watch(each);
      return;
    }
    const { command, rowCount } = result as PgQueryResult;
    if (!HARMLESS.has(command)) this.#certain = false;
    else if (WRITING.has(command) && (rowCount ?? 0) > 0) this.#wrote = true;
  }

  async #prepare(): Promise<VoteResult> {
    const { participant, tables } = this.#context;
    this.#state = "preparing";
    const end = await this.#look();
    if (end === "read-only") return this.#endReadOnly();
    if (end !== undefined) {
      this.#state = "ended";
      await this.#session.rollback();
      return end;
    }
    // The insert waits at most for a mark that is being written, and then fails.
    const sql = `${insertRowSql(tables, participant, this.#ref, "committed")}; prepare transaction '${this.#xid}'`;
    const vote = await prepareTransaction(this.#context, this.#session, this.#ref, this.#xid, sql, "cannot-tell");
    this.#state = vote.vote === "yes" ? "prepared" : "ended";
    return vote;
  }

  /** How the branch must end other than by PREPARE TRANSACTION; undefined: it is to be prepared. */
  async #look(): Promise<VoteResult | "read-only" | undefined> {
    // A client's own begin is never a late duplicate: the floor as this process knows it will do.
    if (gidTimeMs(this.#ref.gid) < this.#floorMs()) return no("expired: the gid is below the floor of this participant");
    await this.#settled();
    if (this.#certain && this.#wrote) return undefined;
    try {
      // Only a transaction that wrote, or locked rows, has an id.
      const { rows } = await this.#session.query(
        "select pg_current_xact_id_if_assigned() is null as \"readOnly\", current_setting('quorate.branch', true) as branch",
      );
      const { readOnly, branch } = rows[0] as { readOnly: boolean; branch: string | null };
      if (branch === this.#xid) return readOnly ? "read-only" : undefined;
      return no("the transaction was ended inside the branch, by COMMIT or ROLLBACK on its handle; what was committed there is not undone");
    } catch (error) {
      const failed = sqlStateOf(error) === SQLSTATE.inFailedTransaction && this.#firstFailure !== undefined;
      return no(failed ? `a statement failed: ${this.#firstFailure}` : sqlMessage(error));
    }
  }

  /** Queries that were not awaited belong to the branch too. */
  async #settled(): Promise<void> {
    while (this.#underway.size > 0) await Promise.allSettled(this.#underway);
  }

  /** Nothing was written: there is nothing to prepare, and a plain commit tells whether what was read holds. */
  async #endReadOnly(): Promise<VoteResult> {
    this.#state = "ended";
    try {
      await this.#session.query("commit");
      return { vote: "read-only", detail: "" };
    } catch (error) {
      return no(sqlMessage(error));
    } finally {
      await this.#session.rollback();
    }
  }

  async #rollback(): Promise<void> {
    // A prepare under way has to end first; what it finds decides what there is to roll back.
    if (this.#vote !== undefined) await this.#vote.catch(() => undefined);
    const state = this.#state;
    this.#state = "ended";
    switch (state) {
      case "open":
        return this.#session.rollback();
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

/** Rolls a prepared branch back from any connection. True: it was there. */
export async function rollbackPrepared(context: Context, ref: BranchRef, xid: string): Promise<boolean> {
  try {
    await Session.use(context.pool, (session) => session.query(`rollback prepared '${xid}'`));
    return true;
  } catch (error) {
    if (!isConnectionLoss(error) && sqlStateOf(error) === SQLSTATE.undefinedObject) return false;
    throw couldNotTell(context, ref.gid, "ROLLBACK PREPARED failed", error);
  }
}
