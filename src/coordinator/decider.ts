/**
 * One transaction from its votes to the last acknowledgement.
 *
 * Decides when a DECIDE is proposed and which branches are told what. Rules it keeps: a commit is proposed only with a vote of every
 * listed branch, counted as a set by branch id; every abort is a proposal; nobody is told or answered before the decision is applied;
 * of a delegated transaction only its participant's answer decides. Who is asked, and when, is in asking.ts.
 */
import { assert, must } from "../base/index.js";
import type { Gid } from "../base/index.js";
import { owes } from "../txn/index.js";
import type { AbortReason, BranchSpec, Lookup, Transaction, Vote } from "../txn/index.js";
import type { InstanceId } from "./api.js";
import { Asking } from "./asking.js";
import { alreadyDecidedAnswer, decidedAnswer, decisionIn, delegatedUnknown, gidError } from "./answers.js";
import type { RecordedDecision } from "./answers.js";
import type { Chores } from "./chores.js";
import type { Clients } from "./clients.js";
import { clip } from "./clip.js";
import type { Context } from "./context.js";
import type { Courier } from "./courier.js";
import { BranchDrive, Drive } from "./drive.js";
import type { Stage, Waiter, WaiterKind } from "./drive.js";
import { kindRecorded, verdictOf } from "./inquiry.js";
import type { Answer } from "./request.js";
import { viewOf } from "./views.js";
import { ballotOf, votesOf, whyMissing } from "./votes.js";

/** Requests that may wait for one gid. More are told to come back. */
const WAITERS_MAX = 1024;
const DETAIL_CHARS_MAX = 500;

export class Decider {
  readonly drives: Map<Gid, Drive>;
  readonly #context: Context;
  readonly #courier: Courier;
  readonly #asking: Asking;
  readonly #clients: Clients;
  readonly #chores: Chores;
  #waiting = 0;
  /** Drives whose DECIDE was not taken. */
  readonly #undecided = new Set<Drive>();
  #undecidedDueMs = Infinity;

  constructor(context: Context, drives: Map<Gid, Drive>, courier: Courier, clients: Clients, chores: Chores) {
    this.#context = context;
    this.drives = drives;
    this.#courier = courier;
    this.#asking = new Asking(context, courier);
    this.#clients = clients;
    this.#chores = chores;
  }

  get waiting(): number {
    return this.#waiting;
  }

  wakeAtMs(): number {
    return this.#undecidedDueMs;
  }

  tick(nowMs: number): void {
    if (nowMs < this.#undecidedDueMs) return;
    this.#undecidedDueMs = Infinity;
    const drives = [...this.#undecided];
    this.#undecided.clear();
    for (const drive of drives) if (this.drives.get(drive.gid) === drive) this.#decideIfReady(drive);
  }

  /** Every waiter is answered; nothing is remembered. */
  stop(answerFor: (gid: Gid) => Answer): void {
    for (const drive of this.drives.values()) this.answerWaiters(drive, () => answerFor(drive.gid));
    this.drives.clear();
    this.#undecided.clear();
    this.#undecidedDueMs = Infinity;
  }

  // ---- beginning

  create(gid: Gid, client: string, timeoutMs: number, stage: Stage, nowMs: number): Drive {
    const drive = new Drive(gid, client, timeoutMs, stage);
    this.drives.set(gid, drive);
    this.#context.wheel.set(drive, nowMs + timeoutMs);
    return drive;
  }

  /** Goes on with a recorded transaction: told again when decided, asked again when sealed, watched when open. */
  adopt(transaction: Transaction, nowMs: number): Drive {
    const { gid, client, timeoutMs, state } = transaction;
    const drive = this.create(gid, client, timeoutMs, state, nowMs);
    if (state === "decided") this.#tell(drive, transaction, nowMs);
    else if (state === "open") this.#clients.track(drive, nowMs);
    else this.#carryOn(drive, transaction, nowMs);
    return drive;
  }

  /** A sealed transaction exists because a client asked to commit it, so it is decided by its votes, not given up. */
  #carryOn(drive: Drive, transaction: Transaction, nowMs: number): void {
    drive.list(transaction.branches);
    for (const { id, participant, vote } of transaction.branches) if (vote !== undefined) this.#bring(drive, id, participant, vote);
    drive.delegated = transaction.delegated;
    if (drive.delegated) this.#asking.commitInOnePhase(drive, nowMs);
    else this.#asking.ask(drive, nowMs);
    this.#decideIfReady(drive);
  }

  /**
   * Proposes BEGIN and, in parallel, asks the participants; not when it is delegated. With every vote brought, the decision goes out in
   * the same batch.
   */
  begin(
    drive: Drive,
    branches: readonly BranchSpec[],
    votes: readonly { readonly branch: string; readonly vote: Vote }[],
    nowMs: number,
  ): void {
    this.#clients.untrack(drive);
    drive.stage = "sealing";
    // What an earlier Commit listed with other contents and nobody was asked for yet must never be asked for.
    for (const branch of drive.replaced(branches)) this.#courier.settle(branch);
    drive.list(branches);
    drive.delegated = this.#asking.delegates(drive, branches, votes);
    drive.begunHere = true;
    const { gid, client, timeoutMs, delegated } = drive;
    this.#context.outbox.propose({ kind: "BEGIN", gid, client, timeoutMs, branches: sortedById(branches), votes, delegated });
    for (const { branch, vote } of votes) {
      const spec = must(
        branches.find((candidate) => candidate.id === branch),
        "branch of a checked vote",
      );
      this.#bring(drive, branch, spec.participant, vote);
    }
    // Whatever a stray prepare of an earlier leader says from now on is no vote.
    if (drive.delegate !== undefined) drive.delegate.phase = "one-phase";
    else this.#asking.ask(drive, nowMs);
    this.#decideIfReady(drive);
  }

  /** BEGIN was not taken, or refused at apply: votes are kept, nothing counts until another Commit. */
  unseal(drive: Drive, stage: "open" | "unrecorded", nowMs: number): void {
    if (drive.stage !== "sealing") return;
    drive.stage = stage;
    if (drive.delegate !== undefined) drive.delegate.phase = "prepare";
    drive.delegated = false;
    if (stage === "open") this.#clients.track(drive, nowMs);
    // Wanted while the BEGIN was under way, when it would have been refused.
    if (drive.abortWanted !== undefined) this.#decideIfReady(drive);
  }

  sealed(drive: Drive, transaction: Transaction, nowMs: number): void {
    if (drive.stage === "decided" || drive.stage === "sealed") return;
    const asked = drive.stage === "sealing" && drive.delegated === transaction.delegated;
    drive.stage = "sealed";
    this.#clients.untrack(drive);
    if (!asked) return this.#carryOn(drive, transaction, nowMs);
    if (drive.delegated) this.#asking.commitInOnePhase(drive, nowMs);
    else this.#asking.begun(drive, nowMs);
    this.#decideIfReady(drive);
  }

  // ---- votes and decision

  #bring(drive: Drive, id: string, participant: string, vote: Vote): void {
    const branch = must(drive.find(id, participant), "listed branch");
    if (branch.vote !== undefined) return;
    branch.vote = vote;
    drive.missing--;
  }

  voted(branch: BranchDrive, said: Vote, why: string, instance: InstanceId, nowMs: number): void {
    const { drive } = branch;
    const { vote, detail } = ballotOf(branch, said, why);
    if (branch.phase !== "prepare" || drive.stage === "decided") {
      this.strayVote(instance, drive.gid, branch.id, vote);
      return;
    }
    this.#courier.replied(branch, "idle");
    if (branch.vote === undefined) {
      branch.vote = vote;
      branch.voteDetail = clip(detail, DETAIL_CHARS_MAX);
      if (branch.listed) drive.missing--;
    } else if (branch.vote === "read-only" && vote === "yes") {
      // A repeated prepare did the work again. Before the decision is proposed that copy counts; after it, it is a duplicate.
      if (drive.deciding === undefined) branch.vote = "yes";
      else branch.duplicate = true;
    } else if (branch.vote !== vote && !(branch.vote === "yes" && vote === "read-only")) {
      this.#context.outbox.alarm(
        "vote-changed",
        drive.gid,
        branch.id,
        `branch "${branch.id}" of participant "${branch.participant}" voted ${branch.vote}, then ${vote}; the first vote counts`,
      );
    }
    if (branch.branchKind === "tcc") this.#asking.tried(drive, nowMs);
    this.#decideIfReady(drive);
  }

  /**
   * No instance of its participant takes branches of its kind, and none was ever asked: that is a no, said for it. After a failover it
   * only waits, because an earlier leader may have known another instance.
   */
  unsuited(branch: BranchDrive): void {
    const { drive } = branch;
    if (branch.owed && branch.phase !== "prepare") return this.#alarmUnsuited(branch);
    if (!drive.begunHere || drive.stage === "decided" || branch.phase !== "prepare" || branch.attempt > 0) return;
    if (!branch.listed || branch.vote !== undefined) return;
    branch.unsuited = true;
    branch.vote = "no";
    branch.voteDetail = `no attached instance of it takes branches of kind ${branch.branchKind}`;
    drive.missing--;
    // Whoever attaches from now on must not be asked for it: it has its no, and nobody would take back what he did.
    this.#courier.settle(branch);
    this.#decideIfReady(drive);
  }

  /** It waits for an instance that may never come, and the transaction with it. */
  #alarmUnsuited(branch: BranchDrive): void {
    if (branch.unsuited) return;
    branch.unsuited = true;
    this.#context.outbox.alarm(
      "branch-unsuited",
      branch.drive.gid,
      branch.id,
      `branch "${branch.id}" of participant "${branch.participant}" is of kind ${branch.branchKind} and owes an acknowledgement, and no attached instance takes that kind; attach one, or settle the branch by \`quorate txn resolve\``,
    );
  }

  /** The participant has committed, or refused for ever, in one phase: that is the vote, and the record of it is the decision. */
  settledInOnePhase(branch: BranchDrive, vote: "yes" | "no", detail: string): void {
    this.#courier.replied(branch, "idle");
    if (branch.vote !== undefined || branch.drive.stage === "decided") return;
    branch.vote = vote;
    branch.voteDetail = clip(detail, DETAIL_CHARS_MAX);
    branch.drive.missing--;
    this.#decideIfReady(branch.drive);
  }

  /** A vote for a transaction that nobody waits for: a participant that says yes holds locks, so it gets the outcome at once. */
  strayVote(instance: InstanceId, gid: Gid, branch: string, vote: Vote): void {
    if (vote !== "yes") return;
    const found = this.#context.state.lookup(gid);
    // A repeated call that was long on its way: that the gid is forgotten means that its end was acknowledged, not that it was an abort.
    if (found.kind === "expired" && this.#courier.isAlwaysTold(instance)) return;
    const verdict = verdictOf(found, branch, this.#courier.participantOf(instance));
    if (verdict !== undefined) this.#courier.sendOnce(instance, verdict, gid, branch, kindRecorded(found, branch));
  }

  #decideIfReady(drive: Drive): void {
    if (drive.deciding !== undefined || drive.stage === "decided") return;
    if (drive.abortWanted !== undefined && !drive.delegated) {
      this.abort(drive, drive.abortWanted.reason, drive.abortWanted.detail);
      return;
    }
    if (drive.stage !== "sealing" && drive.stage !== "sealed") return;
    const refused = drive.branches.find((branch) => branch.listed && branch.vote === "no");
    if (refused !== undefined) {
      const why = refused.voteDetail === "" ? "" : `: ${refused.voteDetail}`;
      const detail = `branch "${refused.id}" of participant "${refused.participant}" voted no${why}`;
      if (drive.delegated) this.#proposeAbort(drive, "vote-no", clip(detail, DETAIL_CHARS_MAX), refused.id);
      else this.abort(drive, "vote-no", detail);
      return;
    }
    if (drive.missing > 0) return;
    drive.deciding = "commit";
    const { gid } = drive;
    const { yes, readOnly } = votesOf(drive);
    this.#context.outbox.propose({ kind: "DECIDE", gid, decision: "commit", reason: undefined, detail: "", yes, readOnly, refusedBy: "" });
  }

  /**
   * Proposes the abort, unless a decision is on its way: the first one in the log wins whatever is proposed here. A delegated transaction
   * is its participant's to refuse: the wish counts only when its BEGIN comes to nothing.
   */
  abort(drive: Drive, reason: AbortReason, detail: string): void {
    if (drive.stage === "decided") return;
    drive.abortWanted ??= { reason, detail: clip(detail, DETAIL_CHARS_MAX) };
    if (drive.deciding !== undefined || drive.delegated) return;
    this.#proposeAbort(drive, drive.abortWanted.reason, drive.abortWanted.detail, "");
  }

  #proposeAbort(drive: Drive, reason: AbortReason, detail: string, refusedBy: string): void {
    drive.deciding = "abort";
    const { gid } = drive;
    const { yes, readOnly } = votesOf(drive);
    this.#context.outbox.propose({ kind: "DECIDE", gid, decision: "abort", reason, detail, yes, readOnly, refusedBy });
  }

  deadline(drive: Drive, nowMs: number): void {
    if (drive.delegated && drive.stage !== "decided") return this.#delegatedDeadline(drive, nowMs);
    const missing = drive.awaited;
    const stage = drive.stage === "open" || drive.stage === "opening" ? "no Commit came" : "undecided";
    const why =
      missing === undefined ? stage : `no vote of branch "${missing.id}" of participant "${missing.participant}": ${whyMissing(missing)}`;
    this.abort(drive, "timeout", `${why} within ${drive.timeoutMs} ms`);
  }

  /** Nobody here may decide it. Whoever waits is told that the outcome is not known; whoever asks later waits as long again. */
  #delegatedDeadline(drive: Drive, nowMs: number): void {
    const { gid, timeoutMs } = drive;
    const { participant } = must(drive.delegate, "branch of a delegated transaction");
    this.#context.wheel.set(drive, nowMs + timeoutMs);
    if (drive.deciding !== undefined) return;
    this.abort(drive, "timeout", `undecided within ${timeoutMs} ms`);
    const unknown = delegatedUnknown(gid, participant, timeoutMs);
    const found = this.#context.state.lookup(gid);
    this.answerWaiters(drive, ({ kind }) =>
      kind === "outcome" ? { kind: "transaction", transaction: viewOf(gid, found, drive) } : unknown,
    );
  }

  /** The DECIDE was not taken by the replica. */
  decideNotTaken(drive: Drive, answer: Answer, nowMs: number): void {
    drive.deciding = undefined;
    if (drive.stage === "decided") return;
    // Nothing was asked and nothing is recorded: there is only the answer to give.
    const bare = drive.stage === "unrecorded" && drive.branches.length === 0;
    this.answerWaiters(drive, ({ kind }) => (bare || kind === "abort" || kind === "late-commit" ? answer : undefined));
    if (bare) return this.drop(drive);
    this.#undecided.add(drive);
    this.#undecidedDueMs = Math.min(this.#undecidedDueMs, nowMs + this.#context.options.retryDelayMsMin);
  }

  /** A commit was refused at apply, because its BEGIN was. An abort asked for meanwhile goes out now. */
  commitRefused(drive: Drive, nowMs: number): void {
    if (drive.stage === "decided") return;
    drive.deciding = undefined;
    if (drive.abortWanted !== undefined) this.#decideIfReady(drive);
    else if (!drive.timerSet) this.#context.wheel.set(drive, nowMs + drive.timeoutMs);
  }

  /** An abort was refused at apply because the transaction is delegated: its participant is being asked, and decides. */
  abortHeld(drive: Drive): void {
    if (drive.stage !== "decided") drive.deciding = undefined;
  }

  /** An abort was refused at apply: the gid is below the floor or malformed, so there is nothing to decide. */
  abortRefused(drive: Drive, answer: Answer, nowMs: number): void {
    if (drive.stage === "decided") return;
    this.answerWaiters(drive, () => answer);
    this.#settle(drive, this.#context.state.lookup(drive.gid), nowMs);
  }

  // ---- outcome

  /** A decision for this gid is committed and applied; it may be an older one. */
  decided(gid: Gid, first: boolean, nowMs: number): void {
    const found = this.#context.state.lookup(gid);
    const recorded = decisionIn(found);
    const drive = this.drives.get(gid);
    if (recorded === undefined) return;
    if (drive === undefined) {
      // A later one finds the drive gone because everything is acknowledged, or not yet swept.
      if (first && found.kind === "transaction") this.adopt(found.transaction, nowMs);
      return;
    }
    this.answerWaiters(drive, (waiter) => decidedFor(waiter.kind, gid, recorded, found, drive));
    if (drive.stage !== "decided") this.#settle(drive, found, nowMs);
  }

  #settle(drive: Drive, found: Lookup, nowMs: number): void {
    this.#context.wheel.cancel(drive);
    this.#clients.untrack(drive);
    if (found.kind === "transaction") return this.#tell(drive, found.transaction, nowMs);
    drive.stage = "decided";
    this.#release(drive, found, nowMs);
    if (drive.unsettled === 0) this.drop(drive);
  }

  /** Sends the outcome to every branch that owes an acknowledgement. */
  #tell(drive: Drive, transaction: Transaction, nowMs: number): void {
    const record = must(transaction.decision, "decision to tell");
    const phase = record.decision === "commit" ? "commit" : "rollback";
    this.#context.wheel.cancel(drive);
    drive.stage = "decided";
    for (const recorded of transaction.branches) {
      if (!owes(recorded, record.decision)) continue;
      let branch = drive.find(recorded.id, recorded.participant);
      if (branch === undefined) {
        branch = new BranchDrive(drive, recorded);
        drive.branches.push(branch);
      }
      branch.owed = true;
      if (branch.unsuited && branch.attempt === 0) {
        this.#courier.settle(branch);
        this.#chores.done(drive.gid, branch.id, nowMs);
        continue;
      }
      drive.unsettled++;
      this.#courier.send(branch, phase, nowMs);
    }
    this.#release(drive, { kind: "transaction", transaction }, nowMs);
    if (drive.unsettled === 0) this.drop(drive);
  }

  /** Branches that were asked but are not owed: left over from a refused Commit, or duplicates of a read-only one. */
  #release(drive: Drive, found: Lookup, nowMs: number): void {
    for (const branch of drive.branches) {
      if (branch.owed) continue;
      const asked = branch.mode === "asked" && branch.attempt > 0 && branch.vote !== "no";
      const released =
        asked && verdictOf(found, branch.id, branch.participant) === "rollback" && (branch.vote !== "read-only" || branch.duplicate);
      if (released) {
        drive.unsettled++;
        this.#courier.send(branch, "rollback", nowMs);
      } else {
        this.#courier.settle(branch);
      }
    }
  }

  /** The participant acknowledged the outcome durably. */
  acknowledged(branch: BranchDrive, nowMs: number): void {
    const { drive } = branch;
    if (branch.status === "settled") return;
    this.#courier.replied(branch, "settled");
    if (branch.owed) this.#chores.done(drive.gid, branch.id, nowMs);
    this.#settledOne(drive);
  }

  /** The branch needs no acknowledgement any more: settled by hand, or given up. */
  released(branch: BranchDrive): void {
    if (branch.status === "settled" || branch.drive.stage !== "decided") return;
    this.#courier.settle(branch);
    this.#settledOne(branch.drive);
  }

  #settledOne(drive: Drive): void {
    drive.unsettled--;
    if (drive.unsettled === 0) this.drop(drive);
  }

  /** Forgotten by the log while its branches were still told: those that ask are answered by the floor. */
  forgotten(gid: Gid): void {
    const drive = this.drives.get(gid);
    if (drive?.stage === "decided") this.drop(drive);
  }

  drop(drive: Drive): void {
    assert(drive.waiters.length === 0, () => `${drive.waiters.length} requests still wait for ${drive.gid}, which is dropped`);
    this.#context.wheel.cancel(drive);
    this.#clients.untrack(drive);
    this.#undecided.delete(drive);
    for (const branch of drive.branches) this.#courier.settle(branch);
    this.drives.delete(drive.gid);
  }

  // ---- waiters

  /** The same request, sent again, waits once. */
  wait(drive: Drive, kind: WaiterKind, session: number, request: number, branch = ""): "waiting" | "repeated" | "full" {
    if (drive.waiters.some((waiter) => waiter.session === session && waiter.request === request)) return "repeated";
    if (drive.waiters.length >= WAITERS_MAX) return "full";
    drive.waiters.push({ kind, session, request, branch });
    this.#waiting++;
    return "waiting";
  }

  /** Answers and removes the waiters for which there is an answer. */
  answerWaiters(drive: Drive, answerFor: (waiter: Waiter) => Answer | undefined): void {
    if (drive.waiters.length === 0) return;
    const left: Waiter[] = [];
    for (const waiter of drive.waiters) {
      const answer = answerFor(waiter);
      if (answer === undefined) left.push(waiter);
      else {
        this.#context.outbox.answer(waiter.session, waiter.request, answer);
        this.#waiting--;
      }
    }
    drive.waiters = left;
  }

  /** Answers the first open, or enlist of this branch: their records are applied in the order they were proposed. */
  answerFirst(drive: Drive, kind: "open" | "enlist", branch: string, answer: Answer): void {
    let answered = false;
    this.answerWaiters(drive, (waiter) => {
      if (answered || waiter.kind !== kind || waiter.branch !== branch) return undefined;
      answered = true;
      return answer;
    });
  }

  /** A Commit came too late to start its gid: its waiters are answered when the abort that makes this final is decided. */
  fence(drive: Drive, detail: string): void {
    drive.waiters = drive.waiters.map((waiter) => (waiter.kind === "commit" ? { ...waiter, kind: "late-commit" } : waiter));
    this.abort(drive, "timeout", detail);
  }
}

function decidedFor(kind: WaiterKind, gid: Gid, recorded: RecordedDecision, found: Lookup, drive: Drive): Answer {
  switch (kind) {
    case "commit":
      return decidedAnswer(gid, recorded);
    case "abort":
      return recorded.decision === "abort" ? decidedAnswer(gid, recorded) : alreadyDecidedAnswer(gid, recorded);
    case "late-commit":
      if (recorded.decision === "commit") return decidedAnswer(gid, recorded);
      return gidError("expired", `transaction ${gid} was never started: its Commit came after the commit window`, gid, "aborted");
    case "outcome":
      return { kind: "transaction", transaction: viewOf(gid, found, drive) };
    case "open":
    case "enlist":
      return alreadyDecidedAnswer(gid, recorded);
  }
}

function sortedById(branches: readonly BranchSpec[]): readonly BranchSpec[] {
  for (let i = 1; i < branches.length; i++) {
    if ((branches[i - 1] as BranchSpec).id > (branches[i] as BranchSpec).id) return [...branches].sort((a, b) => (a.id < b.id ? -1 : 1));
  }
  return branches;
}
