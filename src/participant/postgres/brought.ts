/**
 * Branches whose work a client runs itself: a transaction on a connection of the user's pool, from begin to prepare or rollback.
 *
 * The handle runs whatever the user wants. What it must not do is end the transaction: the transaction carries the branch's name in
 * a setting that ends with it, and prepare looks whether it is still there.
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

export async function beginBrought(context: Context, ref: BranchRef, xid: string): Promise<BroughtBranch<PostgresHandle>> {
  let session: Session | undefined;
  try {
    session = await Session.open(context.pool);
    await session.run(beginSql(context, xid));
    return new PostgresBranch(context, session, ref, xid);
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
  #state: State = "open";
  #vote: Promise<VoteResult> | undefined;
  #ending: Promise<void> | undefined;
  /** The first statement that failed: later ones only say that the transaction is aborted. */
  #firstFailure: string | undefined;

  constructor(context: Context, session: Session, ref: BranchRef, xid: string) {
    this.#context = context;
    this.#session = session;
    this.#ref = ref;
    this.#xid = xid;
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
    try {
      return (await this.#session.query(text, values === undefined ? undefined : [...values])) as PgQueryResult<Row>;
    } catch (error) {
      this.#firstFailure ??= sqlMessage(error);
      throw error;
    }
  }

  async #prepare(): Promise<VoteResult> {
    const { participant, tables, lockTimeoutMs } = this.#context;
    this.#state = "preparing";
    let refusal: VoteResult | "read-only" | undefined;
    try {
      refusal = await this.#inspect();
    } catch (error) {
      refusal = no(
        sqlStateOf(error) === SQLSTATE.inFailedTransaction ? `a statement failed: ${this.#firstFailure ?? ""}` : sqlMessage(error),
      );
    }
    if (refusal === "read-only") return this.#endReadOnly();
    if (refusal !== undefined) {
      this.#state = "ended";
      await this.#session.rollback();
      return refusal;
    }
    const vote = await prepareTransaction(
      this.#context,
      this.#session,
      this.#ref,
      this.#xid,
      `set local lock_timeout = ${lockTimeoutMs}; ${insertRowSql(tables, participant, this.#ref, "committed")}; prepare transaction '${this.#xid}'`,
    );
    this.#state = vote.vote === "yes" ? "prepared" : "ended";
    return vote;
  }

  /** Whether this is still the branch's transaction, and whether it wrote. Only a transaction that wrote has an id. */
  async #inspect(): Promise<VoteResult | "read-only" | undefined> {
    const { tables, participant } = this.#context;
    const { rows } = await this.#session.query(
      `select pg_current_xact_id_if_assigned() is null as "readOnly", current_setting('quorate.branch', true) as branch, ` +
        `(select floor_ms::text from ${tables.participants} where participant = '${participant}') as "floorMs"`,
    );
    const { readOnly, branch, floorMs } = rows[0] as { readOnly: boolean; branch: string | null; floorMs: string | null };
    if (branch !== this.#xid)
      return no("the transaction was ended inside the branch, by COMMIT or ROLLBACK on its handle; what was committed there is not undone");
    if (gidTimeMs(this.#ref.gid) < Number(floorMs ?? 0)) return no("expired: the gid is below the floor of this participant");
    return readOnly ? "read-only" : undefined;
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
      default:
        // Prepared; or it ended in doubt, and then it may be.
        await rollbackPrepared(this.#context, this.#ref, this.#xid);
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
