/**
 * `quorate demo bank`: one bank of the demo in a process of its own, with calls that come twice and answers that get lost on purpose.
 *
 * Its standard output is read by the demo: one line when it is attached, then one for each yes and each outcome.
 */
import { writeSync } from "node:fs";
import { QuorateError } from "../base/index.js";
import { askedMysqlService, askedPostgresService } from "../demo/asked-banks.js";
import { ATTACHED, doubtLines } from "../demo/doubt-lines.js";
import { metered } from "../demo/in-doubt-meter.js";
import { tccService } from "../demo/tcc-service.js";
import { unreliable } from "../demo/unreliable.js";
import type { Participant } from "../participant/index.js";
import { EXIT, text, type Command, type CommandArgs } from "./command.js";
import { connectionOptions, integerOf, withCluster } from "./connection.js";
import type { ExitCode } from "./exit-codes.js";
import { openMysqlPool } from "./mysql-participant.js";
import { openPostgresPool } from "./postgres-participant.js";
import { toldToStop } from "./told-to-stop.js";

export const BANK_KINDS = ["tcc", "postgres", "mysql"] as const;
export type BankKind = (typeof BANK_KINDS)[number];

const CONNECTIONS_MAX = 1000;
const CONNECTIONS = 40;
const STDOUT = 1;

export const command: Command = {
  usage: "bank",
  summary: "one bank of `demo transfer`, which starts it; its tables must be there",
  build: (yargs) =>
    connectionOptions(yargs)
      .option("kind", { choices: BANK_KINDS, demandOption: true, describe: "what it is made of" })
      .option("name", { type: "string", demandOption: true, describe: "the participant's name in the cluster" })
      .option("dsn", { type: "string", demandOption: true, describe: "its database" })
      .option("schema", { type: "string", default: "public", describe: "of its tables; kind tcc only" })
      .option("connections", { type: "string", describe: `to the database at most, 2 to ${CONNECTIONS_MAX}; default ${CONNECTIONS}` })
      .option("repeat", { type: "number", default: 0, describe: "chance that a call is made twice, 0 to 1" })
      .option("lose", { type: "number", default: 0, describe: "chance that an answer is lost after the work, 0 to 1" })
      .option("seed", { type: "string", default: "1", describe: "of these chances" }),
  run,
};

async function run(args: CommandArgs): Promise<ExitCode> {
  const stopped = toldToStop(true);
  const faults = { seed: text(args, "seed") ?? "1", repeat: chance(args, "repeat"), lose: chance(args, "lose") };
  const { participant, close } = await open(args);
  // Written before the call goes on: what a kill -9 leaves behind is told already.
  const sink = doubtLines((line) => void writeSync(STDOUT, line));
  try {
    return await withCluster(args, { requireLeader: true }, async (quorate) => {
      const attachment = await quorate.attach(unreliable(metered(participant, sink), faults));
      writeSync(STDOUT, `${ATTACHED}\n`);
      await stopped;
      await attachment.close();
      return EXIT.ok;
    });
  } finally {
    await close();
  }
}

async function open(args: CommandArgs): Promise<{ readonly participant: Participant; close(): Promise<void> }> {
  const kind = BANK_KINDS.find((each) => each === args["kind"]) ?? "tcc";
  const [name, dsn] = [text(args, "name") ?? "", text(args, "dsn") ?? ""];
  const connections = integerOf(args, "connections", 2, CONNECTIONS_MAX) ?? CONNECTIONS;
  if (kind === "mysql") {
    const pool = await openMysqlPool(dsn, connections);
    return { participant: askedMysqlService(name, pool), close: () => pool.end() };
  }
  const pool = await openPostgresPool(dsn, connections);
  const participant = kind === "tcc" ? tccService(name, pool, text(args, "schema") ?? "public") : askedPostgresService(name, pool);
  return { participant, close: () => pool.end() };
}

function chance(args: CommandArgs, name: string): number {
  const value = Number(text(args, name) ?? "0");
  if (value >= 0 && value < 1) return value;
  throw new QuorateError("QUORATE_INVALID_ARGUMENT", `--${name} must be a chance from 0 to below 1, got ${String(args[name])}`);
}
