/**
 * OPEN, ENLIST and BEGIN: how a transaction starts, grows and is sealed.
 *
 * Decides whether a gid may start (record first, then floor, future and commit window) and whether a list of branches is the
 * recorded one. Does not decide the outcome: decision.ts.
 */
import { gidProblem, gidTimeMs } from "../base/index.js";
import type { Gid, Zxid } from "../base/index.js";
import type { ApplyResult } from "./api.js";
import { checkBranches, checkTimeout, checkTransactionBytes, checkVotes, kindOf, soleVoter } from "./check.js";
import type { BranchSpec, Command, Decision, Vote } from "./command.js";
import { refuse } from "./refusal.js";
import type { Refused } from "./refusal.js";
import { serviceProblem } from "./services.js";
import type { Tables } from "./tables.js";
import type { BranchRecord, Transaction } from "./transaction.js";

type Open = Extract<Command, { kind: "OPEN" }>;
type Enlist = Extract<Command, { kind: "ENLIST" }>;
type Begin = Extract<Command, { kind: "BEGIN" }>;

const CLIENT_NAME_MAX = 64;
const NAMES_SHOWN = 20;

export function applyOpen(tables: Tables, command: Open, zxid: Zxid): ApplyResult {
  const { gid } = command;
  const found = tables.lookup(gid);
  if (found.kind === "outcome") return alreadyDecided(gid, found.outcome.decision);
  if (found.kind === "transaction") return reopen(found.transaction, command);
  if (found.kind === "expired") return belowFloor(tables, gid);
  const problem =
    startProblem(tables, gid, command.client, command.timeoutMs) ?? branchesProblem(tables, gid, command.branches) ?? undefined;
  if (problem !== undefined) return problem;
  const transaction: Transaction = {
    gid,
    state: "open",
    client: command.client,
    timeoutMs: command.timeoutMs,
    openedZxid: zxid,
    openedStampMs: tables.stampMs,
    branches: records(command.branches, []),
    delegated: false,
    decision: undefined,
  };
  tables.putTransaction(transaction, undefined);
  return { kind: "opened", transaction };
}

/** A repeated OPEN is answered again while the transaction is open and everything it names is recorded unchanged. */
function reopen(transaction: Transaction, command: Open): ApplyResult {
  const { gid } = transaction;
  if (transaction.decision !== undefined) return alreadyDecided(gid, transaction.decision.decision);
  if (transaction.client !== command.client) {
    return refuse("wrong-state", `transaction ${gid} was opened by another client; open a transaction with a gid of your own`, gid);
  }
  if (transaction.state !== "open") {
    return refuse("wrong-state", `transaction ${gid} is sealed: a client asked to commit it, so it cannot be opened`, gid);
  }
  for (const branch of command.branches) {
    const recorded = findBranch(transaction.branches, branch.id);
    if (recorded === undefined || !sameBranch(recorded, branch)) {
      return refuse("branch-mismatch", `transaction ${gid} is open without branch "${branch.id}" as given; enlist it instead`, gid);
    }
  }
  return { kind: "opened", transaction };
}

export function applyEnlist(tables: Tables, command: Enlist): ApplyResult {
  const { gid, branch } = command;
  const found = tables.lookup(gid);
  if (found.kind === "outcome") return alreadyDecided(gid, found.outcome.decision);
  if (found.kind === "expired") return belowFloor(tables, gid);
  // Never starts it: the transaction may have been decided, or its OPEN lost with a leader, and the client must find out which.
  if (found.kind === "none") {
    return refuse("unknown", `transaction ${gid} has no record: its outcome is unknown; ask for the outcome before starting again`, gid);
  }
  const { transaction } = found;
  if (transaction.decision !== undefined) return alreadyDecided(gid, transaction.decision.decision);
  const recorded = findBranch(transaction.branches, branch.id);
  if (recorded !== undefined) {
    if (sameBranch(recorded, branch)) return { kind: "enlisted", transaction };
    return refuse(
      "duplicate-branch",
      `branch "${branch.id}" of transaction ${gid} is recorded with another participant, mode, kind or payload; give the new branch its own id`,
      gid,
    );
  }
  if (transaction.state !== "open") {
    return refuse("wrong-state", `transaction ${gid} is sealed: branch "${branch.id}" came after Commit; enlist before committing`, gid);
  }
  const problem = branchesProblem(tables, gid, [branch]) ?? growthProblem(tables, transaction, branch);
  if (problem !== undefined) return problem;
  const next: Transaction = { ...transaction, branches: insertSorted(transaction.branches, record(branch, undefined)) };
  tables.putTransaction(next, transaction);
  return { kind: "enlisted", transaction: next };
}

export function applyBegin(tables: Tables, command: Begin, zxid: Zxid): ApplyResult {
  const { gid } = command;
  const found = tables.lookup(gid);
  if (found.kind === "outcome") return { kind: "decided", gid, decision: found.outcome.decision, first: false };
  if (found.kind === "expired") return belowFloor(tables, gid);
  const before = found.kind === "transaction" ? found.transaction : undefined;
  if (before?.decision !== undefined) return { kind: "decided", gid, decision: before.decision.decision, first: false };
  if (before?.state === "sealed") {
    if (sameList(before.branches, command.branches)) return { kind: "sealed", transaction: before };
    return refuse("branch-mismatch", `Commit of ${gid} names other branches than the sealed ones: ${ids(before.branches)}`, gid);
  }
  const problem = before === undefined ? startProblem(tables, gid, command.client, command.timeoutMs) : enlistedProblem(before, command);
  const refused = problem ?? windowProblem(tables, before, gid) ?? sealProblem(tables, command);
  if (refused !== undefined) return refused;
  const transaction: Transaction = {
    gid,
    state: "sealed",
    client: before === undefined ? command.client : before.client,
    timeoutMs: before === undefined ? command.timeoutMs : before.timeoutMs,
    openedZxid: before === undefined ? zxid : before.openedZxid,
    openedStampMs: before === undefined ? tables.stampMs : before.openedStampMs,
    branches: records(command.branches, command.votes),
    delegated: command.delegated,
    decision: undefined,
  };
  tables.putTransaction(transaction, before);
  return { kind: "sealed", transaction };
}

/** Every branch enlisted before must be in the list unchanged: a client that lost one must not commit the others. */
function enlistedProblem(transaction: Transaction, command: Begin): Refused | undefined {
  const { gid } = transaction;
  for (const recorded of transaction.branches) {
    const named = command.branches.find((branch) => branch.id === recorded.id);
    if (named === undefined) {
      return refuse("branch-mismatch", `Commit of ${gid} lacks branch "${recorded.id}", which was enlisted; name the complete list`, gid);
    }
    if (!sameBranch(recorded, named)) {
      return refuse("branch-mismatch", `Commit of ${gid} names branch "${recorded.id}" with other contents than were enlisted`, gid);
    }
  }
  return undefined;
}

/**
 * A gid without a record starts only while it is young. After the window an inquiry may abort it, and a client that retries its
 * Commit across a failover is inside the window.
 */
function windowProblem(tables: Tables, before: Transaction | undefined, gid: Gid): Refused | undefined {
  if (before !== undefined) return undefined;
  const ageMs = tables.stampMs - gidTimeMs(gid);
  if (ageMs <= tables.limits.commitWindowMs) return undefined;
  return refuse(
    "expired",
    `transaction ${gid} was never started: its Commit came ${ageMs} ms after the gid was made; the limit commitWindowMs is ${tables.limits.commitWindowMs}`,
    gid,
  );
}

function sealProblem(tables: Tables, command: Begin): Refused | undefined {
  const { gid } = command;
  if (command.branches.length === 0) {
    return refuse("no-branches", `Commit of ${gid} has an empty list of branches; there is nothing to commit`, gid);
  }
  const problem = branchesProblem(tables, gid, command.branches);
  if (problem !== undefined) return problem;
  const votes = checkVotes(command.branches, command.votes);
  if (votes !== undefined) return refuse(votes.reason, votes.message, gid);
  if (!command.delegated || soleVoter(command.branches, command.votes) !== undefined) return undefined;
  return refuse("invalid", `BEGIN of ${gid} is delegated, but more than one of its branches has a say; ask for votes instead`, gid);
}

function startProblem(tables: Tables, gid: Gid, client: string, timeoutMs: number): Refused | undefined {
  const malformed = gidProblem(gid);
  if (malformed !== undefined) return refuse("invalid", malformed, gid);
  const future = futureProblem(tables, gid);
  if (future !== undefined) return future;
  if (client.length > CLIENT_NAME_MAX) {
    return refuse("invalid", `client is ${client.length} characters long; the limit is ${CLIENT_NAME_MAX}`, gid);
  }
  const timeout = checkTimeout(timeoutMs, tables.limits);
  return timeout === undefined ? undefined : refuse(timeout.reason, timeout.message, gid);
}

/** A gid from the far future would outlive every floor. */
export function futureProblem(tables: Tables, gid: Gid): Refused | undefined {
  const aheadMs = gidTimeMs(gid) - tables.stampMs;
  if (aheadMs <= tables.limits.futureMsMax) return undefined;
  return refuse(
    "future",
    `the time inside gid ${gid} is ${aheadMs} ms ahead of the cluster; the limit futureMsMax is ${tables.limits.futureMsMax}: correct the client's clock`,
    gid,
  );
}

function branchesProblem(tables: Tables, gid: Gid, branches: readonly BranchSpec[]): Refused | undefined {
  const problem = checkBranches(branches, tables.limits);
  if (problem !== undefined) return refuse(problem.reason, problem.message, gid);
  for (const branch of branches) {
    if (!tables.participants.has(branch.participant)) {
      return refuse("unknown-participant", unknownParticipantMessage(branch, tables.participants.keys()), gid);
    }
    const service = serviceProblem(tables, branch);
    if (service !== undefined) return refuse("unknown-participant", service, gid);
  }
  return undefined;
}

/** Names the participant that is not known and the ones that are. */
export function unknownParticipantMessage(branch: BranchSpec, known: Iterable<string>): string {
  const names = [...known].sort();
  const shown = names.slice(0, NAMES_SHOWN).join(", ");
  const list = names.length === 0 ? "none" : names.length > NAMES_SHOWN ? `${shown}, and ${names.length - NAMES_SHOWN} more` : shown;
  return `branch "${branch.id}" names participant "${branch.participant}", which has never attached; known participants: ${list}`;
}

function growthProblem(tables: Tables, transaction: Transaction, branch: BranchSpec): Refused | undefined {
  const { gid, branches } = transaction;
  if (branches.length >= tables.limits.branchesMax) {
    return refuse(
      "too-large",
      `transaction ${gid} has ${branches.length} branches; the limit branchesMax is ${tables.limits.branchesMax}`,
      gid,
    );
  }
  let bytes = branch.payload.length;
  for (const recorded of branches) bytes += recorded.payload.length;
  const problem = checkTransactionBytes(bytes, tables.limits);
  return problem === undefined ? undefined : refuse(problem.reason, problem.message, gid);
}

export function alreadyDecided(gid: Gid, decision: Decision): Refused {
  return refuse("already-decided", `transaction ${gid} is decided: ${decision}`, gid, decision);
}

export function belowFloor(tables: Tables, gid: Gid): Refused {
  return refuse(
    "expired",
    `transaction ${gid} has no record and is older than the cluster remembers (floor ${tables.floorMs} ms): it was never started, or its outcome is forgotten`,
    gid,
  );
}

export function findBranch(branches: readonly BranchRecord[], id: string): BranchRecord | undefined {
  for (const branch of branches) if (branch.id === id) return branch;
  return undefined;
}

/** The same work for the same participant. */
export function sameBranch(a: BranchSpec, b: BranchSpec): boolean {
  if (a.id !== b.id || a.participant !== b.participant || a.mode !== b.mode || kindOf(a) !== kindOf(b)) return false;
  if (a.payload.length !== b.payload.length) return false;
  for (let i = 0; i < a.payload.length; i++) if (a.payload[i] !== b.payload[i]) return false;
  return true;
}

/** The same set of branches, in any order. `sorted` has distinct ids. */
export function sameList(sorted: readonly BranchRecord[], named: readonly BranchSpec[]): boolean {
  if (sorted.length !== named.length) return false;
  for (const recorded of sorted) {
    const other = named.find((branch) => branch.id === recorded.id);
    if (other === undefined || !sameBranch(recorded, other)) return false;
  }
  return true;
}

function records(branches: readonly BranchSpec[], votes: readonly { readonly branch: string; readonly vote: Vote }[]): BranchRecord[] {
  const out: BranchRecord[] = [];
  let sorted = true;
  let previous = "";
  for (const branch of branches) {
    let vote: Vote | undefined = undefined;
    for (const named of votes) if (named.branch === branch.id) vote = named.vote;
    out.push(record(branch, vote));
    if (branch.id < previous) sorted = false;
    previous = branch.id;
  }
  return sorted ? out : out.sort((a, b) => (a.id < b.id ? -1 : 1));
}

function record(branch: BranchSpec, vote: Vote | undefined): BranchRecord {
  const { id, participant, mode, payload } = branch;
  return { id, participant, mode, payload, kind: kindOf(branch), vote, done: false, heuristic: undefined };
}

function insertSorted(branches: readonly BranchRecord[], added: BranchRecord): BranchRecord[] {
  const at = branches.findIndex((branch) => branch.id > added.id);
  return at < 0 ? [...branches, added] : [...branches.slice(0, at), added, ...branches.slice(at)];
}

function ids(branches: readonly BranchRecord[]): string {
  return branches.map((branch) => `"${branch.id}"`).join(", ");
}
