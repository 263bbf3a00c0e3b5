/**
 * `quorate bench`: what this cluster does on this machine, honestly: exact percentiles, everybody's CPU time, errors counted.
 */
import type { Argv } from "yargs";
import { QuorateError } from "../../base/index.js";
import { ClosedLoop, type Issue, type LoopResult } from "../../bench/closed-loop.js";
import { putLoad, registerName, transactionLoad } from "../../bench/loads.js";
import { BenchCluster, type CpuShare } from "../bench-cluster.js";
import { failover } from "../bench-failover.js";
import { EXIT, outputOf, text, type Command, type CommandArgs } from "../command.js";
import type { ExitCode } from "../exit-codes.js";
import { note, printResult } from "../output.js";
import { formatTable } from "../table.js";

const PROOF_READS = 1000;

export const command: Command = {
  usage: "bench",
  summary: "measure writes, transactions and failover",
  subcommands: [
    {
      usage: "write",
      summary: "puts into the register space: fsynced by a majority, applied, deduplicated",
      build: (yargs) => common(yargs),
      run: (args) => run(args, "write"),
    },
    {
      usage: "txn",
      summary: "whole transactions: begin, prepare at every participant, decide, tell all",
      build: (yargs) =>
        common(yargs)
          .option("participants", { type: "number", default: 2, describe: "branches of each transaction, a process each; 1 to 8" })
          .option("kind", { choices: ["kv", "null"] as const, default: "kv" as const, describe: "what a participant makes durable" }),
      run: (args) => run(args, "txn"),
    },
    {
      usage: "failover",
      summary: "kill -9 the leader again and again under load; how long nothing commits, how long anything stays in doubt",
      build: (yargs) =>
        yargs
          .option("kills", { type: "number", default: 10, describe: "how many leaders are killed" })
          .option("rate", { type: "number", default: 200, describe: "transactions started a second" })
          .option("nodes", { type: "string", choices: ["3", "5"], default: "3", describe: "coordinators" }),
      run: async (args) =>
        failover(outputOf(args), whole(args, "kills", 10, 1, 1000), whole(args, "rate", 200, 1, 5000), whole(args, "nodes", 3, 3, 5)),
    },
  ],
};

function common(yargs: Argv): Argv {
  return yargs
    .option("outstanding", { type: "number", default: 1024, describe: "requests always in flight; 1 to 8192" })
    .option("seconds", { type: "number", default: 10, describe: "measured time; 1 to 3600" })
    .option("warmup", { type: "number", default: 3, describe: "seconds before it" })
    .option("value-bytes", { type: "number", default: 256, describe: "payload of one operation; 1 to 65536" })
    .option("nodes", { type: "string", choices: ["1", "3", "5"], default: "3", describe: "coordinators of the benchmark's own cluster" })
    .option("endpoints", { type: "string", describe: "use this cluster instead" });
}

async function run(args: CommandArgs, what: "write" | "txn"): Promise<ExitCode> {
  const outstanding = whole(args, "outstanding", 1024, 1, 8192);
  const seconds = whole(args, "seconds", 10, 1, 3600);
  const warmup = whole(args, "warmup", 3, 0, 600);
  const valueBytes = whole(args, "value-bytes", 256, 1, 65_536);
  const count = what === "txn" ? whole(args, "participants", 2, 1, 8) : 0;
  const kind = args["kind"] === "null" ? "null" : "kv";
  const nodes = whole(args, "nodes", 3, 1, 5);
  const bench = await BenchCluster.open({ endpoints: text(args, "endpoints"), nodes, nodeArgs: [] });
  try {
    const epochBefore = bench.quorate.view()?.epoch ?? 0;
    const puts = what === "write" ? putLoad(bench.quorate, valueBytes) : undefined;
    const load: Issue =
      puts === undefined ? transactionLoad(bench.quorate, await bench.participants(kind, count), kind, valueBytes) : puts.issue;
    let stopCpu: (() => CpuShare) | undefined;
    let cpu: CpuShare | undefined;
    let last = 0;
    const loop = new ClosedLoop(load);
    const result = await loop.run(
      outstanding,
      warmup,
      seconds,
      (ops, second) => {
        if (second % 5 === 0 || second === seconds)
          note(`${second} s: ${Math.round((ops - last) / Math.min(5, second % 5 === 0 ? 5 : second % 5))}/s`);
        if (second % 5 === 0) last = ops;
        if (second === seconds) cpu = stopCpu?.();
      },
      () => (stopCpu = bench.countCpu()),
    );
    const readBack = puts === undefined ? undefined : await proveReads(bench, valueBytes, puts.registers());
    const epochAfter = bench.quorate.view()?.epoch ?? 0;
    print(
      args,
      what,
      { outstanding, valueBytes, nodes, participants: count, kind: what === "txn" ? kind : undefined },
      result,
      cpu,
      bench.rssMiB(),
      readBack,
      epochAfter - epochBefore,
    );
    const proven = readBack === undefined || readBack === PROOF_READS;
    return Object.keys(result.errors).length === 0 && proven ? EXIT.ok : EXIT.failed;
  } finally {
    await bench.close();
  }
}

/** Reads written registers back by quorum reads: what was acknowledged must be there. Returns how many of PROOF_READS were. */
async function proveReads(bench: BenchCluster, valueBytes: number, registers: number): Promise<number> {
  let found = 0;
  for (let i = 0; i < PROOF_READS; i++) {
    const register = await bench.quorate.read(registerName(Math.floor((i * registers) / PROOF_READS)));
    if (register !== undefined && register.value.length === valueBytes) found += 1;
  }
  return found;
}

interface Setting {
  readonly outstanding: number;
  readonly valueBytes: number;
  readonly nodes: number;
  readonly participants: number;
  readonly kind: string | undefined;
}

function print(
  args: CommandArgs,
  op: string,
  setting: Setting,
  result: LoopResult,
  cpu: CpuShare | undefined,
  rssMiB: Readonly<Record<string, number>>,
  readBack: number | undefined,
  elections: number,
): void {
  const json = {
    peer: "quorate",
    op,
    nodes: setting.nodes,
    concurrency: setting.outstanding,
    valueBytes: setting.valueBytes,
    ...(setting.kind === undefined ? {} : { kind: setting.kind, participants: setting.participants }),
    ops: result.ops,
    seconds: round(result.seconds, 3),
    opsPerSec: round(result.opsPerSec, 1),
    opsPerCoreSec: cpu === undefined || cpu.total === 0 ? null : round(result.opsPerSec / cpu.total, 1),
    p50ms: round(result.latency.p50ms, 3),
    p99ms: round(result.latency.p99ms, 3),
    p999ms: round(result.latency.p999ms, 3),
    maxMs: round(result.latency.maxMs, 3),
    longestSilenceMs: round(result.longestSilenceMs, 1),
    errors: result.errors,
    aborts: result.aborts,
    elections,
    ...(readBack === undefined ? {} : { readBack: { asked: PROOF_READS, found: readBack } }),
    cpu: cpu === undefined ? null : { ...cpu.cores, total: cpu.total, foreign: cpu.foreign ?? null },
    rssMiB,
  };
  printResult(outputOf(args), {
    json,
    table: () =>
      formatTable(
        ["", "RESULT"],
        [
          [
            "operation",
            `${op}, ${setting.outstanding} outstanding, ${setting.valueBytes} bytes, ${setting.nodes} nodes${setting.kind === undefined ? "" : `, ${setting.participants} ${setting.kind} participants`}`,
          ],
          ["rate", `${Math.round(result.opsPerSec)}/s over ${result.seconds.toFixed(1)} s`],
          ["per core-second", json.opsPerCoreSec === null ? "?" : String(Math.round(json.opsPerCoreSec))],
          ["p50 / p99 / p99.9 / max", `${json.p50ms} / ${json.p99ms} / ${json.p999ms} / ${json.maxMs} ms`],
          ["errors, aborts", `${JSON.stringify(result.errors)}, ${JSON.stringify(result.aborts)}`],
          ["elections meanwhile", String(elections)],
          [
            "cores",
            cpu === undefined
              ? "?"
              : Object.entries(cpu.cores)
                  .map(([name, cores]) => `${name} ${cores.toFixed(2)}`)
                  .join(", "),
          ],
          [
            "memory, MiB",
            Object.entries(rssMiB)
              .map(([name, mib]) => `${name} ${mib}`)
              .join(", "),
          ],
        ],
      ),
  });
}

function whole(args: CommandArgs, name: string, fallback: number, min: number, max: number): number {
  const given = text(args, name);
  const value = given === undefined ? fallback : Number(given);
  if (!Number.isInteger(value) || value < min || value > max)
    throw new QuorateError(
      "QUORATE_INVALID_ARGUMENT",
      `--${name} must be a whole number from ${min} to ${max}, got ${JSON.stringify(given)}`,
    );
  return value;
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
