/**
 * Requests of clients: checked early with the rules of apply, then proposed.
 *
 * An early refusal spares a log round and keeps PREPARE from going out for nothing; it is never the only check, because records under
 * way may change what apply finds.
 */
import { gidProblem, gidTimeMs, newGid, SERVICE_PREFIX } from "../base/index.js";
import type { Gid } from "../base/index.js";
import {
  checkBranches,
  checkRegister,
  checkRequestId,
  checkTimeout,
  checkVotes,
  kindOf,
  sameBranch,
  sameList,
  TCC_LEVEL,
  TXN_LIMITS,
  unknownParticipantMessage,
} from "../txn/index.js";
import type { BranchSpec, Command, Lookup, Transaction } from "../txn/index.js";
import type { ClientSession } from "./api.js";
import { alreadyDecidedAnswer, belowFloorAnswer, decidedAnswer, decisionIn, errorAnswer, gidError, notProposed } from "./answers.js";
import type { Chores } from "./chores.js";
import type { Context } from "./context.js";
import type { Courier } from "./courier.js";
import type { Decider } from "./decider.js";
import type { Drive } from "./drive.js";
import type { Puts } from "./puts.js";
import { listRegistrations, registrationProblem } from "./registrations.js";
import type { Answer, Request } from "./request.js";
import { listViews, viewOf } from "./views.js";

type Of<K extends Request["kind"]> = Extract<Request, { kind: K }>;

/** Gids made for one stream that are remembered, so that a repeated Begin gets the same one. */
const MADE_GIDS_MAX = 1024;

interface From {
  readonly session: ClientSession;
  readonly request: number;
}

export class Requests {
  readonly #context: Context;
  readonly #decider: Decider;
  readonly #courier: Courier;
  readonly #chores: Chores;
  readonly #puts: Puts;
  readonly #made = new Map<ClientSession, Map<number, Gid>>();

  constructor(context: Context, decider: Decider, courier: Courier, chores: Chores, puts: Puts) {
    this.#context = context;
    this.#decider = decider;
    this.#courier = courier;
    this.#chores = chores;
    this.#puts = puts;
  }

  /** An answer that is known at once, or undefined when the request waits for the log. */
  handle(session: ClientSession, request: number, body: Request, nowMs: number): Answer | undefined {
    const from: From = { session, request };
    switch (body.kind) {
      case "commit":
        return this.#commit(from, body, nowMs);
      case "put":
        return this.#put(from, body);
      case "open":
        return this.#open(from, body, nowMs);
      case "enlist":
        return this.#enlist(from, body, nowMs);
      case "abort":
        return this.#abort(from, body, nowMs);
      case "outcome":
        return this.#outcome(from, body, nowMs);
      case "retry":
        return this.#retry(body, nowMs);
      case "resolve":
        return this.#resolve(from, body);
      case "noop":
        return this.#noop(from);
      case "read":
      case "list":
        return this.read(body);
    }
  }

  /** What any node answers from its state, after the quorum round of the replica. */
  read(body: Of<"read"> | Of<"list"> | Of<"outcome">): Answer {
    const { state } = this.#context;
    switch (body.kind) {
      case "read": {
        if (body.name === SERVICE_PREFIX) return listRegistrations(state.services());
        const register = state.register(body.name);
        return { kind: "read", value: register?.value, version: register?.version };
      }
      case "list":
        return { kind: "transactions", transactions: listViews(state, this.#decider.drives, body.state, body.limit) };
      case "outcome": {
        const problem = gidProblem(body.gid);
        if (problem !== undefined) return gidError("invalid", problem, body.gid);
        return { kind: "transaction", transaction: viewOf(body.gid, state.lookup(body.gid), this.#decider.drives.get(body.gid)) };
      }
    }
  }

  sessionDown(session: ClientSession): void {
    this.#made.delete(session);
  }

  stop(): void {
    this.#made.clear();
  }

  // ---- open, enlist

  #open(from: From, body: Of<"open">, nowMs: number): Answer | undefined {
    const gid = body.gid ?? this.#madeGid(from);
    const found = this.#context.state.lookup(gid);
    const recorded = decisionIn(found);
    if (recorded !== undefined) return alreadyDecidedAnswer(gid, recorded);
    if (found.kind === "expired") return this.#belowFloor(gid);
    let drive = this.#decider.drives.get(gid);
    if (drive === undefined && found.kind !== "transaction") {
      const problem = this.#startProblem(gid) ?? this.#branchesProblem(gid, body.branches) ?? this.#broughtProblem(gid, body.branches);
      if (problem !== undefined) return problem;
    }
    const timeoutMs = this.#timeoutMs(body.timeoutMs);
    const timeout = checkTimeout(timeoutMs, TXN_LIMITS);
    if (timeout !== undefined) return gidError(timeout.reason, timeout.message, gid);
    if (drive === undefined) {
      if (this.#full()) return this.#overloaded(gid);
      drive =
        found.kind === "transaction"
          ? this.#decider.adopt(found.transaction, nowMs)
          : this.#decider.create(gid, body.client, timeoutMs, "opening", nowMs);
    } else if (drive.stage === "unrecorded" && drive.deciding === undefined) {
      drive.stage = "opening";
    }
    const waiting = this.#decider.wait(drive, "open", from.session, from.request);
    if (waiting !== "waiting") return waiting === "full" ? this.#overloaded(gid) : undefined;
    this.#context.outbox.propose({ kind: "OPEN", gid, client: body.client, timeoutMs, branches: body.branches });
    return undefined;
  }

  /** The gid of a Begin without one: the same for the same request of the same stream. */
  #madeGid({ session, request }: From): Gid {
    let made = this.#made.get(session);
    if (made === undefined) {
      made = new Map();
      this.#made.set(session, made);
    }
    let gid = made.get(request);
    if (gid === undefined) {
      gid = newGid(this.#context.stampNow(), this.#context.random32);
      made.set(request, gid);
      if (made.size > MADE_GIDS_MAX) for (const oldest of made.keys()) if (made.size > MADE_GIDS_MAX) made.delete(oldest);
    }
    return gid;
  }

  #enlist(from: From, body: Of<"enlist">, nowMs: number): Answer | undefined {
    const { gid, branch } = body;
    const malformed = gidProblem(gid);
    if (malformed !== undefined) return gidError("invalid", malformed, gid);
    const found = this.#context.state.lookup(gid);
    const recorded = decisionIn(found);
    if (recorded !== undefined) return alreadyDecidedAnswer(gid, recorded);
    if (found.kind === "expired") return this.#belowFloor(gid);
    const drive = this.#decider.drives.get(gid);
    if (drive === undefined && found.kind !== "transaction") {
      return gidError("unknown", `transaction ${gid} has no record here: its outcome is unknown; ask for it before starting again`, gid);
    }
    const problem = this.#branchesProblem(gid, [branch]) ?? this.#broughtProblem(gid, [branch]);
    if (problem !== undefined) return problem;
    // A transaction of an earlier leader that the sweep has not reached: its record is enough to wait on.
    const waitedOn = drive ?? (found.kind === "transaction" ? this.#decider.adopt(found.transaction, nowMs) : undefined);
    const waiting = waitedOn === undefined ? "full" : this.#decider.wait(waitedOn, "enlist", from.session, from.request, branch.id);
    if (waiting !== "waiting") return waiting === "full" ? this.#overloaded(gid) : undefined;
    this.#context.outbox.propose({ kind: "ENLIST", gid, branch });
    return undefined;
  }

  // ---- commit, abort

  #commit(from: From, body: Of<"commit">, nowMs: number): Answer | undefined {
    const { gid, branches, votes } = body;
    const malformed = gidProblem(gid);
    if (malformed !== undefined) return gidError("invalid", malformed, gid);
    const found = this.#context.state.lookup(gid);
    const recorded = decisionIn(found);
    if (recorded !== undefined) return decidedAnswer(gid, recorded);
    if (found.kind === "expired") return this.#belowFloor(gid);
    let drive = this.#decider.drives.get(gid);
    if (drive === undefined && found.kind === "transaction") drive = this.#decider.adopt(found.transaction, nowMs);
    if (drive === undefined) {
      const problem = this.#startProblem(gid);
      if (problem !== undefined) return problem;
      if (this.#full()) return this.#overloaded(gid);
      const ageMs = this.#context.stampNow() - gidTimeMs(gid);
      if (ageMs > TXN_LIMITS.commitWindowMs) return this.#fence(from, gid, ageMs, nowMs);
    }
    // An abort is on its way: it will answer.
    if (drive?.deciding === "abort") return this.#waitFor(drive, "commit", from);
    const problem = this.#commitProblem(body, found, drive);
    if (problem !== undefined) return problem;
    if (drive === undefined) drive = this.#decider.create(gid, body.client, this.#timeoutMs(body.timeoutMs), "unrecorded", nowMs);
    // First the place to wait: "nothing was proposed" must not be said of a BEGIN that was.
    const full = this.#waitFor(drive, "commit", from);
    if (full === undefined && drive.stage !== "sealing" && drive.stage !== "sealed") this.#decider.begin(drive, branches, votes, nowMs);
    return full;
  }

  #commitProblem(body: Of<"commit">, found: Lookup, drive: Drive | undefined): Answer | undefined {
    const { gid, branches, votes } = body;
    if (branches.length === 0) return gidError("no-branches", "branches is empty; a transaction commits at least one branch", gid);
    const problem = checkTimeout(this.#timeoutMs(body.timeoutMs), TXN_LIMITS) ?? checkVotes(branches, votes);
    if (problem !== undefined) return gidError(problem.reason, problem.message, gid);
    const branchProblem = this.#branchesProblem(gid, branches);
    if (branchProblem !== undefined) return branchProblem;
    if (drive !== undefined && (drive.stage === "sealing" || drive.stage === "sealed")) {
      const listed = drive.branches.filter((branch) => branch.listed);
      if (listed.length === branches.length && branches.every((branch) => listed.some((other) => sameBranch(branch, other.spec))))
        return undefined;
      return gidError("branch-mismatch", `Commit of ${gid} names other branches than the Commit before it`, gid);
    }
    const contradicted = branches.find((branch) => drive?.contradicts(branch) === true);
    if (contradicted !== undefined) {
      return gidError("branch-mismatch", `branch "${contradicted.id}" of ${gid} was already asked with other contents; start again`, gid);
    }
    return found.kind === "transaction" ? enlistedProblem(found.transaction, branches) : undefined;
  }

  /**
   * Too late to start. The gid is aborted by a record, so that the refusal is final and branches the client prepared are released at
   * once instead of by inquiry.
   */
  #fence(from: From, gid: Gid, ageMs: number, nowMs: number): Answer | undefined {
    const drive = this.#decider.create(gid, "", TXN_LIMITS.timeoutMsMax, "unrecorded", nowMs);
    const answer = this.#waitFor(drive, "late-commit", from);
    this.#decider.abort(
      drive,
      "timeout",
      `Commit came ${ageMs} ms after the gid was made; the commit window is ${TXN_LIMITS.commitWindowMs} ms`,
    );
    return answer;
  }

  /**
   * A gid without a record is aborted by writing one: a Commit still on its way then loses, and the client knows the outcome.
   */
  #abort(from: From, body: Of<"abort">, nowMs: number): Answer | undefined {
    const { gid } = body;
    const malformed = gidProblem(gid);
    if (malformed !== undefined) return gidError("invalid", malformed, gid);
    const found = this.#context.state.lookup(gid);
    const recorded = decisionIn(found);
    if (recorded !== undefined) return recorded.decision === "abort" ? decidedAnswer(gid, recorded) : alreadyDecidedAnswer(gid, recorded);
    if (found.kind === "expired") return this.#belowFloor(gid);
    let drive = this.#decider.drives.get(gid);
    if (drive === undefined) {
      if (found.kind === "transaction") drive = this.#decider.adopt(found.transaction, nowMs);
      else {
        const problem = this.#startProblem(gid);
        if (problem !== undefined) return problem;
        if (this.#full()) return this.#overloaded(gid);
        drive = this.#decider.create(gid, "", TXN_LIMITS.timeoutMsMax, "unrecorded", nowMs);
      }
    }
    const full = this.#waitFor(drive, "abort", from);
    if (full === undefined) this.#decider.abort(drive, "client", "the client asked for the abort");
    return full;
  }

  #waitFor(drive: Drive, kind: "commit" | "late-commit" | "abort" | "outcome", from: From): Answer | undefined {
    return this.#decider.wait(drive, kind, from.session, from.request) === "full" ? this.#overloaded(drive.gid) : undefined;
  }

  #outcome(from: From, body: Of<"outcome">, nowMs: number): Answer | undefined {
    if (!body.wait || gidProblem(body.gid) !== undefined) return this.read(body);
    const found = this.#context.state.lookup(body.gid);
    if (decisionIn(found) !== undefined || found.kind === "expired") return this.read(body);
    let drive = this.#decider.drives.get(body.gid);
    if (drive === undefined && found.kind === "transaction") drive = this.#decider.adopt(found.transaction, nowMs);
    return drive === undefined ? this.read(body) : this.#waitFor(drive, "outcome", from);
  }

  // ---- operators

  #retry(body: Of<"retry">, nowMs: number): Answer {
    const { gid } = body;
    const malformed = gidProblem(gid);
    if (malformed !== undefined) return gidError("invalid", malformed, gid);
    const found = this.#context.state.lookup(gid);
    const drive = this.#decider.drives.get(gid);
    if (drive !== undefined) for (const branch of [...drive.branches]) this.#courier.retry(branch, nowMs);
    else if (found.kind === "transaction") this.#decider.adopt(found.transaction, nowMs);
    else if (found.kind === "expired") return this.#belowFloor(gid);
    else if (found.kind === "none") return gidError("unknown", `transaction ${gid} has no record; there is nothing to retry`, gid);
    return { kind: "ok" };
  }

  #resolve(from: From, body: Of<"resolve">): Answer | undefined {
    const { gid, branch, outcome, by, note } = body;
    const malformed = gidProblem(gid);
    if (malformed !== undefined) return gidError("invalid", malformed, gid);
    if (this.#full()) return this.#overloaded(gid);
    this.#puts.waitResolve(gid, branch, from.session, from.request);
    this.#context.outbox.propose({ kind: "HEURISTIC", gid, branch, outcome, by, note });
    return undefined;
  }

  // ---- register space

  #put(from: From, body: Of<"put">): Answer | undefined {
    const { request, name, value, expect } = body;
    const problem = checkRequestId(request) ?? checkRegister(name, value.length, TXN_LIMITS);
    if (problem !== undefined) return gidError(problem.reason, problem.message, undefined, undefined);
    const refused = registrationProblem(this.#context.state, this.#decider.drives.values(), name, value);
    if (refused !== undefined) return refused;
    if (this.#full()) return this.#overloaded(undefined);
    if (this.#puts.wait(request, from.session, from.request)) this.#context.outbox.propose({ kind: "PUT", request, name, value, expect });
    return undefined;
  }

  #noop(from: From): Answer | undefined {
    if (this.#full()) return this.#overloaded(undefined);
    const command: Command = { kind: "NOOP" };
    this.#puts.waitNoop(command, from.session, from.request);
    this.#context.outbox.propose(command);
    return undefined;
  }

  // ---- checks

  #timeoutMs(asked: number): number {
    return asked === 0 ? this.#context.options.transactionTimeoutMs : asked;
  }

  #full(): boolean {
    return this.#decider.drives.size + this.#puts.size >= this.#context.options.openTransactionsMax;
  }

  #overloaded(gid: Gid | undefined): Answer {
    return notProposed(`openTransactionsMax is ${this.#context.options.openTransactionsMax} and is reached`, gid);
  }

  /** Final whatever is under way: a gid below the applied floor without a record never gets one. */
  #belowFloor(gid: Gid): Answer {
    return belowFloorAnswer(gid, this.#context.state.meta().floorMs);
  }

  /** Why a gid without a record cannot get one. */
  #startProblem(gid: Gid): Answer | undefined {
    const malformed = gidProblem(gid);
    if (malformed !== undefined) return gidError("invalid", malformed, gid);
    const aheadMs = gidTimeMs(gid) - this.#context.stampNow();
    if (aheadMs <= TXN_LIMITS.futureMsMax) return undefined;
    return errorAnswer(
      "QUORATE_CLOCK",
      `the time inside gid ${gid} is ${aheadMs} ms ahead of the cluster; the limit is ${TXN_LIMITS.futureMsMax}: correct the client's clock`,
      { gid, outcome: "unknown" },
    );
  }

  /** Of what a client does itself nobody votes later: whoever could never be told how it ended is refused before. */
  #broughtProblem(gid: Gid, branches: readonly BranchSpec[]): Answer | undefined {
    const lost = branches.find((branch) => branch.mode === "brought" && this.#courier.lacks(branch.participant, kindOf(branch)));
    if (lost === undefined) return undefined;
    const why = `no attached instance of participant "${lost.participant}" takes branches of kind ${kindOf(lost)}`;
    return gidError("invalid", `branch "${lost.id}": ${why}; name a participant that does`, gid);
  }

  #branchesProblem(gid: Gid, branches: readonly BranchSpec[]): Answer | undefined {
    const problem = checkBranches(branches, TXN_LIMITS);
    if (problem !== undefined) return gidError(problem.reason, problem.message, gid);
    const { featureLevel } = this.#context.state.meta();
    const tcc = featureLevel < TCC_LEVEL ? branches.find(({ kind }) => kind === "tcc") : undefined;
    if (tcc !== undefined) {
      const why = `branch "${tcc.id}" is of kind tcc, which needs a state of feature level ${TCC_LEVEL}`;
      return gidError("invalid", `${why}; the state of this cluster began at level ${featureLevel} and stays there`, gid);
    }
    for (const branch of branches) {
      const service = this.#context.state.serviceProblem(branch);
      if (service !== undefined) return gidError("unknown-participant", service, gid);
      if (this.#chores.knows(branch.participant)) continue;
      const known = this.#context.state.participants().map((participant) => participant.name);
      return gidError("unknown-participant", unknownParticipantMessage(branch, known), gid);
    }
    return undefined;
  }
}

/** Every enlisted branch must be in the list unchanged; checked before PREPARE goes out. */
function enlistedProblem(transaction: Transaction, branches: readonly BranchSpec[]): Answer | undefined {
  const { gid } = transaction;
  if (transaction.state === "sealed") {
    if (sameList(transaction.branches, branches)) return undefined;
    return gidError("branch-mismatch", `Commit of ${gid} names other branches than the sealed ones`, gid);
  }
  const lost = transaction.branches.find((recorded) => !branches.some((branch) => sameBranch(recorded, branch)));
  if (lost === undefined) return undefined;
  return gidError("branch-mismatch", `Commit of ${gid} lacks branch "${lost.id}" as it was enlisted; name the complete list`, gid);
}
