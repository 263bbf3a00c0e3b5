/**
 * The `quorate` command: finds the command's module, parses its options, ends with its exit status.
 */
import yargs, { type Argv } from "yargs";
import { PRODUCT_VERSION } from "../base/index.js";
import { toYargs, type CommandEntry, type ExitSlot } from "./command.js";
import { EXIT, type ExitCode } from "./exit-codes.js";
import { note } from "./output.js";
import { COMMANDS } from "./registry.js";

/** Runs one command line, without the program's own name. Never rejects. */
export async function main(argv: readonly string[]): Promise<ExitCode> {
  const exit: ExitSlot = { code: EXIT.ok };
  const wanted = argv.find((word) => !word.startsWith("-"));
  const parser = yargs([...argv])
    .scriptName("quorate")
    .usage("$0 <command>\n\nA transaction coordinator that no single crash can block.")
    .version(PRODUCT_VERSION)
    .strict()
    .recommendCommands()
    .demandCommand(1, "name a command")
    .parserConfiguration({ "duplicate-arguments-array": false, "parse-numbers": false, "parse-positional-numbers": false })
    .completion("completion", "print a completion script for bash or zsh")
    .epilogue("Exit status: 0 done, 1 a check failed, 2 usage, 3 no quorum, 4 outcome unknown, 5 refused.")
    .wrap(Math.min(120, process.stdout.columns ?? 120))
    .exitProcess(false)
    .fail((message, error) => {
      // Thrown, because otherwise yargs would go on to run the command.
      throw new UsageProblem(error === undefined || error === null ? message : error.message);
    })
    .help();
  for (const entry of COMMANDS) await register(parser, entry, entry.name === wanted, exit);
  try {
    await parser.parseAsync();
    return exit.code;
  } catch (error) {
    if (!(error instanceof UsageProblem)) throw error;
    note(`quorate: ${error.message} [usage]`);
    note(`Run "quorate${COMMANDS.some(({ name }) => name === wanted) ? ` ${wanted}` : ""} --help" for what is possible.`);
    return EXIT.usage;
  }
}

class UsageProblem extends Error {}

/** Only the wanted command's module is loaded; the others are a name and a summary, for help and completion. */
async function register(parser: Argv, entry: CommandEntry, wanted: boolean, exit: ExitSlot): Promise<void> {
  if (!wanted) {
    parser.command(entry.name, entry.summary);
    return;
  }
  const { command } = await entry.load();
  parser.command(toYargs(command, exit));
}
