/**
 * XA statements: beginning, preparing and settling a branch, and what the server's answers mean.
 *
 * A prepared branch belongs to the connection that prepared it until the server has noticed that connection's end; so long every other
 * connection is answered XAER_NOTA (1397), the same as for a branch that does not exist. XA RECOVER tells them apart: it lists the branch
 * as long as it is not settled, also while another connection is settling it.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Isolation } from "./context.js";
import { ERRNO, errnoOf, type Session } from "./session.js";
import { rawXid, type RawXid } from "./xid.js";

/** Waits between two tries to settle a branch that is not free yet, ms; together about half a second, then the caller asks again. */
const FREE_WAITS_MS = [1, 2, 4, 8, 16, 32, 64, 128, 256];

export class BranchHeldError extends Error {}

export async function beginBranch(session: Session, xid: string, isolation: Isolation | undefined): Promise<void> {
  if (isolation !== undefined) await session.run(`set transaction isolation level ${isolation}`);
  await session.run(`xa start ${xid}`);
}

/** Ends and rolls back the branch that is open on this connection; one that cannot do that is closed, which has the same effect. */
export async function discardBranch(session: Session, xid: string): Promise<void> {
  try {
    await session.run(`xa end ${xid}`);
  } catch {
    // After a deadlock the branch is ended already; if the connection is lost, so is the next statement.
  }
  try {
    await session.run(`xa rollback ${xid}`);
  } catch {
    session.destroy();
  }
}

/**
 * Commits or rolls back a prepared branch from any connection. "gone": there is no such branch, and nobody is settling it any more, so
 * its row is final. Throws BranchHeldError while the connection that prepared it is not gone.
 */
export async function settleBranch(session: Session, xid: string, verb: "commit" | "rollback"): Promise<"done" | "gone"> {
  for (const wait of [...FREE_WAITS_MS, undefined]) {
    try {
      await session.run(`xa ${verb} ${xid}`);
      return "done";
    } catch (error) {
      const errno = errnoOf(error);
      // The server had rolled the branch back by itself.
      if (errno === ERRNO.xaRolledBack || errno === ERRNO.xaRolledBackDeadlock || errno === ERRNO.xaRolledBackTimeout) return "gone";
      if (errno !== ERRNO.xaUnknown) throw error;
    }
    if (!(await isPrepared(session, xid))) return "gone";
    if (wait !== undefined) await delay(wait);
  }
  throw new BranchHeldError("the connection that prepared the branch still holds it; the server frees it when that connection has ended");
}

export async function isPrepared(session: Session, xid: string): Promise<boolean> {
  return (await recover(session)).some((raw) => literalOf(raw) === xid);
}

/** Every prepared branch of the server, of whatever owner. */
export async function recover(session: Session): Promise<readonly RawXid[]> {
  return (await session.rows("xa recover")).flatMap((row) => rawXid(row) ?? []);
}

/** As in XA statements. Only for comparison: a foreign id may hold anything. */
export function literalOf(raw: RawXid): string {
  return `'${raw.gtrid.toString("latin1")}','${raw.bqual.toString("latin1")}',${raw.format}`;
}

/**
 * Whether this transaction changed what cannot be rolled back: a table of an engine without transactions, or a temporary table. Going back
 * to a savepoint that was set just now undoes nothing, and the server warns (1196) exactly then. An engine that has transactions of its own
 * and cannot go back to a savepoint (Aria) refuses to set one. The connection is not given back then: its temporary tables are still there.
 */
export async function changedForGood(session: Session): Promise<boolean> {
  const changed = await warnsOfChange(session);
  if (changed) session.spoil();
  return changed;
}

async function warnsOfChange(session: Session): Promise<boolean> {
  try {
    await session.run("savepoint quorate_check");
  } catch (error) {
    if (errnoOf(error) === ERRNO.noSavepoints) return true;
    throw error;
  }
  const { warningStatus } = await session.run("rollback to savepoint quorate_check");
  if (warningStatus === 0) return false;
  const warnings = await session.rows("show warnings");
  return warnings.some((row) => Number(row["Code"]) === ERRNO.nonTransactionalWarning);
}

export const CHANGED_FOR_GOOD =
  "the branch used a table whose engine cannot roll back with it (MyISAM, Aria, MEMORY and others), or made or dropped a temporary table; " +
  "what it changed there is not undone: use InnoDB tables";
