/** What every part of the adapter needs to know of the participant it works for. Fixed when `start` has ended. */
import { QuorateError, type Gid } from "../../base/index.js";
import type { Tables } from "./schema.js";
import { sqlMessage, type PgPool } from "./session.js";

export type Isolation = "read committed" | "repeatable read" | "serializable";

export interface Context {
  readonly participant: string;
  readonly pool: PgPool;
  readonly tables: Tables;
  /** What the xids of this participant in this cluster begin with. */
  readonly prefix: string;
  /** undefined: the database's default. */
  readonly isolation: Isolation | undefined;
  readonly lockTimeoutMs: number;
  readonly statementTimeoutMs: number;
}

/** The error of a call that could not be carried out or whose result could not be learned: it is to be made again. */
export function couldNotTell(context: Context, gid: Gid, what: string, cause: unknown): QuorateError {
  return new QuorateError("QUORATE_PARTICIPANT", `participant "${context.participant}": ${what}: ${sqlMessage(cause)}`, {
    retry: "safe",
    gid,
    cause,
  });
}

/** `begin` with the branch's name on the transaction: as long as it is there, the branch's own transaction is the open one. */
export function beginSql(context: Context, xid: string): string {
  const isolation = context.isolation === undefined ? "" : ` isolation level ${context.isolation}`;
  return `begin${isolation}; set local quorate.branch = '${xid}'`;
}
