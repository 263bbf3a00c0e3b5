/**
 * What the database knows of one branch, and the barrier between preparing it and rolling it back.
 *
 * A branch is prepared only together with its witness row, a roll back leaves a mark row, and both have the same key: whichever is
 * inserted first decides, and the other insert waits for it and then fails. So a late prepare after a roll back is refused, and "no
 * such prepared transaction" on a repeated commit is told apart by the row: committed before, rolled back before, or lost.
 */
import { gidTimeMs } from "../../base/index.js";
import type { BranchRef } from "../contract.js";
import { Session, SQLSTATE, sqlStateOf, type PgPool } from "./session.js";
import type { Tables } from "./schema.js";

export type RowOutcome = "committed" | "rolled-back";

/** How long a mark waits for a session that is preparing the same branch right now, ms. The caller asks again. */
const BARRIER_WAIT_MS = 500;

/** The insert of a branch's row, all literals: gid, branch and participant are of strict alphabets (xid.ts checks them). */
export function insertRowSql(tables: Tables, participant: string, ref: BranchRef, outcome: RowOutcome): string {
  return (
    `insert into ${tables.outcomes} (gid_ms, gid, branch, participant, outcome) ` +
    `values (${gidTimeMs(ref.gid)}, '${ref.gid}', '${ref.branch}', '${participant}', '${outcome}')`
  );
}

export async function readOutcome(session: Session, tables: Tables, ref: BranchRef): Promise<RowOutcome | undefined> {
  const { rows } = await session
    .run(`select outcome from ${tables.outcomes} where gid_ms = ${gidTimeMs(ref.gid)} and gid = '${ref.gid}' and branch = '${ref.branch}'`)
    .then(([result]) => result as { rows: unknown[] });
  return (rows[0] as { readonly outcome: RowOutcome } | undefined)?.outcome;
}

export async function isPrepared(session: Session, xid: string): Promise<boolean> {
  const { rows } = await session.query("select 1 from pg_prepared_xacts where gid = $1", [xid]);
  return rows.length > 0;
}

/**
 * Leaves the mark of a roll back, durably. "marked" also when it was there; "committed" when the witness is there instead; "busy"
 * when a session holds the branch open at this moment, prepared or about to be.
 */
export async function markRolledBack(
  session: Session,
  tables: Tables,
  participant: string,
  ref: BranchRef,
): Promise<"marked" | "committed" | "busy"> {
  try {
    // One text is one transaction. Durability: whatever the role's default, this commit is waited for.
    await session.run(
      `set local lock_timeout = ${BARRIER_WAIT_MS}; set local synchronous_commit = on; ${insertRowSql(tables, participant, ref, "rolled-back")}`,
    );
    return "marked";
  } catch (error) {
    switch (sqlStateOf(error)) {
      case SQLSTATE.uniqueViolation:
        return (await readOutcome(session, tables, ref)) === "committed" ? "committed" : "marked";
      case SQLSTATE.lockNotAvailable:
        return "busy";
      default:
        throw error;
    }
  }
}

/** The highest epoch a prepare carried, kept for all instances of the participant. */
export async function raiseEpoch(pool: PgPool, tables: Tables, participant: string, epoch: number): Promise<void> {
  await Session.use(pool, (session) =>
    session.run(`update ${tables.participants} set epoch = ${epoch} where participant = '${participant}' and epoch < ${epoch}`),
  );
}
