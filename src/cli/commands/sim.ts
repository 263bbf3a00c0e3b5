/**
 * `quorate sim`: many seeds of a whole cluster in the simulator, or one of them again, or one made smaller.
 */
import { availableParallelism } from "node:os";
import { QuorateError } from "../../base/index.js";
import { simCommand } from "../../sim/cli.js";
import { PARTS, isPart, type Reduction } from "../../sim/reduction.js";
import { EXIT, flag, outputOf, text, type Command, type CommandArgs } from "../command.js";
import { integerOf } from "../connection.js";

const SEED_MAX = Number.MAX_SAFE_INTEGER;

export const command: Command = {
  usage: "sim",
  summary: "the cluster in a deterministic simulator",
  build: (yargs) =>
    yargs
      .option("seed", { type: "string", describe: "replay this one seed" })
      .option("trace", { type: "boolean", default: false, describe: "with --seed: print what happened" })
      .option("trace-lines", { type: "string", describe: "how many of the last lines of the trace" })
      .option("trace-dir", {
        type: "string",
        describe: "folder for the traces of failed seeds; default: quorate-sim among the temporary files",
      })
      .option("shrink", { type: "boolean", default: false, describe: "make each failed seed as small as it goes, up to 3 minutes each" })
      .option("from", { type: "string", describe: "first seed of a batch; default: from the clock, and printed" })
      .option("seeds", { type: "string", describe: "how many seeds; default 100" })
      .option("minutes", { type: "string", describe: "fresh seeds for this long" })
      .option("jobs", { type: "string", describe: "processes; default: one per processor" })
      .option("marks", {
        type: "boolean",
        default: false,
        describe: "a batch of 1000 seeds or more fails when it misses a listed situation",
      })
      .option("safety-seconds", { type: "string", describe: "simulated seconds under faults, per seed" })
      .option("without", { type: "string", describe: "leave these out: parts by name, single faults as kind#number, with commas between" })
      .option("nodes", { type: "string", describe: "3, whatever the seed says" })
      .option("clients", { type: "string", describe: "at most so many clients" })
      .option("lanes", { type: "string", describe: "operations of one client at a time, at most" })
      .option("resources", { type: "string", describe: "at most so many participants" })
      .option("instances", { type: "string", describe: "instances of each participant, at most" }),
  run: async (args) => {
    const status = await simCommand({
      seed: integerOf(args, "seed", 0, SEED_MAX),
      reduction: reductionOf(args),
      shrink: flag(args, "shrink"),
      trace: flag(args, "trace"),
      traceLines: integerOf(args, "trace-lines", 1, 1_000_000),
      traceDir: text(args, "trace-dir"),
      from: integerOf(args, "from", 0, SEED_MAX),
      seeds: integerOf(args, "seeds", 1, SEED_MAX),
      minutes: integerOf(args, "minutes", 1, 100_000),
      jobs: integerOf(args, "jobs", 1, 256) ?? availableParallelism(),
      marks: flag(args, "marks"),
      json: outputOf(args) !== "table",
    });
    return status === 0 ? EXIT.ok : EXIT.failed;
  },
};

function reductionOf(args: CommandArgs): Reduction {
  const without = (text(args, "without") ?? "").split(",").filter((name) => name !== "");
  const unknown = without.filter((name) => !isPart(name));
  if (unknown.length > 0)
    throw new QuorateError(
      "QUORATE_INVALID_ARGUMENT",
      `--without ${unknown.join(",")}: no such part; there are ${[...PARTS.keys()].join(", ")}, and single faults as kind#number`,
    );
  return {
    without,
    nodes: integerOf(args, "nodes", 3, 3) === undefined ? undefined : 3,
    clients: integerOf(args, "clients", 1, 100),
    lanes: integerOf(args, "lanes", 1, 100),
    resources: integerOf(args, "resources", 1, 100),
    instances: integerOf(args, "instances", 1, 100),
    safetySeconds: integerOf(args, "safety-seconds", 1, 100_000),
  };
}
