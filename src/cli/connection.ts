/**
 * Reaching a cluster from the command line: `--endpoints`, else QUORATE_ENDPOINTS, else this machine's default ports, and then said so.
 */
import type { Argv } from "yargs";
import { isQuorateError, QuorateError } from "../base/index.js";
import { connect, resolveTarget, type Quorate } from "../client/index.js";
import type { Answer, Request } from "../coordinator/index.js";
import { text, type CommandArgs } from "./command.js";
import { note } from "./output.js";

const TIMEOUT_MS_DEFAULT = 5000;
const TIMEOUT_MS_MAX = 3_600_000;

export function connectionOptions(yargs: Argv): Argv {
  return yargs
    .option("endpoints", { alias: "e", type: "string", describe: "host:port,host:port of any members (also QUORATE_ENDPOINTS)" })
    .option("timeout-ms", { type: "string", default: String(TIMEOUT_MS_DEFAULT), describe: "how long the command may take" });
}

/** Throws QUORATE_INVALID_ARGUMENT. */
export function timeoutOf(args: CommandArgs): number {
  return integerOf(args, "timeout-ms", 1, TIMEOUT_MS_MAX) ?? TIMEOUT_MS_DEFAULT;
}

/** An integer option; undefined when absent. Throws QUORATE_INVALID_ARGUMENT naming the option and its bounds. */
export function integerOf(args: CommandArgs, name: string, min: number, max: number): number | undefined {
  const given = text(args, name);
  if (given === undefined) return undefined;
  const value = Number(given);
  if (/^\d+$/.test(given) && value >= min && value <= max) return value;
  throw new QuorateError("QUORATE_INVALID_ARGUMENT", `--${name} is ${JSON.stringify(given)}, but must be an integer from ${min} to ${max}`);
}

export interface Reaching {
  /** Without it any node that answers is enough. */
  readonly requireLeader: boolean;
}

/** Connects, runs `use`, closes. */
export async function withCluster<T>(
  args: CommandArgs,
  reaching: Reaching,
  use: (quorate: Quorate, timeoutMs: number) => Promise<T>,
): Promise<T> {
  const timeoutMs = timeoutOf(args);
  const target = resolveTarget(text(args, "endpoints"), process.env);
  if (target.origin === "default") note(`Neither --endpoints nor QUORATE_ENDPOINTS is given: using ${target.addresses.join(",")}.`);
  const quorate = await reach(target.addresses, reaching.requireLeader, timeoutMs);
  try {
    return await use(quorate, timeoutMs);
  } finally {
    await quorate.close({ drainMs: 0 });
  }
}

async function reach(endpoints: readonly string[], requireLeader: boolean, timeoutMs: number): Promise<Quorate> {
  try {
    return await connect({ endpoints, connectTimeoutMs: timeoutMs, requestTimeoutMs: timeoutMs, requireLeader });
  } catch (error) {
    if (isQuorateError(error) && error.code === "QUORATE_NO_QUORUM")
      throw new QuorateError("QUORATE_NO_QUORUM", `no quorum: ${error.message}`, { retry: error.retry, cause: error });
    throw error;
  }
}

/** One raw request. Throws the answer's error as a QuorateError. */
export async function ask<K extends Answer["kind"]>(
  quorate: Quorate,
  kind: K,
  body: Request,
  timeoutMs: number,
): Promise<Extract<Answer, { readonly kind: K }>> {
  const answer = await new Promise<Answer>((resolve) => quorate.submit(body, resolve, timeoutMs));
  if (answer.kind === "error")
    throw new QuorateError(answer.code, answer.message, { outcome: answer.outcome, retry: answer.retry, gid: answer.gid });
  if (answer.kind !== kind) throw new QuorateError("QUORATE_INTERNAL", `the node answered ${body.kind} with ${answer.kind}`);
  return answer as Extract<Answer, { readonly kind: K }>;
}
