/**
 * `quorate participant <kind>`: an adapter in a process of its own, beside its database, until it is told to stop.
 */
import type { Argv } from "yargs";
import { kv } from "../../participant/kv/index.js";
import type { Participant } from "../../participant/index.js";
import { nullParticipant } from "../../participant/null/index.js";
import { EXIT, flag, outputOf, text, type Command, type CommandArgs } from "../command.js";
import { connectionOptions, integerOf, withCluster } from "../connection.js";
import type { ExitCode } from "../exit-codes.js";
import { MYSQL_CONNECTIONS, openMysql } from "../mysql-participant.js";
import { printResult } from "../output.js";
import { openPostgres, POSTGRES_CONNECTIONS } from "../postgres-participant.js";
import { toldToStop } from "../told-to-stop.js";

const CONNECTIONS_MAX = 1000;

interface Service {
  readonly participant: Participant;
  close(): Promise<void>;
}

export const command: Command = {
  usage: "participant",
  summary: "a database as a participant, in a process of its own",
  subcommands: [
    {
      usage: "kv",
      summary: "the embedded key-value store",
      build: (yargs) => shared(yargs).option("dir", { type: "string", demandOption: true, describe: "its data folder" }),
      run: (args) => serve(args, () => Promise.resolve(openKv(name(args), text(args, "dir") ?? ""))),
    },
    {
      usage: "postgres",
      summary: "a PostgreSQL database; it needs max_prepared_transactions above 0",
      build: (yargs) =>
        shared(yargs)
          .option("dsn", { type: "string", demandOption: true, describe: "postgres://user@host:port/database" })
          .option("connections", {
            type: "string",
            describe: `to the database at most, 2 to ${CONNECTIONS_MAX}; default ${POSTGRES_CONNECTIONS}`,
          }),
      run: (args) => {
        const connections = integerOf(args, "connections", 2, CONNECTIONS_MAX);
        return serve(args, () => openPostgres(name(args), text(args, "dsn") ?? "", connections));
      },
    },
    {
      usage: "mysql",
      summary: "a MariaDB or MySQL database; it needs innodb_flush_log_at_trx_commit = 1",
      build: (yargs) =>
        shared(yargs)
          .option("dsn", { type: "string", demandOption: true, describe: "mysql://user:password@host:port/database" })
          .option("connections", {
            type: "string",
            describe: `to the database at most, 2 to ${CONNECTIONS_MAX}; default ${MYSQL_CONNECTIONS}`,
          }),
      run: (args) => {
        const connections = integerOf(args, "connections", 2, CONNECTIONS_MAX);
        return serve(args, () => openMysql(name(args), text(args, "dsn") ?? "", connections));
      },
    },
    {
      usage: "null",
      summary: "for benchmarks: votes yes and forgets; nothing is durable",
      build: (yargs) => shared(yargs),
      run: (args) => serve(args, () => Promise.resolve({ participant: nullParticipant(name(args)), close: () => Promise.resolve() })),
    },
  ],
};

function shared(yargs: Argv): Argv {
  return connectionOptions(yargs)
    .option("name", { type: "string", demandOption: true, describe: "the participant's name in the cluster" })
    .option("exit-with-parent", { type: "boolean", default: false, describe: "stop when standard input closes" });
}

function openKv(participantName: string, dir: string): Service {
  const participant = kv({ name: participantName, dir });
  return { participant, close: () => participant.close() };
}

function name(args: CommandArgs): string {
  return text(args, "name") ?? "";
}

async function serve(args: CommandArgs, open: () => Promise<Service>): Promise<ExitCode> {
  const stopped = toldToStop(flag(args, "exit-with-parent"));
  const service = await open();
  const { participant } = service;
  try {
    return await withCluster(args, { requireLeader: true }, async (quorate) => {
      const attachment = await quorate.attach(participant);
      const found = attachment.stats()[0]?.inDoubt ?? 0;
      printResult(outputOf(args), {
        json: {
          participant: participant.name,
          kind: participant.kind,
          cluster: quorate.clusterId ?? null,
          attached: true,
          inDoubt: found,
          pid: process.pid,
        },
        table: () =>
          `participant ${participant.name} (${participant.kind}) is attached to ${quorate.clusterId ?? "the cluster"}; ${found} branches in doubt. Ctrl-C detaches it.`,
      });
      await stopped;
      await attachment.close();
      return EXIT.ok;
    });
  } finally {
    await service.close();
  }
}
