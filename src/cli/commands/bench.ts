/**
 * `quorate bench`: what this cluster does on this machine, honestly: exact percentiles, everybody's CPU time, errors counted.
 */
import type { Argv } from "yargs";
import { QuorateError } from "../../base/index.js";
import { CURVE_NAMES, CURVES, curves, type CurveName } from "../bench/curves.js";
import { failover } from "../bench/failover.js";
import { findings, runLoad } from "../bench/load.js";
import {
  benchFlags,
  endpointsFlag,
  kindFlag,
  kindOf,
  loadSettings,
  nodesFlag,
  nodesOf,
  numberOf,
  refuseEndpoints,
} from "../bench/options.js";
import { loadJson, loadLine, loadTable } from "../bench/report.js";
import { restart } from "../bench/restart.js";
import { EXIT, outputOf, text, type Command, type CommandArgs } from "../command.js";
import type { ExitCode } from "../exit-codes.js";
import { printResult } from "../output.js";

const RESTARTS = 3;
const CURVE_SECONDS = 5;
const CURVE_WARMUP = 2;
const KILLS_ENDPOINTS = "refused: it kills nodes, and does so only to its own";

export const command: Command = {
  usage: "bench",
  summary: "measure writes, transactions, failover and restart",
  subcommands: [
    {
      usage: "write",
      summary: "puts into the register space: fsynced by a majority, applied, deduplicated; read back through a follower",
      build: (yargs) => loadFlags(yargs),
      run: (args) => load(args, "write"),
    },
    {
      usage: "txn",
      summary: "whole transactions: begin, prepare at every participant, decide, tell all",
      build: (yargs) =>
        kindFlag(
          benchFlags(loadFlags(yargs), ["participants", "open"]),
          "kv, null or postgres (compared with the same SQL by hand)",
        ).option("abort-share", {
          type: "string",
          describe: "the fraction of transactions of which one branch votes no; 0 to 1, default 0",
        }),
      run: (args) => load(args, "txn"),
    },
    {
      usage: "failover",
      summary: "kill -9 the leader, then hand over, again and again under load; how long nothing commits and anything is in doubt",
      build: (yargs) => endpointsFlag(nodesFlag(benchFlags(yargs, ["kills", "rate"]), "3, 5 or 7"), KILLS_ENDPOINTS),
      run: (args) => {
        refuseEndpoints(args, "failover");
        return failover(outputOf(args), { kills: numberOf(args, "kills"), rate: numberOf(args, "rate"), nodes: nodesOf(args, 3) });
      },
    },
    {
      usage: "restart",
      summary: "decide many transactions, then kill -9 a follower and start it again; how long until it serves and has caught up",
      build: (yargs) => {
        const flags = benchFlags(yargs, ["transactions", "fill-seconds", "kills", "participants", "value-bytes"], { kills: RESTARTS });
        return endpointsFlag(kindFlag(nodesFlag(flags, "3, 5 or 7"), "kv or null"), KILLS_ENDPOINTS);
      },
      run: (args) => {
        refuseEndpoints(args, "restart");
        return restart(outputOf(args), {
          transactions: numberOf(args, "transactions"),
          fillSeconds: numberOf(args, "fill-seconds"),
          kills: numberOf(args, "kills", RESTARTS),
          nodes: nodesOf(args, 3),
          kind: kindOf(args, ["kv", "null"]),
          participants: numberOf(args, "participants"),
          valueBytes: numberOf(args, "value-bytes"),
        });
      },
    },
    {
      usage: "curves",
      summary: "draw throughput and latency against load, participants, nodes, open transactions and value size",
      build: (yargs) =>
        benchFlags(yargs, ["seconds", "warmup"], { seconds: CURVE_SECONDS, warmup: CURVE_WARMUP })
          .option("output-dir", { type: "string", demandOption: true, describe: "where one SVG and one JSON file of each curve go" })
          .option("only", { type: "string", describe: `some of ${CURVE_NAMES.join(",")}; default all` })
          .option("points", { type: "string", describe: "only these places on the x axis, such as 1,64,1024; default all" }),
      run: (args) =>
        curves(outputOf(args), {
          dir: text(args, "output-dir") ?? "",
          names: curveNames(args),
          seconds: numberOf(args, "seconds", CURVE_SECONDS),
          warmup: numberOf(args, "warmup", CURVE_WARMUP),
          points: curvePoints(args),
        }),
    },
  ],
};

function loadFlags(yargs: Argv): Argv {
  const flags = benchFlags(yargs, ["outstanding", "rate", "seconds", "warmup", "value-bytes"], {
    rate: "none: --outstanding instead",
  });
  return endpointsFlag(nodesFlag(flags, "1, 3, 5 or 7"), "use this cluster instead").option("profile", {
    type: "string",
    describe: "a folder for a CPU profile and a flame graph of each node and participant; costs some speed",
  });
}

async function load(args: CommandArgs, op: "write" | "txn"): Promise<ExitCode> {
  const run = await runLoad(loadSettings(args, op));
  const json = loadJson(run);
  printResult(outputOf(args), { json, lines: [loadLine(run)], table: () => loadTable(json) });
  return findings(run).length === 0 ? EXIT.ok : EXIT.failed;
}

function curveNames(args: CommandArgs): readonly CurveName[] {
  const given = text(args, "only");
  if (given === undefined) return CURVE_NAMES;
  return given.split(",").map((name) => {
    const known = CURVE_NAMES.find((each) => each === name.trim());
    if (known === undefined)
      throw new QuorateError(
        "QUORATE_INVALID_ARGUMENT",
        `--only names ${JSON.stringify(name)}, but must name some of ${CURVE_NAMES.join(", ")}`,
      );
    return known;
  });
}

/** Places that every curve drawn has at least one of. */
function curvePoints(args: CommandArgs): readonly number[] | undefined {
  const given = text(args, "points");
  if (given === undefined) return undefined;
  const points = given.split(",").map((point) => Number(/^\d+$/.exec(point.trim())?.[0] ?? "NaN"));
  for (const name of curveNames(args))
    if (!points.some((point) => (CURVES[name].xs as readonly number[]).includes(point)))
      throw new QuorateError(
        "QUORATE_INVALID_ARGUMENT",
        `--points is ${JSON.stringify(given)}, but must name at least one of ${CURVES[name].xs.join(", ")} for the curve ${name}`,
      );
  return points;
}
