/**
 * The flags of `quorate bench`: what each may be, what it is without being given, and which contradict each other.
 */
import type { Argv } from "yargs";
import { QuorateError } from "../../base/index.js";
import type { ParticipantKind } from "../../bench/loads.js";
import { text, type CommandArgs } from "../command.js";
import { integerOf } from "../connection.js";

interface Flag {
  readonly min: number;
  readonly max: number;
  readonly byDefault: number;
  readonly what: string;
}

/** Whole numbers, all of them. */
const FLAGS = {
  outstanding: { min: 1, max: 8192, byDefault: 1024, what: "operations always in flight; with --kind postgres at most 256, default 16" },
  participants: { min: 1, max: 8, byDefault: 2, what: "branches of each transaction, a process each" },
  seconds: { min: 1, max: 3600, byDefault: 10, what: "measured time" },
  warmup: { min: 0, max: 600, byDefault: 3, what: "seconds before it" },
  kills: { min: 1, max: 1000, byDefault: 10, what: "how often" },
  rate: { min: 1, max: 1_000_000, byDefault: 200, what: "operations started a second, on a fixed schedule" },
  "value-bytes": { min: 1, max: 65_536, byDefault: 256, what: "payload of one operation" },
  open: { min: 0, max: 1_000_000, byDefault: 0, what: "transactions left open while others are measured" },
  transactions: { min: 1, max: 10_000_000, byDefault: 1_000_000, what: "decided before anything is restarted" },
  "fill-seconds": { min: 1, max: 36_000, byDefault: 1800, what: "the longest that deciding them may take" },
} as const satisfies Readonly<Record<string, Flag>>;
export type BenchFlag = keyof typeof FLAGS;

const NODES = [1, 3, 5, 7];
const KINDS: readonly ParticipantKind[] = ["kv", "null", "postgres"];
/** A connection to each server for every transaction in flight: more is no load but a queue. */
const POSTGRES_OUTSTANDING_MAX = 256;
const POSTGRES_OUTSTANDING = 16;
/** Above it a branch's payload, which is that value in a JSON text, would not fit into what a branch may carry. */
const TXN_VALUE_BYTES_MAX = 60_000;

/** Declares flags; `defaults` replaces the usual default of some. Defaults stand in the help only: given and not given must stay apart. */
export function benchFlags(yargs: Argv, names: readonly BenchFlag[], defaults: Partial<Record<BenchFlag, number | string>> = {}): Argv {
  for (const name of names) {
    const { min, max, byDefault, what } = FLAGS[name];
    yargs.option(name, { type: "string", describe: `${what}; ${min} to ${max}, default ${defaults[name] ?? byDefault}` });
  }
  return yargs;
}

export function nodesFlag(yargs: Argv, choices: string): Argv {
  return yargs.option("nodes", { type: "string", describe: `coordinators of the benchmark's own cluster: ${choices}; default 3` });
}

export function kindFlag(yargs: Argv, choices: string): Argv {
  return yargs.option("kind", { type: "string", describe: `what a participant makes durable: ${choices}; default kv` });
}

export function endpointsFlag(yargs: Argv, describe: string): Argv {
  return yargs.option("endpoints", { type: "string", describe });
}

/** Throws QUORATE_INVALID_ARGUMENT naming the flag and its range. */
export function numberOf(args: CommandArgs, name: BenchFlag, byDefault: number = FLAGS[name].byDefault): number {
  return integerOf(args, name, FLAGS[name].min, FLAGS[name].max) ?? byDefault;
}

export function nodesOf(args: CommandArgs, min: number): number {
  const given = text(args, "nodes") ?? "3";
  const allowed = NODES.filter((nodes) => nodes >= min);
  const nodes = allowed.find((each) => String(each) === given);
  if (nodes === undefined) throw wrong(`--nodes is ${JSON.stringify(given)}, but must be one of ${allowed.join(", ")}`);
  return nodes;
}

export function kindOf(args: CommandArgs, allowed: readonly ParticipantKind[] = KINDS): ParticipantKind {
  const given = text(args, "kind") ?? "kv";
  const kind = allowed.find((each) => each === given);
  if (kind === undefined) throw wrong(`--kind is ${JSON.stringify(given)}, but must be one of ${allowed.join(", ")}`);
  return kind;
}

/** Refuses `--endpoints` for a benchmark that kills nodes. */
export function refuseEndpoints(args: CommandArgs, verb: string): void {
  if (text(args, "endpoints") !== undefined)
    throw wrong(`"bench ${verb}" kills nodes with SIGKILL, so it only runs on a cluster of its own; leave --endpoints out`);
}

/** What a write or transaction benchmark is asked to do. */
export interface LoadSettings {
  readonly op: "write" | "txn";
  readonly endpoints: string | undefined;
  readonly nodes: number;
  readonly outstanding: number;
  /** Operations a second, an open loop; undefined: a closed loop. */
  readonly rate: number | undefined;
  readonly seconds: number;
  readonly warmup: number;
  readonly valueBytes: number;
  /** 0 for writes. */
  readonly participants: number;
  readonly kind: ParticipantKind;
  readonly abortShare: number;
  readonly open: number;
  /** Where profiles and flame graphs of every process go; undefined: none are made. */
  readonly profileDir: string | undefined;
}

/** Throws QUORATE_INVALID_ARGUMENT. */
export function loadSettings(args: CommandArgs, op: "write" | "txn"): LoadSettings {
  const endpoints = text(args, "endpoints");
  if (endpoints !== undefined && text(args, "nodes") !== undefined)
    throw wrong("--nodes and --endpoints contradict each other: the cluster of --endpoints has the nodes it has; give one of them");
  const kind = op === "txn" ? kindOf(args) : "null";
  const rate = text(args, "rate") === undefined ? undefined : numberOf(args, "rate");
  if (rate !== undefined && text(args, "outstanding") !== undefined)
    throw wrong("--rate and --outstanding contradict each other: a fixed rate is an open loop, a fixed number in flight a closed one");
  const outstanding = numberOf(args, "outstanding", kind === "postgres" ? POSTGRES_OUTSTANDING : FLAGS.outstanding.byDefault);
  if (kind === "postgres" && outstanding > POSTGRES_OUTSTANDING_MAX)
    throw wrong(
      `--outstanding is ${outstanding}, but must be from 1 to ${POSTGRES_OUTSTANDING_MAX} with --kind postgres: each needs a connection to every server`,
    );
  const valueBytes = numberOf(args, "value-bytes");
  if (op === "txn" && valueBytes > TXN_VALUE_BYTES_MAX)
    throw wrong(
      `--value-bytes is ${valueBytes}, but must be from 1 to ${TXN_VALUE_BYTES_MAX} for a branch, whose payload has a limit of 64 KiB`,
    );
  const profileDir = text(args, "profile");
  if (profileDir !== undefined && endpoints !== undefined)
    throw wrong("--profile and --endpoints contradict each other: only processes that this command starts can be profiled");
  const participants = op === "txn" ? numberOf(args, "participants") : 0;
  const abortShare = shareOf(args);
  if (abortShare > 0 && kind === "null")
    throw wrong("--abort-share and --kind null contradict each other: a null participant always votes yes; use kv or postgres");
  return {
    op,
    endpoints,
    nodes: nodesOf(args, 1),
    outstanding,
    rate,
    seconds: numberOf(args, "seconds"),
    warmup: numberOf(args, "warmup"),
    valueBytes,
    participants,
    kind,
    abortShare,
    open: op === "txn" ? numberOf(args, "open") : 0,
    profileDir,
  };
}

function shareOf(args: CommandArgs): number {
  const given = text(args, "abort-share");
  if (given === undefined) return 0;
  const share = Number(given);
  if (!/^\d*\.?\d+$/.test(given) || !(share >= 0 && share <= 1))
    throw wrong(`--abort-share is ${JSON.stringify(given)}, but must be a number from 0 to 1`);
  return share;
}

function wrong(message: string): QuorateError {
  return new QuorateError("QUORATE_INVALID_ARGUMENT", message);
}
