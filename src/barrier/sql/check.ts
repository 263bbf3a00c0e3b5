/** Whether a server keeps what it commits, and the barrier's tables are there and usable. */
import { messageOf, QuorateError } from "../../base/index.js";
import type { Dialect, SqlRunner, Tables } from "./dialect.js";

export async function checkServer(runner: SqlRunner, dialect: Dialect, tables: Tables, tableSql: string): Promise<void> {
  const problem = dialect.name === "postgres" ? await postgresProblem(runner) : await mysqlProblem(runner);
  if (problem !== undefined) refuse(problem);
  try {
    for (const table of [tables.barrier, tables.state]) await runner.run(`select 1 from ${table} where 1 = 0`);
  } catch (error) {
    if (dialect.isMissingTable(error)) refuse(`the barrier's tables are missing; call createTable() once, or run:\n${tableSql}`);
    refuse(`the barrier's tables cannot be read (${messageOf(error)}); grant select, insert, update, delete on both to this user`);
  }
}

function refuse(problem: string): never {
  throw new QuorateError("QUORATE_PARTICIPANT_SETUP", `barrier: ${problem}`);
}

async function postgresProblem(runner: SqlRunner): Promise<string | undefined> {
  const { rows } = await runner.run("select current_setting('fsync') as fsync, pg_is_in_recovery()::text as standby");
  const server = rows[0] as { readonly fsync: string; readonly standby: string };
  if (server.standby === "true") return "this server is a standby and takes no writes; connect to the primary";
  if (server.fsync !== "on") return "fsync is off, so what was answered would not survive a crash; set fsync = on and reload the server";
  return undefined;
}

async function mysqlProblem(runner: SqlRunner): Promise<string | undefined> {
  const names = ["version", "innodb_flush_log_at_trx_commit", "log_bin", "sync_binlog", "read_only", "innodb_read_only"];
  const { rows } = await runner.run(`show global variables where variable_name in ('${names.join("', '")}')`);
  const server = new Map(rows.map((row) => [String(row["Variable_name"]).toLowerCase(), String(row["Value"]).toLowerCase()]));
  const flush = server.get("innodb_flush_log_at_trx_commit");
  // MariaDB's 3 syncs as often as 1 or more often.
  if (flush !== "1" && !(flush === "3" && server.get("version")?.includes("mariadb") === true))
    return `innodb_flush_log_at_trx_commit is ${flush}, so what was answered would not survive a crash; set global innodb_flush_log_at_trx_commit = 1`;
  if (server.get("log_bin") === "on" && server.get("sync_binlog") !== "1")
    return `the binary log is on and sync_binlog is ${server.get("sync_binlog")}, so log and data may differ after a crash; set global sync_binlog = 1`;
  if (server.get("read_only") === "on" || server.get("innodb_read_only") === "on")
    return "this server is read only; connect to the primary";
  return undefined;
}
