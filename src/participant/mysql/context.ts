/** What every part of the adapter needs to know of the participant it works for. Fixed when `start` has ended. */
import { QuorateError, type Gid } from "../../base/index.js";
import type { Tables } from "./schema.js";
import { sqlMessage, type MysqlPromisePool } from "./session.js";
import type { XidScope } from "./xid.js";

export type Isolation = "read committed" | "repeatable read";
export type Flavour = "MariaDB" | "MySQL";

export interface Context {
  readonly participant: string;
  readonly pool: MysqlPromisePool;
  readonly tables: Tables;
  readonly flavour: Flavour;
  /** What the ids of this participant's branches in this cluster hold. */
  readonly scope: XidScope;
  /** undefined: the connection's default. */
  readonly isolation: Isolation | undefined;
  /** Whole seconds. */
  readonly lockTimeoutS: number;
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
