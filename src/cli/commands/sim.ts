/**
 * `quorate sim`: many seeds of a whole cluster in the simulator, or one of them again with its trace.
 */
import { simCommand } from "../../sim/cli.js";
import { EXIT, flag, outputOf, type Command } from "../command.js";
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
      .option("from", { type: "string", describe: "first seed of a batch; default: from the clock, and printed" })
      .option("seeds", { type: "string", describe: "how many seeds; default 100" })
      .option("minutes", { type: "string", describe: "fresh seeds for this long" })
      .option("jobs", { type: "string", describe: "processes; default 1" })
      .option("marks", {
        type: "boolean",
        default: false,
        describe: "a batch of 1000 seeds or more fails when it misses a listed situation",
      })
      .option("safety-seconds", { type: "string", describe: "simulated seconds under faults, per seed" }),
  run: async (args) => {
    const status = await simCommand({
      seed: integerOf(args, "seed", 0, SEED_MAX),
      trace: flag(args, "trace"),
      traceLines: integerOf(args, "trace-lines", 1, 1_000_000),
      from: integerOf(args, "from", 0, SEED_MAX),
      seeds: integerOf(args, "seeds", 1, SEED_MAX),
      minutes: integerOf(args, "minutes", 1, 100_000),
      jobs: integerOf(args, "jobs", 1, 256),
      marks: flag(args, "marks"),
      safetySeconds: integerOf(args, "safety-seconds", 1, 100_000),
      json: outputOf(args) !== "table",
    });
    return status === 0 ? EXIT.ok : EXIT.failed;
  },
};
