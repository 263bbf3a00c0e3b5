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
  let usageProblem: string | undefined;
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
      usageProblem = error === undefined || error === null ? message : error.message;
    })
    .help();
  for (const entry of COMMANDS) await register(parser, entry, entry.name === wanted, exit);
  await parser.parseAsync();
  if (usageProblem === undefined) return exit.code;
  note(`quorate: ${usageProblem} [usage]`);
  note(`Run "quorate${COMMANDS.some(({ name }) => name === wanted) ? ` ${wanted}` : ""} --help" for what is possible.`);
  return EXIT.usage;
}

/** Only the wanted command's module is loaded; the others are a name and a summary, for help and completion. */
async function register(parser: Argv, entry: CommandEntry, wanted: boolean, exit: ExitSlot): Promise<void> {
  if (!wanted) {
    parser.command(entry.name, entry.summary);
    return;
  }
  const { command } = await entry.load();
  parser.command(toYargs(command, exit));
}
