/**
 * `quorate xa scan`: what is prepared in a database, beside what the cluster says of it; `--fix` settles what is decided.
 */
import { nameProblem, QuorateError } from "../../base/index.js";
import type { Participant } from "../../participant/index.js";
import { EXIT, flag, outputOf, text, type Command, type CommandArgs } from "../command.js";
import { connectionOptions, withCluster } from "../connection.js";
import type { ExitCode } from "../exit-codes.js";
import { formatDuration, printResult } from "../output.js";
import { formatTable } from "../table.js";
import { openXaDatabase, type XaDatabase } from "../xa-database.js";
import { scanPrepared, type ScannedBranch } from "../xa-scan.js";

export const command: Command = {
  usage: "xa",
  summary: "a database's prepared branches beside the cluster's records",
  subcommands: [
    {
      usage: "scan",
      summary: "list them with what the cluster says; exit 1 if --fix could not settle one",
      build: (yargs) =>
        connectionOptions(yargs)
          .option("dsn", {
            type: "string",
            demandOption: true,
            describe: "postgres://user:password@host:port/database or mysql://user:password@host:port/database",
          })
          .option("participant", { alias: "p", type: "string", describe: "only this participant's branches" })
          .option("schema", { type: "string", describe: "schema, or database in MariaDB, of Quorate's tables; default: the adapter's" })
          .option("all", { type: "boolean", default: false, describe: "list foreign branches too; they are never touched" })
          .option("fix", { type: "boolean", default: false, describe: "commit or roll back what the cluster has decided" }),
      run: scan,
    },
  ],
};

async function scan(args: CommandArgs): Promise<ExitCode> {
  const participant = text(args, "participant");
  const problem = participant === undefined ? undefined : nameProblem("--participant", participant);
  if (problem !== undefined) throw new QuorateError("QUORATE_INVALID_ARGUMENT", problem);
  const database = await openXaDatabase(text(args, "dsn") ?? "");
  try {
    return await withCluster(args, { requireLeader: true }, async (quorate, timeoutMs) => {
      const { clusterId } = quorate;
      if (clusterId === undefined)
        throw new QuorateError("QUORATE_NO_QUORUM", "no quorum: no node said which cluster it belongs to", { retry: "safe" });
      const branches = await scanPrepared(await database.list(), {
        tag: database.tag(clusterId),
        participant,
        outcome: (gid) => quorate.outcome(gid, { timeoutMs }),
        open: flag(args, "fix") ? opener(database, clusterId, text(args, "schema")) : undefined,
      });
      const shown = flag(args, "all") ? branches : branches.filter((each) => each.cluster === "this");
      print(args, database, clusterId, shown, branches.length - shown.length);
      return branches.some((each) => each.done?.ok === false) ? EXIT.failed : EXIT.ok;
    });
  } finally {
    await database.close();
  }
}

/** Each participant is started once. */
function opener(database: XaDatabase, clusterId: string, schema: string | undefined): (name: string) => Promise<Participant> {
  const opened = new Map<string, Promise<Participant>>();
  const open = async (name: string): Promise<Participant> => {
    const participant = database.participant(name, schema);
    await participant.start(clusterId);
    return participant;
  };
  return (name) => {
    const known = opened.get(name) ?? open(name);
    opened.set(name, known);
    return known;
  };
}

function print(args: CommandArgs, database: XaDatabase, cluster: string, branches: readonly ScannedBranch[], hidden: number): void {
  const lines = branches.map((each) => ({
    id: each.id,
    cluster: each.cluster,
    participant: each.participant ?? null,
    gid: each.gid ?? null,
    branch: each.branch ?? null,
    ageMs: each.ageMs ?? null,
    says: each.says,
    todo: each.todo,
    why: each.why,
    done: each.done ?? null,
  }));
  printResult(outputOf(args), {
    json: { cluster, kind: database.kind, branches: lines, foreignNotListed: hidden },
    lines,
    table: () => tableOf(branches, hidden),
  });
}

function tableOf(branches: readonly ScannedBranch[], hidden: number): string {
  const foreign = hidden === 0 ? "" : `${hidden} foreign branches are not listed; --all lists them.`;
  if (branches.length === 0)
    return ["Nothing of this cluster is prepared in this database.", foreign].filter((line) => line !== "").join("\n");
  const rows = branches.map((each) => [
    each.cluster,
    each.participant ?? "-",
    each.gid ?? each.id,
    each.branch ?? "-",
    each.ageMs === undefined ? "?" : formatDuration(each.ageMs),
    each.says,
    each.done === undefined ? `${each.todo}: ${each.why}` : each.done.ok ? each.done.text : `FAILED: ${each.done.text}`,
  ]);
  const table = formatTable(["CLUSTER", "PARTICIPANT", "GID", "BRANCH", "AGE", "SAYS", "DO"], rows, [4]);
  return foreign === "" ? table : `${table}\n${foreign}`;
}
