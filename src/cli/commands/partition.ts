/**
 * `quorate partition`: break a cluster's network and processes on purpose, and check that nothing was lost.
 */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import {
  checkHistory,
  COMPOSITIONS,
  compositionNamed,
  readHistory,
  runComposition,
  writeReport,
  type FaultSummary,
  type HistoryReport,
  type RunReport,
} from "../../../jepsen-like/run.js";
import { messageOf, QuorateError } from "../../base/index.js";
import { EXIT, outputOf, text, type Command, type CommandArgs } from "../command.js";
import type { ExitCode } from "../exit-codes.js";
import { note, printResult } from "../output.js";
import { formatTable } from "../table.js";

export const command: Command = {
  usage: "partition",
  summary: "break the network and kill nodes on purpose, then check every transaction",
  subcommands: [
    {
      usage: "list",
      summary: "the compositions of faults",
      run: (args) => {
        printResult(outputOf(args), {
          json: COMPOSITIONS.map(({ name, summary, nodesMin }) => ({ name, summary, nodesMin })),
          table: () =>
            formatTable(
              ["NAME", "NODES", "WHAT HAPPENS"],
              COMPOSITIONS.map(({ name, summary, nodesMin }) => [name, nodesMin === 3 ? "3, 5" : String(nodesMin), summary]),
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
          .option("seed", { type: "string", describe: "makes the fault injector's choices; random by default, and always printed" })
          .option("output-dir", { type: "string", describe: "write history.jsonl, verdict.json, report.html and the nodes' logs there" }),
      run,
    },
    {
      usage: "check <file>",
      summary: "check a history, recorded by any run or tool: JSON Lines; exit 0 only when the verdict is valid",
      build: (yargs) => yargs.positional("file", { type: "string", demandOption: true, describe: "history.jsonl" }),
      run: check,
    },
    {
      usage: "report <dir>",
      summary: "write report.html for a run's folder: one file, no network, no script",
      build: (yargs) => yargs.positional("dir", { type: "string", demandOption: true, describe: "the run's --output-dir" }),
      run: (args) => {
        const file = orInvalid(() => writeReport(text(args, "dir") ?? ""));
        printResult(outputOf(args), { json: { file }, table: () => file });
        return Promise.resolve(EXIT.ok);
      },
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
  const nodes = Number(text(args, "nodes") ?? "3");
  if (nodes < composition.nodesMin) throw new QuorateError("QUORATE_INVALID_ARGUMENT", `${name} needs --nodes ${composition.nodesMin}`);
  const report = await runComposition(composition, {
    nodes,
    seed: text(args, "seed") ?? randomBytes(4).toString("hex"),
    seconds: bounded(args, "seconds", 5, 3600),
    workers: bounded(args, "workers", 1, 64),
    outputDir: text(args, "output-dir"),
    onProgress: note,
  });
  printResult(outputOf(args), { json: report, table: () => table(report) });
  return report.verdict === "valid" ? EXIT.ok : EXIT.failed;
}

function check(args: CommandArgs): Promise<ExitCode> {
  const file = text(args, "file") ?? "";
  const report = orInvalid(() => checkHistory(readHistory(readFileSync(file, "utf8"))));
  printResult(outputOf(args), { json: report, table: () => historyTable(report) });
  return Promise.resolve(report.verdict === "valid" ? EXIT.ok : EXIT.failed);
}

const VIOLATIONS_SHOWN = 20;

function table(report: RunReport): string {
  const figures = formatTable(
    ["", "RESULT"],
    [
      ["composition", `${report.composition}, ${report.seconds} s, ${report.nodes} nodes`],
      ["repeat", report.command],
      ["faults felt", `${report.faultsFelt} of ${report.faultsInjected}`],
      [
        "leader changes",
        `${report.leaderChanges} (epoch ${report.epochBefore} -> ${report.epochAfter}), ${report.leaderChangesPer20s} in 20 s of faults`,
      ],
      [
        "transactions",
        `${report.transactions}: ${report.committed} committed, ${report.aborted} aborted, ${report.unknownToClients} answers unknown at the time`,
      ],
      ["decisions answered", String(report.okDecisions)],
      ["found by asking", `${report.resolvedByInquiry} branches`],
      [
        "longest in doubt",
        `${report.doubt.maxMs === 0 ? "under 50 ms" : ms(report.doubt.maxMs)}; ${ms(report.doubt.withMajorityMs)} with a majority connected, ${ms(report.doubt.starvedMs)} of that without a processor`,
      ],
      ["left behind", `${report.orphans} prepared branches, ${report.locks} locks`],
      ["verdict", report.why === undefined ? report.verdict : `${report.verdict}: ${report.why}`],
      ...report.violations.slice(0, VIOLATIONS_SHOWN).map((violation) => [violation.invariant, violation.message]),
    ],
  );
  return `${figures}\n\n${timesTable(report.times)}`;
}

/** ms from the beginning of a fault: median, longest. */
function timesTable(times: readonly FaultSummary[]): string {
  const show = (spread: FaultSummary["detectMs"]): string => (spread === undefined ? "-" : `${spread.median}, ${spread.max}`);
  return formatTable(
    ["FAULT", "FELT", "DETECTED MS", "NEW LEADER MS", "FIRST COMMIT MS", "WITHOUT A COMMIT MS"],
    times.map((each) => [
      each.fault,
      `${each.felt} of ${each.injected}`,
      show(each.detectMs),
      show(each.electMs),
      show(each.firstCommitMs),
      show(each.unavailableMs),
    ]),
  );
}

function historyTable(report: HistoryReport): string {
  return formatTable(
    ["", "RESULT"],
    [
      ["events", String(report.events)],
      ["operations", `${report.operations}: ${report.ok} ok, ${report.failed} failed, ${report.open} unknown`],
      ["faults", String(report.faults)],
      ...report.invariants.map((each) => [each.invariant, `${each.checked} ${each.unit}, ${each.violations} violations: ${each.promise}`]),
      ["verdict", report.why === undefined ? report.verdict : `${report.verdict}: ${report.why}`],
      ...report.violations.slice(0, VIOLATIONS_SHOWN).map((violation) => [violation.invariant, violation.message]),
    ],
  );
}

function ms(value: number | undefined): string {
  return value === undefined ? "not known" : `${Math.round(value)} ms`;
}

/** What is wrong with a file that was named is the caller's to mend. */
function orInvalid<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new QuorateError("QUORATE_INVALID_ARGUMENT", messageOf(error), { cause: error });
  }
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
