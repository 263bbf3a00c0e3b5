/**
 * `quorate partition`: break a cluster's network and processes on purpose, and check that nothing was lost.
 */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import {
  ANYWHERE,
  checkHistory,
  COMPOSITIONS,
  compositionNamed,
  readHistory,
  runComposition,
  runForeign,
  SHAPES_ALONE,
  WORKLOAD_DEFAULT,
  workloadNamed,
  WORKLOADS,
  writeReport,
  type FaultSummary,
  type HistoryReport,
  type RunOptions,
  type RunReport,
  type Workload,
} from "../../../jepsen-like/run.js";
import { messageOf, QuorateError } from "../../base/index.js";
import { EXIT, outputOf, text, type Command, type CommandArgs } from "../command.js";
import { integerOf } from "../connection.js";
import type { ExitCode } from "../exit-codes.js";
import { note, printResult } from "../output.js";
import { NETWORK_OPTION, runElsewhere } from "../partition-network.js";
import { formatTable } from "../table.js";
import { partitionClean } from "./partition-clean.js";

export const command: Command = {
  usage: "partition",
  summary: "break the network and kill nodes on purpose, then check every transaction",
  subcommands: [
    {
      usage: "list",
      summary: "the compositions of faults, and the workloads",
      run: list,
    },
    {
      usage: "run <name>",
      summary: "run one under a workload, against a cluster of its own or yours; exit 0 only when the verdict is valid",
      build: (yargs) =>
        yargs
          .positional("name", { type: "string", demandOption: true, describe: "a composition of `quorate partition list`" })
          .option("workload", {
            type: "string",
            default: WORKLOAD_DEFAULT,
            describe: "what clients do meanwhile; see `quorate partition list`",
          })
          .option("seconds", { type: "string", describe: `time under faults; 5 to ${SECONDS_MAX}, 30 by default` })
          .option("minutes", { type: "string", describe: "the same in minutes", conflicts: "seconds" })
          .option("workers", { type: "string", describe: "clients at once; 1 to 64, 24 by default" })
          .option("nodes", { type: "string", choices: ["3", "5"], default: "3", describe: "coordinators" })
          .option("seed", { type: "string", describe: "makes the fault injector's choices; random by default, and always printed" })
          .option("network", NETWORK_OPTION)
          .option("endpoints", {
            alias: "e",
            type: "string",
            describe: `a running cluster of yours; of the compositions only ${ANYWHERE.map(({ name }) => name).join(" and ")}`,
          })
          .option("output-dir", { type: "string", describe: "write history.jsonl, verdict.json, report.html and all logs there" }),
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
    partitionClean,
  ],
};

const SECONDS_MAX = 86_400;
const SECONDS_MIN = 5;
const SECONDS_DEFAULT = 30;
const WORKERS_DEFAULT = 24;
const WORKERS_MAX = 64;
/** Goes into the command that repeats the run. */
const SEED = /^[A-Za-z0-9._-]{1,64}$/;

function list(args: CommandArgs): Promise<ExitCode> {
  const compositions = COMPOSITIONS.map(({ name, summary, nodesMin }) => ({ name, summary, nodesMin }));
  const shapes = SHAPES_ALONE.map(({ name, summary, nodesMin }) => ({ name, summary, nodesMin }));
  const workloads = WORKLOADS.map(({ name, summary }) => ({ name, summary }));
  printResult(outputOf(args), {
    json: { compositions, shapes, workloads },
    table: () =>
      [
        formatTable(
          ["COMPOSITION", "NODES", "WHAT HAPPENS"],
          compositions.map(({ name, summary, nodesMin }) => [name, nodesMin <= 3 ? "3, 5" : String(nodesMin), summary]),
        ),
        formatTable(
          ["SHAPE", "NODES", "WHAT `partitions` DRAWS FROM; EACH CAN BE RUN BY ITS OWN NAME"],
          shapes.map(({ name, summary, nodesMin }) => [name, nodesMin <= 3 ? "3, 5" : String(nodesMin), summary]),
        ),
        formatTable(
          ["WORKLOAD", "WHAT CLIENTS DO, AND WHAT MUST HOLD"],
          workloads.map(({ name, summary }) => [name, summary]),
        ),
      ].join("\n\n"),
  });
  return Promise.resolve(EXIT.ok);
}

async function run(args: CommandArgs): Promise<ExitCode> {
  const name = text(args, "name") ?? "";
  const composition = compositionNamed(name) ?? unknownName(name, "composition", COMPOSITIONS);
  const workloadName = text(args, "workload") ?? WORKLOAD_DEFAULT;
  const workload = workloadNamed(workloadName) ?? unknownName(workloadName, "workload", WORKLOADS);
  const seed = text(args, "seed") ?? randomBytes(4).toString("hex");
  if (!SEED.test(seed)) throw invalid(`--seed is ${JSON.stringify(seed)}, but must be 1 to 64 letters, digits, ".", "_" or "-"`);
  const minutes = text(args, "minutes");
  const options: RunOptions = {
    workload,
    seed,
    seconds: minutes === undefined ? (integerOf(args, "seconds", SECONDS_MIN, SECONDS_MAX) ?? SECONDS_DEFAULT) : secondsOf(minutes),
    workers: integerOf(args, "workers", 1, WORKERS_MAX) ?? WORKERS_DEFAULT,
    outputDir: text(args, "output-dir"),
    onProgress: note,
  };
  const endpoints = text(args, "endpoints");
  const elsewhere = endpoints === undefined ? await runElsewhere(args, composition) : undefined;
  if (elsewhere !== undefined) return elsewhere;
  const report = endpoints === undefined ? await runOwn(composition, args, options) : await runYours(name, endpoints, options);
  printResult(outputOf(args), { json: report, table: () => table(report) });
  return report.verdict === "valid" ? EXIT.ok : EXIT.failed;
}

async function runOwn(composition: (typeof COMPOSITIONS)[number], args: CommandArgs, options: RunOptions): Promise<RunReport> {
  const nodes = Number(text(args, "nodes") ?? "3");
  if (nodes < composition.nodesMin) throw invalid(`${composition.name} needs --nodes ${composition.nodesMin}`);
  const { participants } = options.workload;
  if (composition.breaks === "participants" && participants.length === 0)
    throw invalid(`${composition.name} breaks participants, and the workload ${options.workload.name} has none`);
  if (composition.breaks === "databases" && !hasDatabase(options.workload))
    throw invalid(
      `${composition.name} breaks database servers; use it with --workload ${WORKLOADS.filter(hasDatabase)
        .map((each) => each.name)
        .join(" or ")}`,
    );
  return runComposition(composition, nodes, options);
}

function hasDatabase({ participants }: Workload): boolean {
  return participants.some(({ kind }) => kind === "postgres" || kind === "mariadb");
}

/** Nobody's machine is broken but by its owner. */
async function runYours(name: string, endpoints: string, options: RunOptions): Promise<RunReport> {
  const composition = ANYWHERE.find((each) => each.name === name);
  if (composition === undefined)
    throw invalid(
      `${name} breaks processes or networks, which is not done to a cluster of yours; use ${ANYWHERE.map((each) => each.name).join(" or ")} with --endpoints`,
    );
  const report = await runForeign(composition, endpoints, options);
  for (const what of report.notChecked) note(`Not checked here: ${what}.`);
  return report;
}

function secondsOf(minutes: string): number {
  const seconds = Math.round(Number(minutes) * 60);
  if (/^\d+(\.\d+)?$/.test(minutes) && seconds >= SECONDS_MIN && seconds <= SECONDS_MAX) return seconds;
  throw invalid(`--minutes is ${JSON.stringify(minutes)}, but must be a number up to ${SECONDS_MAX / 60}, ${SECONDS_MIN} seconds at least`);
}

function unknownName(name: string, what: string, known: readonly { readonly name: string }[]): never {
  throw invalid(`${JSON.stringify(name)} is no ${what}; there are ${known.map((each) => each.name).join(", ")}`);
}

function invalid(message: string): QuorateError {
  return new QuorateError("QUORATE_INVALID_ARGUMENT", message);
}

function check(args: CommandArgs): Promise<ExitCode> {
  const file = text(args, "file") ?? "";
  const report = orInvalid(() => checkHistory(readHistory(readFileSync(file))));
  printResult(outputOf(args), { json: report, table: () => historyTable(report) });
  return Promise.resolve(report.verdict === "valid" ? EXIT.ok : EXIT.failed);
}

const VIOLATIONS_SHOWN = 20;

function table(report: RunReport): string {
  const figures = formatTable(
    ["", "RESULT"],
    [
      ["composition", `${report.composition}, ${report.seconds} s, ${report.nodes} nodes`],
      ["workload", report.workload],
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
      ["decisions answered", `${report.okDecisions}, ${report.latencies.perS}/s, ${latency(report)}`],
      ...(report.registerOperations > 0 ? [["register operations", String(report.registerOperations)]] : []),
      ["found by asking", `${report.resolvedByInquiry} branches`],
      ...(report.duplicates > 0 ? [["delivered again", `${report.duplicates} calls to participants`]] : []),
      ...(report.lateTries > 0 ? [["tried too late", `${report.lateTries} tries after their cancel, refused`]] : []),
      [
        "checked",
        report.invariants
          .filter(({ checked }) => checked > 0)
          .map(({ invariant, checked }) => `${invariant} ${checked}`)
          .join(", "),
      ],
      [
        "not checked",
        report.invariants
          .filter(({ checked }) => checked === 0)
          .map(({ invariant }) => invariant)
          .join(", ") || "nothing",
      ],
      [
        "longest in doubt",
        `${report.doubt.maxMs === 0 ? "under 50 ms" : ms(report.doubt.maxMs)}; ${ms(report.doubt.withMajorityMs)} with a majority connected, ${ms(report.doubt.starvedMs)} of that without a processor`,
      ],
      ["left behind", `${report.orphans} prepared branches, ${report.locks} locks, ${report.reserved} reserved`],
      ["verdict", report.why === undefined ? report.verdict : `${report.verdict}: ${report.why}`],
      ...report.violations.slice(0, VIOLATIONS_SHOWN).map((violation) => [violation.invariant, violation.message]),
    ],
  );
  return `${figures}\n\n${timesTable(report.times)}`;
}

function latency({ latencies }: RunReport): string {
  const { p50Ms, p99Ms, p999Ms } = latencies;
  return [
    ["p50", p50Ms],
    ["p99", p99Ms],
    ["p999", p999Ms],
  ]
    .map(([name, value]) => `${name} ${value === undefined ? "-" : `${value} ms`}`)
    .join(", ");
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
