/**
 * What a MariaDB or MySQL server must be able to do so that a vote and a commit survive a crash, read from its variables.
 */
import { QuorateError } from "../../base/index.js";
import type { Flavour } from "./context.js";
import { ERRNO, errnoOf, sqlMessage, type Session } from "./session.js";

/** MariaDB keeps prepared branches over the end of their connection since 10.5; MySQL lets other connections settle them since 8.0.29. */
const OLDEST: Readonly<Record<Flavour, readonly [number, number, number]>> = { MariaDB: [10, 5, 0], MySQL: [8, 0, 29] };

const VARIABLES = [
  ...["version", "innodb_flush_log_at_trx_commit", "innodb_read_only", "log_bin", "sync_binlog", "read_only", "super_read_only"],
  ...["autocommit", "transaction_isolation", "tx_isolation", "wsrep_on"],
] as const;
type Variable = (typeof VARIABLES)[number];
type Variables = ReadonlyMap<string, string>;

export interface ServerFacts {
  readonly flavour: Flavour;
  /** The connection's own. */
  readonly database: string | undefined;
}

/** `isolation`: of the participant's branches, if it sets one. Throws QUORATE_PARTICIPANT_SETUP. */
export async function checkServer(session: Session, participant: string, isolation: string | undefined): Promise<ServerFacts> {
  const [place] = await session.rows("select database() as db");
  const database = place?.["db"] === null || place?.["db"] === undefined ? undefined : String(place["db"]);
  const shown = await session.rows(`show session variables where variable_name in ('${VARIABLES.join("', '")}')`);
  const variables: Variables = new Map(shown.map((row) => [String(row["Variable_name"]).toLowerCase(), String(row["Value"])]));
  const flavour: Flavour = /mariadb/i.test(get(variables, "version") ?? "") ? "MariaDB" : "MySQL";
  const problem = settingsProblem(flavour, variables, isolation) ?? (await recoverProblem(session));
  if (problem !== undefined)
    throw new QuorateError("QUORATE_PARTICIPANT_SETUP", `participant "${participant}", database "${database ?? "(none)"}": ${problem}`);
  return { flavour, database };
}

/** In words that name the setting and the value needed. */
export function settingsProblem(flavour: Flavour, variables: Variables, isolation: string | undefined): string | undefined {
  const version = get(variables, "version") ?? "";
  if (isTooOld(flavour, version)) return `${flavour} ${version} is too old; ${flavour} ${OLDEST[flavour].join(".")} or newer is needed`;
  const flush = get(variables, "innodb_flush_log_at_trx_commit");
  // MariaDB's 3 syncs as often as 1 or more often.
  if (flush !== "1" && !(flavour === "MariaDB" && flush === "3"))
    return `innodb_flush_log_at_trx_commit is ${flush ?? "unknown"}, so a vote would not survive a crash; set global innodb_flush_log_at_trx_commit = 1, and in the server's configuration`;
  if (isOn(variables, "log_bin") && get(variables, "sync_binlog") !== "1")
    return `the binary log is on and sync_binlog is ${get(variables, "sync_binlog") ?? "unknown"}, so log and data may differ after a crash; set global sync_binlog = 1, and in the server's configuration`;
  for (const name of ["read_only", "super_read_only", "innodb_read_only"] as const)
    if (isOn(variables, name)) return `${name} is on: this server takes no writes; connect to the primary, or set ${name} = off`;
  if (isOn(variables, "wsrep_on")) return "wsrep_on is on: a Galera cluster has no XA transactions; use a server outside of it";
  if (!isOn(variables, "autocommit")) return "autocommit is off on the pool's connections; the adapter needs its default, on";
  const level = get(variables, "transaction_isolation") ?? get(variables, "tx_isolation");
  if (isolation === undefined && level?.toLowerCase() === "serializable")
    return `the connections' default isolation is SERIALIZABLE, in which a branch would lock the participant's own row until its decision; pass isolation: "repeatable read", and read with "for update" what must not change`;
  return undefined;
}

async function recoverProblem(session: Session): Promise<string | undefined> {
  try {
    await session.rows("xa recover");
    return undefined;
  } catch (error) {
    const errno = errnoOf(error);
    // 1401 is what MySQL answers to XA RECOVER without the right.
    if (errno !== ERRNO.specificAccessDenied && errno !== 1401) throw error;
    return `this user may not list prepared branches (${sqlMessage(error)}); grant XA_RECOVER_ADMIN on *.* to <this user>`;
  }
}

function get(variables: Variables, name: Variable): string | undefined {
  return variables.get(name);
}

function isOn(variables: Variables, name: Variable): boolean {
  return /^(on|1|yes)$/i.test(get(variables, name) ?? "");
}

function isTooOld(flavour: Flavour, version: string): boolean {
  const parts =
    /(\d+)\.(\d+)\.(\d+)(?=[^\d]|$)/
      .exec(version.replace(/^5\.5\.5-/, ""))
      ?.slice(1)
      .map(Number) ?? [];
  for (const [i, least] of OLDEST[flavour].entries()) {
    const have = parts[i] ?? 0;
    if (have !== least) return have < least;
  }
  return false;
}
