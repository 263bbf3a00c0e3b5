/**
 * The driver's face: inputs in, one drain out.
 *
 * Decides what each input means for the transactions under way. It acts only between establish and resign; on other nodes it answers
 * reads and the questions that applied state allows.
 */
import { unreachable } from "../base/index.js";
import type { Gid, Zxid } from "../base/index.js";
import type { ApplyResult, Command, StampedCommand, StateMachine, Transaction } from "../txn/index.js";
import { decisionIn, errorAnswer, notProposed, outcomeUnknown, refusalAnswer } from "./answers.js";
import type {
  Abilities,
  BranchReply,
  ClientSession,
  Coordinator,
  CoordinatorReady,
  CreateCoordinator,
  Inquiry,
  InstanceId,
} from "./api.js";
import { Chores } from "./chores.js";
import { Clients } from "./clients.js";
import { clip } from "./clip.js";
import type { Context, TimerOwner } from "./context.js";
import { Courier } from "./courier.js";
import { Decider } from "./decider.js";
import type { BranchDrive, Drive } from "./drive.js";
import { Inquiries } from "./inquiry.js";
import { Outbox } from "./outbox.js";
import { Puts } from "./puts.js";
import type { Request } from "./request.js";
import { Requests } from "./requests.js";
import { TimerWheel } from "./timer-wheel.js";

/** Recorded transactions taken up in one drain after establish, so that a million of them do not stall the loop. */
const SWEEP_SLICE = 2_000;

type Refused = Extract<ApplyResult, { kind: "refused" }>;

export const createCoordinator: CreateCoordinator = (state, options, random32, stampNow, buggify) =>
  new LeaderDriver({ state, options, random32, stampNow, buggify });

class LeaderDriver implements Coordinator {
  readonly #context: Context;
  readonly #outbox = new Outbox();
  readonly #wheel = new TimerWheel<TimerOwner>();
  readonly #drives = new Map<Gid, Drive>();
  readonly #clients: Clients;
  readonly #courier: Courier;
  readonly #chores: Chores;
  readonly #decider: Decider;
  readonly #inquiries: Inquiries;
  readonly #puts: Puts;
  readonly #requests: Requests;
  /** Attached instances and their kinds, for REGISTER at establish. */
  readonly #attached = new Map<InstanceId, { readonly participant: string; readonly participantKind: string }>();
  #established = false;
  #epoch = 0;
  #sweep: ReturnType<StateMachine["transactions"]> | undefined = undefined;

  constructor(given: Omit<Context, "outbox" | "wheel">) {
    this.#context = { ...given, outbox: this.#outbox, wheel: this.#wheel };
    this.#clients = new Clients(this.#context);
    this.#courier = new Courier(this.#context);
    this.#chores = new Chores(this.#context);
    this.#decider = new Decider(this.#context, this.#drives, this.#courier, this.#clients, this.#chores);
    this.#courier.reportTo(this.#decider);
    this.#inquiries = new Inquiries(this.#context, this.#drives);
    this.#puts = new Puts(this.#outbox);
    this.#requests = new Requests(this.#context, this.#decider, this.#courier, this.#chores, this.#puts);
  }

  // ---- leadership

  establish(epoch: number, nowMs: number): void {
    if (this.#established) this.resign(nowMs);
    this.#established = true;
    this.#epoch = epoch;
    this.#wheel.start(nowMs);
    this.#courier.start(epoch);
    this.#chores.start(nowMs);
    for (const { participant, participantKind } of this.#attached.values()) this.#chores.register(participant, participantKind);
    this.#sweep = this.#context.state.transactions();
  }

  resign(nowMs: number): void {
    if (!this.#established) return;
    this.#established = false;
    this.#sweep = undefined;
    // What was not drained yet is never sent; whether it was is not known to those who wait, so they are told the same.
    this.#outbox.dropEffects();
    this.#decider.stop(outcomeUnknown);
    this.#puts.stop(outcomeUnknown);
    this.#inquiries.stop();
    this.#requests.stop();
    this.#chores.stop();
    this.#courier.stop();
    this.#clients.reset();
    this.#wheel.start(nowMs);
  }

  // ---- inputs

  request(session: ClientSession, request: number, body: Request, nowMs: number): void {
    const readable = body.kind === "read" || body.kind === "list" || body.kind === "outcome";
    if (this.#established) {
      const answer = this.#requests.handle(session, request, body, nowMs);
      if (answer !== undefined) this.#outbox.answer(session, request, answer);
    } else if (readable && !this.#mustWait(body)) {
      this.#outbox.answer(session, request, this.#requests.read(body));
    } else {
      const gid = "gid" in body ? body.gid : undefined;
      const message = `this node is not the established leader and proposed nothing for this ${body.kind} request`;
      this.#outbox.answer(session, request, errorAnswer("QUORATE_NOT_LEADER", message, { gid, outcome: gid && "unknown", retry: "safe" }));
    }
  }

  /** A wait for a decision needs the leader; one that is already made does not. */
  #mustWait(body: Request): boolean {
    return body.kind === "outcome" && body.wait && decisionIn(this.#context.state.lookup(body.gid)) === undefined;
  }

  clientUp(session: ClientSession, client: string, _nowMs: number): void {
    this.#clients.up(session, client);
  }

  clientDown(session: ClientSession, nowMs: number): void {
    this.#requests.sessionDown(session);
    this.#clients.down(session, nowMs);
  }

  instanceUp(instance: InstanceId, participant: string, participantKind: string, _nowMs: number, abilities?: Partial<Abilities>): void {
    this.#attached.set(instance, { participant, participantKind });
    if (this.#established) this.#chores.register(participant, participantKind);
    this.#courier.instanceUp(instance, participant, abilities);
  }

  instanceDown(instance: InstanceId, nowMs: number): void {
    this.#attached.delete(instance);
    this.#courier.instanceDown(instance, nowMs);
  }

  replies(instance: InstanceId, replies: readonly BranchReply[], nowMs: number): void {
    if (!this.#established) return;
    const participant = this.#attached.get(instance)?.participant;
    if (participant === undefined) return;
    for (const reply of replies) {
      const branch = this.#drives.get(reply.gid)?.find(reply.branch, participant);
      if (branch !== undefined) this.#reply(instance, branch, reply, nowMs);
      else if (reply.result.kind === "vote") this.#decider.strayVote(instance, reply.gid, reply.branch, reply.result.vote);
    }
  }

  #reply(instance: InstanceId, branch: BranchDrive, reply: BranchReply, nowMs: number): void {
    const { result } = reply;
    // A reply to an earlier phase says nothing about this one; a late vote may still come from a branch that holds locks.
    if (result.kind === "vote") return this.#decider.voted(branch, result.vote, result.detail, instance, nowMs);
    if (reply.phase !== branch.phase || branch.status === "settled" || branch.status === "idle") return;
    switch (result.kind) {
      case "done":
        if (reply.phase === "one-phase") return this.#decider.settledInOnePhase(branch, "yes", "");
        return this.#decider.acknowledged(branch, nowMs);
      case "refused":
        return this.#decider.settledInOnePhase(branch, "no", result.detail);
      case "failed":
        if (branch.status === "sent" && result.notYet === true) return this.#courier.notYet(branch, result.detail, nowMs);
        if (branch.status === "sent" && this.#courier.failed(branch, result.detail, nowMs)) this.#decider.released(branch);
        return;
      case "heuristic":
        return this.#heuristic(branch, result.outcome, result.detail);
      default:
        return unreachable(result);
    }
  }

  /** The participant settled the branch another way: recorded and alarmed, never a second decision, never retried. */
  #heuristic(branch: BranchDrive, outcome: Extract<Command, { kind: "HEURISTIC" }>["outcome"], detail: string): void {
    const { gid } = branch.drive;
    const note = clip(detail, 500);
    if (branch.owed) {
      this.#outbox.propose({ kind: "HEURISTIC", gid, branch: branch.id, outcome, by: `participant ${branch.participant}`, note });
    }
    const told = branch.phase === "commit" ? "commit" : "roll back";
    this.#outbox.alarm(
      "heuristic",
      gid,
      branch.id,
      `branch "${branch.id}" of participant "${branch.participant}" was told to ${told} and answered ${outcome}: ${note}`,
    );
    this.#decider.released(branch);
  }

  inquiries(instance: InstanceId, inquiries: readonly Inquiry[], nowMs: number): void {
    const participant = this.#attached.get(instance)?.participant;
    for (const inquiry of inquiries) this.#inquiries.ask(instance, participant, inquiry, this.#established, nowMs);
  }

  tick(nowMs: number): void {
    if (!this.#established) return;
    this.#wheel.advance(nowMs, (owner) => {
      this.#fire(owner, nowMs);
    });
    this.#chores.tick(nowMs);
    this.#decider.tick(nowMs);
  }

  #fire(owner: TimerOwner, nowMs: number): void {
    switch (owner.kind) {
      case "branch":
        if (this.#courier.timedOut(owner, nowMs)) this.#decider.released(owner);
        return;
      case "drive":
        return this.#decider.deadline(owner, nowMs);
      case "line":
        return this.#courier.lineTimer(owner, nowMs);
      case "client":
        for (const drive of [...owner.open]) {
          this.#decider.abort(drive, "client-lost", `the client's stream stayed lost for ${this.#context.options.clientLostMs} ms`);
        }
        return;
      default:
        return unreachable(owner);
    }
  }

  drain(nowMs: number): CoordinatorReady {
    if (this.#sweep !== undefined) this.#sweepSlice(this.#sweep, nowMs);
    if (!this.#established) return this.#outbox.take(Infinity);
    this.#courier.resume(nowMs);
    const wakeAtMs = Math.min(this.#wheel.wakeAtMs(), this.#chores.wakeAtMs(), this.#decider.wakeAtMs());
    return this.#outbox.take(this.#sweep === undefined && !this.#courier.resuming ? wakeAtMs : Math.min(nowMs, wakeAtMs));
  }

  /** Goes on with what earlier leaders left: the iterator is live, and what this leader recorded itself is skipped. */
  #sweepSlice(sweep: ReturnType<StateMachine["transactions"]>, nowMs: number): void {
    const slice = this.#context.buggify?.("sweep-one") === true ? 1 : SWEEP_SLICE;
    for (let i = 0; i < slice; i++) {
      const next = sweep.next();
      if (next.done === true) {
        this.#sweep = undefined;
        return;
      }
      const transaction = next.value;
      if (transaction.openedZxid.epoch < this.#epoch && !this.#drives.has(transaction.gid)) this.#decider.adopt(transaction, nowMs);
    }
  }

  counts(): { readonly waiting: number; readonly inDoubt: number; readonly paused: number; readonly instances: number } {
    const { sealed, decidedUnfinished } = this.#context.state.counts();
    return {
      waiting: this.#decider.waiting + this.#puts.size,
      inDoubt: sealed + decidedUnfinished,
      paused: this.#courier.paused,
      instances: this.#attached.size,
    };
  }

  // ---- proposals that were not taken

  refused(commands: readonly Command[], why: string, nowMs: number): void {
    if (!this.#established) return;
    for (const command of commands) this.#notTaken(command, why, nowMs);
  }

  #notTaken(command: Command, why: string, nowMs: number): void {
    switch (command.kind) {
      case "OPEN":
        return this.#openFailed(command.gid, notProposed(why, command.gid));
      case "ENLIST": {
        const drive = this.#drives.get(command.gid);
        if (drive !== undefined) this.#decider.answerFirst(drive, "enlist", command.branch.id, notProposed(why, command.gid));
        return;
      }
      case "BEGIN":
        return this.#beginNotTaken(command.gid, why, nowMs);
      case "DECIDE":
        return this.#decideNotTaken(command.gid, why, nowMs);
      case "DONE":
        return this.#chores.doneRefused(command.branches, nowMs);
      case "FORGET":
        return this.#chores.forgetRefused();
      case "FLOOR":
        return;
      case "HEURISTIC":
        this.#puts.answerResolve(command.gid, command.branch, notProposed(why, command.gid));
        if (command.by.startsWith("participant ")) this.#chores.refusedAgain(command, nowMs);
        return;
      case "REGISTER":
        return this.#chores.refusedAgain(command, nowMs);
      case "PUT":
        return this.#puts.answer(command.request, notProposed(why, undefined));
      case "NOOP":
        return this.#puts.noopNotTaken(command, notProposed(why, undefined));
      default:
        return unreachable(command);
    }
  }

  #openFailed(gid: Gid, answer: ReturnType<typeof notProposed>): void {
    const drive = this.#drives.get(gid);
    if (drive === undefined) return;
    this.#decider.answerFirst(drive, "open", "", answer);
    if (drive.stage === "opening" && drive.waiters.length === 0) this.#decider.drop(drive);
    else if (drive.stage === "opening") drive.stage = "unrecorded";
  }

  /** The participants may have been asked already: their votes are kept for the next Commit, and the deadline aborts by a record. */
  #beginNotTaken(gid: Gid, why: string, nowMs: number): void {
    const drive = this.#drives.get(gid);
    if (drive === undefined) return;
    this.#decider.answerWaiters(drive, (waiter) => (waiter.kind === "commit" ? notProposed(why, gid) : undefined));
    const recorded = this.#context.state.lookup(gid).kind === "transaction";
    this.#decider.unseal(drive, recorded ? "open" : "unrecorded", nowMs);
  }

  #decideNotTaken(gid: Gid, why: string, nowMs: number): void {
    this.#inquiries.refused(gid);
    const drive = this.#drives.get(gid);
    if (drive !== undefined) this.#decider.decideNotTaken(drive, notProposed(why, gid), nowMs);
  }

  // ---- applied entries

  applied(entry: StampedCommand, _zxid: Zxid, result: ApplyResult, nowMs: number): void {
    if (!this.#established) return;
    switch (result.kind) {
      case "opened":
        return this.#opened(result.transaction, nowMs);
      case "enlisted": {
        const drive = this.#drives.get(result.transaction.gid) ?? this.#decider.adopt(result.transaction, nowMs);
        const { command } = entry;
        if (command.kind !== "ENLIST") return;
        return this.#decider.answerFirst(drive, "enlist", command.branch.id, { kind: "enlisted", gid: command.gid });
      }
      case "sealed": {
        const drive = this.#drives.get(result.transaction.gid);
        if (drive === undefined) this.#decider.adopt(result.transaction, nowMs);
        else this.#decider.sealed(drive, result.transaction, nowMs);
        return;
      }
      case "decided":
        this.#decider.decided(result.gid, result.first, nowMs);
        return this.#inquiries.decided(result.gid);
      case "done":
      case "noop":
        return result.kind === "noop" ? this.#puts.noopApplied() : undefined;
      case "forgotten":
        for (const gid of result.gids) this.#decider.forgotten(gid);
        return this.#chores.forgotten(result.gids.length);
      case "floor":
        return this.#chores.floorApplied();
      case "heuristic":
        return this.#heuristicApplied(result.gid, result.branch);
      case "registered":
        return this.#chores.registered(result.participant);
      case "put":
        return this.#puts.answer(result.request, { kind: "put", version: result.version });
      case "refused":
        return this.#refusedAtApply(entry.command, result, nowMs);
      default:
        return unreachable(result);
    }
  }

  #opened(transaction: Transaction, nowMs: number): void {
    const { gid } = transaction;
    // Whatever is recorded is watched, so that nothing stays open for ever.
    const drive = this.#drives.get(gid) ?? this.#decider.adopt(transaction, nowMs);
    if (drive.stage === "opening" || drive.stage === "unrecorded") {
      drive.stage = "open";
      this.#clients.track(drive, nowMs);
    }
    this.#decider.answerFirst(drive, "open", "", { kind: "opened", gid });
  }

  #heuristicApplied(gid: Gid, branch: string): void {
    this.#puts.answerResolve(gid, branch, { kind: "ok" });
    const found = this.#context.state.lookup(gid);
    const participant = found.kind === "transaction" ? found.transaction.branches.find(({ id }) => id === branch)?.participant : undefined;
    for (const driven of this.#drives.get(gid)?.branches.slice() ?? []) {
      if (driven.id === branch && (participant === undefined || driven.participant === participant)) this.#decider.released(driven);
    }
  }

  #refusedAtApply(command: Command, refused: Refused, nowMs: number): void {
    const answer = refusalAnswer(refused);
    switch (command.kind) {
      case "OPEN":
        return this.#openFailed(command.gid, answer);
      case "ENLIST": {
        const drive = this.#drives.get(command.gid);
        if (drive !== undefined) this.#decider.answerFirst(drive, "enlist", command.branch.id, answer);
        return;
      }
      case "BEGIN":
        return this.#beginRefused(command.gid, refused, nowMs);
      case "DECIDE": {
        const drive = this.#drives.get(command.gid);
        if (command.decision === "commit") return drive === undefined ? undefined : this.#decider.commitRefused(drive, nowMs);
        if (drive !== undefined && refused.reason === "delegated") this.#decider.abortHeld(drive);
        else if (drive !== undefined) this.#decider.abortRefused(drive, answer, nowMs);
        return this.#inquiries.decided(command.gid);
      }
      case "FORGET":
        return this.#chores.forgotten(0);
      case "HEURISTIC":
        return this.#puts.answerResolve(command.gid, command.branch, answer);
      case "REGISTER":
        return this.#chores.registered(command.participant);
      case "PUT":
        return this.#puts.answer(command.request, answer);
      case "FLOOR":
      case "DONE":
      case "NOOP":
        return;
      default:
        return unreachable(command);
    }
  }

  /**
   * Nothing was started. What was asked in parallel is released by an abort record: at once when the gid may never start any more,
   * else at the deadline, because a corrected Commit may follow.
   */
  #beginRefused(gid: Gid, refused: Refused, nowMs: number): void {
    const drive = this.#drives.get(gid);
    if (drive === undefined) return;
    const found = this.#context.state.lookup(gid);
    this.#decider.unseal(drive, found.kind === "transaction" ? "open" : "unrecorded", nowMs);
    if (refused.reason === "expired" && found.kind === "none") return this.#decider.fence(drive, refused.message);
    const answer = refusalAnswer(refused);
    this.#decider.answerWaiters(drive, (waiter) => (waiter.kind === "commit" ? answer : undefined));
    if (found.kind === "expired") this.#decider.abortRefused(drive, answer, nowMs);
  }
}
