/**
 * `quorate service ...`: services that the leader calls by HTTP or gRPC. Their registrations are in the replicated state.
 */
import type { Argv } from "yargs";
import { QuorateError, SERVICE_DEADLINE_MS } from "../../base/index.js";
import type { ListedService } from "../../client/index.js";
import { EXIT, flag, outputOf, text, type Command, type CommandArgs } from "../command.js";
import { connectionOptions, withCluster } from "../connection.js";
import type { ExitCode } from "../exit-codes.js";
import { printResult } from "../output.js";
import { formatTable } from "../table.js";

export const command: Command = {
  usage: "service",
  summary: "services that take part without a library: called by HTTP or gRPC",
  subcommands: [
    {
      usage: "add <name>",
      summary: "register a service; the leader calls it from then on",
      build: (yargs) =>
        nameOptions(yargs)
          .option("url", {
            type: "string",
            demandOption: true,
            describe: "http://host:port/path or grpc://host:port, as the nodes reach it",
          })
          .option("kind", {
            choices: ["2pc", "tcc"] as const,
            default: "2pc" as const,
            describe: "2pc: prepare, commit, rollback; tcc: try, confirm, cancel",
          })
          .option("deadline", { type: "string", default: `${SERVICE_DEADLINE_MS.default}ms`, describe: "of each call: 500ms, 5s" })
          .option("replace", { type: "boolean", default: false, describe: "take the place of other settings" }),
      run: add,
    },
    { usage: "ls", summary: "every registered service", build: connectionOptions, run: list },
    { usage: "rm <name>", summary: "remove a service that no unfinished transaction needs", build: nameOptions, run: remove },
    { usage: "wake <name>", summary: "send it everything that waits for it now, paused branches too", build: nameOptions, run: wake },
  ],
};

function nameOptions(yargs: Argv): Argv {
  return connectionOptions(yargs).positional("name", { type: "string", demandOption: true, describe: "the participant's name" });
}

function nameOf(args: CommandArgs): string {
  return text(args, "name") ?? "";
}

async function add(args: CommandArgs): Promise<ExitCode> {
  const kind = args["kind"] === "tcc" ? "tcc" : "2pc";
  const registration = { name: nameOf(args), url: text(args, "url") ?? "", kind, deadlineMs: deadlineOf(args) } as const;
  return withCluster(args, { requireLeader: true }, async (quorate, timeoutMs) => {
    const result = await quorate.registerService(registration, { timeoutMs, replace: flag(args, "replace") });
    printResult(outputOf(args), {
      json: { ...registration, result },
      table: () => `service ${registration.name} at ${registration.url} is ${result === "unchanged" ? "registered already" : result}`,
    });
    return EXIT.ok;
  });
}

async function list(args: CommandArgs): Promise<ExitCode> {
  return withCluster(args, { requireLeader: true }, async (quorate, timeoutMs) => {
    const services = await quorate.services({ timeoutMs });
    printResult(outputOf(args), { json: services, lines: services, table: () => servicesTable(services) });
    return EXIT.ok;
  });
}

async function remove(args: CommandArgs): Promise<ExitCode> {
  return withCluster(args, { requireLeader: true }, async (quorate, timeoutMs) => {
    await quorate.removeService(nameOf(args), { timeoutMs });
    printResult(outputOf(args), { json: { name: nameOf(args), result: "removed" }, table: () => `service ${nameOf(args)} is removed` });
    return EXIT.ok;
  });
}

async function wake(args: CommandArgs): Promise<ExitCode> {
  return withCluster(args, { requireLeader: true }, async (quorate, timeoutMs) => {
    await quorate.wakeService(nameOf(args), { timeoutMs });
    printResult(outputOf(args), {
      json: { name: nameOf(args), result: "woken" },
      table: () => `everything that waited for service ${nameOf(args)} is sent`,
    });
    return EXIT.ok;
  });
}

function servicesTable(services: readonly ListedService[]): string {
  if (services.length === 0) return "no services";
  return formatTable(
    ["SERVICE", "KIND", "URL", "DEADLINE"],
    services.map((service) =>
      service.problem === undefined
        ? [service.name, service.kind, service.url, `${service.deadlineMs} ms`]
        : [service.name, "-", `cannot be read: ${service.problem}`, "-"],
    ),
  );
}

/** `500ms`, `5s`, or a bare number of ms. */
function deadlineOf(args: CommandArgs): number {
  const given = text(args, "deadline") ?? "";
  const match = /^(\d{1,9})(ms|s)?$/.exec(given);
  if (match !== null) return Number(match[1]) * (match[2] === "s" ? 1000 : 1);
  throw new QuorateError("QUORATE_INVALID_ARGUMENT", `--deadline is ${JSON.stringify(given)}, but must be such as 500ms or 5s`);
}
