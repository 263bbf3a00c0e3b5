/**
 * `quorate txn ...`: transactions by hand, for trying things out and for repair. Nothing here is kept between two commands but the gid.
 */
import type { Argv } from "yargs";
import { nameProblem, QuorateError } from "../../base/index.js";
import type { Quorate } from "../../client/index.js";
import type { TransactionView } from "../../coordinator/index.js";
import { EXIT, outputOf, text, type Command, type CommandArgs } from "../command.js";
import { ask, connectionOptions, integerOf, withCluster } from "../connection.js";
import type { ExitCode } from "../exit-codes.js";
import { printResult } from "../output.js";
import { commitRecorded, unknownTransaction } from "../txn-commit.js";
import { payloadOf } from "../txn-payload.js";
import { transactionJson, transactionsTable, transactionTable } from "../txn-report.js";

const STATES = ["open", "in-doubt", "finished", "all"] as const;
const LIST_LIMIT_MAX = 1000;
const TRANSACTION_TIMEOUT_MS_MAX = 3_600_000;
/** A person types slower than a program. */
const TRANSACTION_TIMEOUT_MS_DEFAULT = 60_000;

export const command: Command = {
  usage: "txn",
  summary: "begin, commit, look at and repair transactions",
  subcommands: [
    {
      usage: "begin",
      summary: "open a transaction and print its gid",
      build: (yargs) =>
        connectionOptions(yargs).option("timeout", {
          type: "string",
          default: String(TRANSACTION_TIMEOUT_MS_DEFAULT),
          describe: "ms after which it is aborted unless it is decided",
        }),
      run: begin,
    },
    {
      usage: "enlist <gid>",
      summary: "add a branch to an open transaction",
      build: (yargs) =>
        gidOptions(yargs)
          .option("participant", { alias: "p", type: "string", demandOption: true, describe: "the participant's name" })
          .option("branch", { type: "string", describe: "the branch's id; default: the participant's name" })
          .option("kind", {
            choices: ["2pc", "tcc"] as const,
            describe: "prepared and committed, or tried and confirmed; default: that of a registered service, else 2pc",
          })
          .option("payload", { type: "string", describe: "the work; for a kv participant a JSON list of operations" })
          .option("payload-file", { type: "string", describe: "a file with the work" }),
      run: enlist,
    },
    { usage: "commit <gid>", summary: "commit with every enlisted branch and print the decision", build: gidOptions, run: commit },
    { usage: "abort <gid>", summary: "abort, unless it is decided, and print the decision", build: gidOptions, run: abort },
    {
      usage: "ls",
      summary: "transactions, newest first",
      build: (yargs) =>
        connectionOptions(yargs)
          .option("state", { choices: STATES, default: "all" as (typeof STATES)[number], describe: "which" })
          .option("limit", { type: "string", default: "100", describe: "how many at most" }),
      run: list,
    },
    {
      usage: "get <gid>",
      summary: "what is known of a transaction and its branches",
      build: (yargs) => gidOptions(yargs).option("wait", { type: "boolean", default: false, describe: "wait until it is decided" }),
      run: get,
    },
    { usage: "retry <gid>", summary: "send everything it owes again now, and un-pause its branches", build: gidOptions, run: retry },
    {
      usage: "resolve <gid>",
      summary: "record that a branch was settled by hand; never changes the decision",
      build: (yargs) =>
        gidOptions(yargs)
          .option("branch", { type: "string", demandOption: true, describe: "the branch's id" })
          .option("outcome", { choices: ["committed", "rolled-back"] as const, demandOption: true, describe: "how it was settled" })
          .option("by", { type: "string", demandOption: true, describe: "who settled it" })
          .option("note", { type: "string", default: "", describe: "why" }),
      run: resolve,
    },
  ],
};

function gidOptions(yargs: Argv): Argv {
  return connectionOptions(yargs).positional("gid", { type: "string", demandOption: true, describe: "the transaction" });
}

function gidOf(args: CommandArgs): string {
  return text(args, "gid") ?? "";
}

async function begin(args: CommandArgs): Promise<ExitCode> {
  const timeoutMs = integerOf(args, "timeout", 1, TRANSACTION_TIMEOUT_MS_MAX) ?? TRANSACTION_TIMEOUT_MS_DEFAULT;
  return withCluster(args, { requireLeader: true }, async (quorate, deadlineMs) => {
    // No client: this process ends at once, and its lost stream must not abort what the next command goes on with.
    const body = { kind: "open", gid: quorate.newGid(), client: "", timeoutMs, branches: [] } as const;
    const { gid } = await ask(quorate, "opened", body, deadlineMs);
    printResult(outputOf(args), { json: { gid, state: "open", timeoutMs }, table: () => gid });
    return EXIT.ok;
  });
}

async function enlist(args: CommandArgs): Promise<ExitCode> {
  const participant = text(args, "participant") ?? "";
  const branch = text(args, "branch") ?? participant;
  const problem = nameProblem("participant", participant) ?? nameProblem("branch", branch);
  if (problem !== undefined) throw new QuorateError("QUORATE_INVALID_ARGUMENT", problem);
  return withCluster(args, { requireLeader: true }, async (quorate, timeoutMs) => {
    const payload = payloadOf(args, await kindOf(quorate, participant));
    const kind = await branchKind(args, quorate, participant, timeoutMs);
    await quorate.enlist(gidOf(args), { id: branch, participant, mode: "asked", payload, kind }, { timeoutMs });
    printResult(outputOf(args), {
      json: { gid: gidOf(args), branch, participant, kind, payloadBytes: payload.length },
      table: () => `branch ${branch} (${participant}, ${kind}, ${payload.length} bytes) is enlisted into ${gidOf(args)}`,
    });
    return EXIT.ok;
  });
}

async function branchKind(args: CommandArgs, quorate: Quorate, participant: string, timeoutMs: number): Promise<"2pc" | "tcc"> {
  const given = text(args, "kind");
  if (given === "2pc" || given === "tcc") return given;
  const service = (await quorate.services({ timeoutMs })).find(({ name }) => name === participant);
  return service?.problem === undefined && service !== undefined ? service.kind : "2pc";
}

/** Undefined when no reachable node knows the participant: the cluster will say so itself. */
async function kindOf(quorate: Quorate, participant: string): Promise<string | undefined> {
  const answers = await quorate.status();
  return answers.flatMap(({ status }) => status?.participants ?? []).find(({ name }) => name === participant)?.kind;
}

async function commit(args: CommandArgs): Promise<ExitCode> {
  return withCluster(args, { requireLeader: true }, async (quorate, timeoutMs) => {
    const view = await commitRecorded(quorate, gidOf(args), timeoutMs);
    printTransaction(args, view);
    return view.decision === "commit" ? EXIT.ok : EXIT.refused;
  });
}

async function abort(args: CommandArgs): Promise<ExitCode> {
  return withCluster(args, { requireLeader: true }, async (quorate, timeoutMs) => {
    const { decision } = await quorate.abort(gidOf(args), { timeoutMs });
    printTransaction(args, await quorate.outcome(gidOf(args), { timeoutMs }));
    return decision === "abort" ? EXIT.ok : EXIT.refused;
  });
}

async function list(args: CommandArgs): Promise<ExitCode> {
  const state = STATES.find((each) => each === args["state"]) ?? "all";
  const limit = integerOf(args, "limit", 1, LIST_LIMIT_MAX) ?? 100;
  return withCluster(args, { requireLeader: true }, async (quorate, timeoutMs) => {
    const views = await quorate.list({ state, limit, timeoutMs });
    const json = views.map(transactionJson);
    printResult(outputOf(args), { json, lines: json, table: () => transactionsTable(views) });
    return EXIT.ok;
  });
}

async function get(args: CommandArgs): Promise<ExitCode> {
  return withCluster(args, { requireLeader: true }, async (quorate, timeoutMs) => {
    const view = known(await quorate.outcome(gidOf(args), { timeoutMs, wait: args["wait"] === true }));
    printTransaction(args, view);
    return EXIT.ok;
  });
}

async function retry(args: CommandArgs): Promise<ExitCode> {
  return withCluster(args, { requireLeader: true }, async (quorate, timeoutMs) => {
    await quorate.retry(gidOf(args), { timeoutMs });
    printTransaction(args, await quorate.outcome(gidOf(args), { timeoutMs }));
    return EXIT.ok;
  });
}

async function resolve(args: CommandArgs): Promise<ExitCode> {
  const outcome = args["outcome"] === "committed" ? "committed" : "rolled-back";
  return withCluster(args, { requireLeader: true }, async (quorate, timeoutMs) => {
    const options = { timeoutMs, by: text(args, "by") ?? "", note: text(args, "note") ?? "" };
    await quorate.resolve(gidOf(args), text(args, "branch") ?? "", outcome, options);
    printTransaction(args, await quorate.outcome(gidOf(args), { timeoutMs }));
    return EXIT.ok;
  });
}

function printTransaction(args: CommandArgs, view: TransactionView): void {
  printResult(outputOf(args), { json: transactionJson(view), table: () => transactionTable(view) });
}

function known(view: TransactionView): TransactionView {
  if (view.state === "unknown") throw unknownTransaction(view);
  return view;
}
