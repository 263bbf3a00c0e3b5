/**
 * Checks of what a request or record carries, that need no state: the same rules early at the leader and again at apply.
 *
 * Decides whether a list of branches, its votes or a timeout are well formed. Whether they fit the recorded transaction is decided
 * in lifecycle.ts.
 */
import { nameProblem } from "../base/index.js";
import type { CheckBranches, RefusalReason, TxnLimits } from "./api.js";
import type { BranchKind, BranchSpec, Vote } from "./command.js";

export interface Problem {
  readonly reason: RefusalReason;
  readonly message: string;
}

/** Undefined when every branch is well formed, their ids differ, and sizes are inside the limits. An empty list is fine here. */
export const checkBranches: CheckBranches = (branches, limits) => {
  if (branches.length > limits.branchesMax) {
    return tooLarge(`branches has ${branches.length} entries; the limit branchesMax is ${limits.branchesMax}: split the transaction`);
  }
  let bytes = 0;
  for (let i = 0; i < branches.length; i++) {
    const branch = branches[i];
    if (branch === undefined) return invalid(`branches[${i}] is missing`);
    const problem = checkBranch(branch, i, limits);
    if (problem !== undefined) return problem;
    bytes += branch.payload.length;
    for (let j = 0; j < i; j++) {
      if (branches[j]?.id === branch.id) {
        return {
          reason: "duplicate-branch",
          message: `branches[${j}] and branches[${i}] share the id "${branch.id}"; give every branch of a transaction its own id`,
        };
      }
    }
  }
  return checkTransactionBytes(bytes, limits);
};

export function kindOf({ kind }: BranchSpec): BranchKind {
  return kind ?? "2pc";
}

function checkBranch(branch: BranchSpec, index: number, limits: TxnLimits): Problem | undefined {
  const name = nameProblem("branch id", branch.id) ?? nameProblem("participant", branch.participant);
  if (name !== undefined) return invalid(`branches[${index}]: ${name}`);
  const bytes = branch.payload.length;
  if (bytes > limits.payloadBytesMax) {
    return tooLarge(
      `the payload of branch "${branch.id}" is ${bytes} bytes; the limit payloadBytesMax is ${limits.payloadBytesMax}: store the data elsewhere and send a reference`,
    );
  }
  if (branch.mode === "brought" && bytes > 0) {
    return invalid(`branch "${branch.id}" is brought by the client and must have an empty payload, got ${bytes} bytes`);
  }
  return undefined;
}

/** The bound on what one transaction holds in the log and in memory. */
export function checkTransactionBytes(bytes: number, limits: TxnLimits): Problem | undefined {
  if (bytes <= limits.transactionBytesMax) return undefined;
  return tooLarge(
    `the payloads of the transaction are ${bytes} bytes together; the limit transactionBytesMax is ${limits.transactionBytesMax}`,
  );
}

export function checkTimeout(timeoutMs: number, limits: TxnLimits): Problem | undefined {
  if (Number.isInteger(timeoutMs) && timeoutMs >= limits.timeoutMsMin && timeoutMs <= limits.timeoutMsMax) return undefined;
  return invalid(`timeoutMs is ${timeoutMs}; it must be an integer from ${limits.timeoutMsMin} to ${limits.timeoutMsMax}`);
}

/** Exactly one vote for every brought branch and none for any other: the votes of asked branches come from their participants. */
export function checkVotes(
  branches: readonly BranchSpec[],
  votes: readonly { readonly branch: string; readonly vote: Vote }[],
): Problem | undefined {
  let brought = 0;
  for (const branch of branches) {
    let count = 0;
    for (const vote of votes) {
      if (vote.branch !== branch.id) continue;
      count++;
      if (vote.vote === "read-only" && branch.kind === "tcc") {
        return invalid(`votes says read-only for the TCC branch "${branch.id}"; a try votes yes or no`);
      }
    }
    if (branch.mode === "asked") {
      if (count > 0) return invalid(`votes names the asked branch "${branch.id}"; only brought branches bring a vote`);
      continue;
    }
    brought++;
    if (count === 0) return invalid(`votes lacks the brought branch "${branch.id}"; prepare it before Commit and send its vote`);
    if (count > 1) return invalid(`votes names branch "${branch.id}" ${count} times; send one vote for each brought branch`);
  }
  if (votes.length === brought) return undefined;
  const stranger = votes.find((vote) => !branches.some((branch) => branch.id === vote.branch));
  return invalid(`votes names branch "${stranger?.branch ?? ""}", which is not in branches`);
}

/**
 * The branch that alone decides a sealed list: asked, while every other one was brought and voted read-only. Undefined when more than
 * one may still vote, when a brought one holds a promise, when nobody is asked, and when one is of kind `tcc`: a reservation that its
 * participant alone confirms would be no reservation.
 */
export function soleVoter(
  branches: readonly BranchSpec[],
  votes: readonly { readonly branch: string; readonly vote: Vote }[],
): BranchSpec | undefined {
  let sole: BranchSpec | undefined;
  for (const branch of branches) {
    if (branch.kind === "tcc") return undefined;
    if (branch.mode === "brought") continue;
    if (sole !== undefined) return undefined;
    sole = branch;
  }
  return votes.every(({ vote }) => vote === "read-only") ? sole : undefined;
}

export function checkRegister(name: string, valueBytes: number, limits: TxnLimits): Problem | undefined {
  if (name.length === 0) return invalid("name is empty; name the register");
  if (name.length > limits.registerNameMax) {
    return tooLarge(`name is ${name.length} characters long; the limit registerNameMax is ${limits.registerNameMax}`);
  }
  if (valueBytes > limits.registerValueBytesMax) {
    return tooLarge(`value is ${valueBytes} bytes; the limit registerValueBytesMax is ${limits.registerValueBytesMax}`);
  }
  return undefined;
}

const CLIENT_PATTERN = /^[0-9a-f]{32}$/;

/** The id of a request whose answer is remembered. */
export function checkRequestId(request: { readonly client: string; readonly seq: number; readonly ackBelow: number }): Problem | undefined {
  if (!CLIENT_PATTERN.test(request.client)) {
    return invalid(`request.client ${JSON.stringify(request.client.slice(0, 60))} must be a UUID v7 as 32 hex digits`);
  }
  if (!Number.isSafeInteger(request.seq) || request.seq < 1) return invalid(`request.seq is ${request.seq}; requests count from 1`);
  if (!Number.isSafeInteger(request.ackBelow) || request.ackBelow < 0) {
    return invalid(`request.ackBelow is ${request.ackBelow}; it must be an integer from 0`);
  }
  return undefined;
}

function invalid(message: string): Problem {
  return { reason: "invalid", message };
}

function tooLarge(message: string): Problem {
  return { reason: "too-large", message };
}
