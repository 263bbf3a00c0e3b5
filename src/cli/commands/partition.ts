/**
 * `quorate partition`: break a cluster's network and processes on purpose, and check that nothing was lost.
 */
import { COMPOSITIONS, compositionNamed, runComposition, type RunReport } from "../../../jepsen-like/run.js";
import { QuorateError } from "../../base/index.js";
import { EXIT, outputOf, text, type Command, type CommandArgs } from "../command.js";
import type { ExitCode } from "../exit-codes.js";
import { formatTable, note, printResult } from "../output.js";

export const command: Command = {
  usage: "partition",
  summary: "break the network and kill nodes on purpose, then check every transaction",
  subcommands: [
    {
      usage: "list",
      summary: "the compositions of faults",
      run: (args) => {
        printResult(outputOf(args), {
          json: COMPOSITIONS.map(({ name, summary }) => ({ name, summary })),
          table: () =>
            formatTable(
              ["NAME", "WHAT HAPPENS"],
              COMPOSITIONS.map(({ name, summary }) => [name, summary]),
            ),
        });
        return Promise.resolve(EXIT.ok);
      },
    },
    {
      usage: "run <name>",
      summary: "run one against a cluster of its own; exit 0 only when the verdict is valid",
      build: (yargs) =>
        yargs
          .positional("name", { type: "string", demandOption: true, describe: "one of `quorate partition list`" })
          .option("seconds", { type: "number", default: 30, describe: "time under faults; 5 to 3600" })
          .option("workers", { type: "number", default: 24, describe: "transfers in flight" })
          .option("nodes", { type: "string", choices: ["3", "5"], default: "3", describe: "coordinators" })
          .option("output-dir", { type: "string", describe: "write history.jsonl and verdict.json there" }),
      run,
    },
  ],
};

async function run(args: CommandArgs): Promise<ExitCode> {
  const name = text(args, "name") ?? "";
  const composition = compositionNamed(name);
  if (composition === undefined)
    throw new QuorateError(
      "QUORATE_INVALID_ARGUMENT",
      `${JSON.stringify(name)} is no composition; use one of ${COMPOSITIONS.map((each) => each.name).join(", ")}`,
    );
  const report = await runComposition(composition, {
    nodes: Number(text(args, "nodes") ?? "3"),
    seconds: bounded(args, "seconds", 5, 3600),
    workers: bounded(args, "workers", 1, 64),
    outputDir: text(args, "output-dir"),
    onProgress: note,
  });
  printResult(outputOf(args), { json: report, table: () => table(report) });
  return report.verdict === "valid" ? EXIT.ok : EXIT.failed;
}

function table(report: RunReport): string {
  return formatTable(
    ["", "RESULT"],
    [
      ["composition", `${report.composition}, ${report.seconds} s, ${report.nodes} nodes`],
      ["faults felt", String(report.faultsFelt)],
      ["leader changes", `${report.leaderChanges} (epoch ${report.epochBefore} -> ${report.epochAfter})`],
      [
        "transactions",
        `${report.transactions}: ${report.committed} committed, ${report.aborted} aborted, ${report.unknownToClients} answers unknown at the time`,
      ],
      ["left behind", `${report.orphans} prepared branches, ${report.locks} locks`],
      ["verdict", report.why === undefined ? report.verdict : `${report.verdict}: ${report.why}`],
      ...report.violations.slice(0, 20).map((violation) => [violation.invariant, violation.message]),
    ],
  );
}

function bounded(args: CommandArgs, name: string, min: number, max: number): number {
  const value = Number(text(args, name));
  if (!Number.isInteger(value) || value < min || value > max)
    throw new QuorateError(
      "QUORATE_INVALID_ARGUMENT",
      `--${name} must be a whole number from ${min} to ${max}, got ${JSON.stringify(text(args, name))}`,
    );
  return value;
}
