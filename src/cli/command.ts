/**
 * The shape of a command, and what every verb shares: output format, endpoints, deadline, and how a failure ends the process.
 */
import type { Argv, ArgumentsCamelCase, CommandModule } from "yargs";
import { exitCodeOf, EXIT, type ExitCode } from "./exit-codes.js";
import { OUTPUT_FORMATS, printError, type OutputFormat } from "./output.js";

/** One line of the registry. The module is loaded only when its command is asked for. */
export interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  readonly load: () => Promise<{ readonly command: Command }>;
}

export interface Command {
  /** yargs' notation: `move [node]`. The first word is the registry's name. */
  readonly usage: string;
  readonly summary: string;
  /** Options and positionals of this command alone. */
  readonly build?: (yargs: Argv) => Argv;
  /** The exit status; a thrown QuorateError is printed and mapped. Absent for a command that only has subcommands. */
  readonly run?: (args: CommandArgs) => Promise<ExitCode>;
  readonly subcommands?: readonly Command[];
}

export type CommandArgs = ArgumentsCamelCase<Record<string, unknown>>;

/** Where a handler leaves the exit status: yargs has no return value. */
export interface ExitSlot {
  code: ExitCode;
}

export function toYargs(command: Command, exit: ExitSlot): CommandModule {
  return {
    command: command.usage,
    describe: command.summary,
    builder: (yargs: Argv) => {
      const built = command.build?.(yargs) ?? yargs;
      for (const sub of command.subcommands ?? []) built.command(toYargs(sub, exit));
      if (command.run === undefined)
        built.demandCommand(1, `name one of: ${(command.subcommands ?? []).map((sub) => sub.usage.split(" ", 1)[0]).join(", ")}`);
      else
        built.option("output", {
          alias: "o",
          choices: OUTPUT_FORMATS,
          default: "table" as OutputFormat,
          describe: "how results are printed",
        });
      return built;
    },
    handler: async (args: CommandArgs) => {
      if (command.run === undefined) return;
      try {
        exit.code = await command.run(args);
      } catch (error) {
        printError(outputOf(args), error);
        exit.code = exitCodeOf(error);
      }
    },
  };
}

export function outputOf(args: CommandArgs): OutputFormat {
  return OUTPUT_FORMATS.find((format) => format === args["output"]) ?? "table";
}

/** A string option or positional; undefined when absent. yargs turns a repeated option into a list: the last one counts. */
export function text(args: CommandArgs, name: string): string | undefined {
  const value = args[name];
  const last: unknown = Array.isArray(value) ? value.at(-1) : value;
  return last === undefined ? undefined : String(last);
}

export function flag(args: CommandArgs, name: string): boolean {
  return args[name] === true;
}

export { EXIT };
