/**
 * What the database knows of one branch, and the barrier between preparing it and rolling it back.
 *
 * A branch is prepared only together with its witness row, a roll back leaves a mark row, and both have the same key: whichever is
 * inserted first decides, and the other insert waits for it and then fails. So a late prepare after a roll back is refused, and XAER_NOTA
 * on a repeated commit is told apart by the row: committed before, rolled back before, or lost.
 */
import { gidTimeMs } from "../../base/index.js";
import type { BranchRef } from "../contract.js";
import type { Tables } from "./schema.js";
import { ERRNO, errnoOf, Session, type MysqlPromisePool } from "./session.js";

export type RowOutcome = "committed" | "rolled-back";

/** How long a mark waits for a session that is preparing the same branch right now, s: the least the server counts in. */
const BARRIER_WAIT_S = 1;

/** The insert of a branch's row, all literals: gid, branch and participant are of strict alphabets (checked before). */
export function insertRowSql(tables: Tables, participant: string, ref: BranchRef, outcome: RowOutcome): string {
  return (
    `insert into ${tables.outcomes} (gid_ms, gid, branch, participant, outcome) ` +
    `values (${gidTimeMs(ref.gid)}, '${ref.gid}', '${ref.branch}', '${participant}', '${outcome}')`
  );
}

export async function readOutcome(session: Session, tables: Tables, ref: BranchRef): Promise<RowOutcome | undefined> {
  const [row] = await session.rows(
    `select outcome from ${tables.outcomes} where gid_ms = ${gidTimeMs(ref.gid)} and gid = '${ref.gid}' and branch = '${ref.branch}'`,
  );
  return row === undefined ? undefined : String(row["outcome"]) === "committed" ? "committed" : "rolled-back";
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
    await session.withLockWait(BARRIER_WAIT_S, () => session.runCommitted(insertRowSql(tables, participant, ref, "rolled-back")));
    return "marked";
  } catch (error) {
    switch (errnoOf(error)) {
      case ERRNO.duplicateEntry:
        return (await readOutcome(session, tables, ref)) === "committed" ? "committed" : "marked";
      case ERRNO.lockWaitTimeout:
      case ERRNO.deadlock:
        return "busy";
      default:
        throw error;
    }
  }
}

/** The highest epoch a prepare carried, kept for all instances of the participant. */
export async function raiseEpoch(pool: MysqlPromisePool, tables: Tables, participant: string, epoch: number): Promise<void> {
  await Session.use(pool, (session) =>
    session.runCommitted(`update ${tables.participants} set epoch = ${epoch} where participant = '${participant}' and epoch < ${epoch}`),
  );
}
