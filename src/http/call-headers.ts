/**
 * The headers of a call, as docs/participants.md names them. Anybody may send anything: each is checked and named.
 */
import { gidProblem, nameProblem } from "../base/index.js";
import type { ServiceCall, ServicePhase } from "./contract.js";

/** As node:http gives them: names in lower case. */
export type Headers = Readonly<Record<string, string | readonly string[] | undefined>>;

const PHASES: readonly ServicePhase[] = ["prepare", "commit", "rollback", "try", "confirm", "cancel"];
const CLUSTER = /^[a-z][a-z0-9-]{0,39}$/;
const UINT32_MAX = 0xffff_ffff;
/** 48 bits, as in a gid. */
const TIME_MS_MAX = 2 ** 48 - 1;

/** The call without its payload, or which header is wrong and how. */
export function readCall(
  headers: Headers,
  served: { readonly participant: string | undefined; readonly cluster: string | undefined },
): Omit<ServiceCall, "payload"> | string {
  const gid = one(headers, "quorate-gid");
  const branch = one(headers, "quorate-branch");
  const phase = PHASES.find((each) => each === one(headers, "quorate-phase"));
  const attempt = count(headers, "quorate-attempt");
  const epoch = count(headers, "quorate-epoch");
  // Of a version that does not say it: nothing is known to be forgotten.
  const forgottenBelowMs = headers["quorate-forgotten-below"] === undefined ? 0 : count(headers, "quorate-forgotten-below", TIME_MS_MAX);
  const cluster = one(headers, "quorate-cluster");
  const participant = one(headers, "quorate-participant");
  if (gid === undefined) return missing("quorate-gid");
  if (branch === undefined) return missing("quorate-branch");
  if (phase === undefined) return `header quorate-phase must be one of ${PHASES.join(", ")}, got ${shown(headers["quorate-phase"])}`;
  if (attempt === undefined) return notCount(headers, "quorate-attempt");
  if (epoch === undefined) return notCount(headers, "quorate-epoch");
  if (forgottenBelowMs === undefined) return notCount(headers, "quorate-forgotten-below");
  if (cluster === undefined) return missing("quorate-cluster");
  if (participant === undefined) return missing("quorate-participant");
  const problem = gidProblem(gid) ?? nameProblem("quorate-branch", branch) ?? nameProblem("quorate-participant", participant);
  if (problem !== undefined) return `header: ${problem}`;
  if (!CLUSTER.test(cluster)) return `header quorate-cluster ${shown(cluster)} is no cluster's id`;
  if (served.participant !== undefined && served.participant !== participant)
    return `header quorate-participant is ${participant}, but this service is ${served.participant}`;
  if (served.cluster !== undefined && served.cluster !== cluster)
    return `header quorate-cluster is ${cluster}, but this service belongs to ${served.cluster}`;
  return { gid, branch, phase, attempt, epoch, cluster, participant, forgottenBelowMs, traceparent: one(headers, "traceparent") };
}

function one(headers: Headers, name: string): string | undefined {
  const value = headers[name];
  return typeof value === "string" && value !== "" ? value : undefined;
}

function count(headers: Headers, name: string, max = UINT32_MAX): number | undefined {
  const text = one(headers, name);
  const value = Number(text);
  return text !== undefined && /^\d{1,15}$/.test(text) && value <= max ? value : undefined;
}

function missing(name: string): string {
  return `header ${name} is missing, or there more than once`;
}

function notCount(headers: Headers, name: string): string {
  return `header ${name} must be a whole number, got ${shown(headers[name])}`;
}

function shown(value: string | readonly string[] | undefined): string {
  return value === undefined ? "nothing" : JSON.stringify(value).slice(0, 80);
}
