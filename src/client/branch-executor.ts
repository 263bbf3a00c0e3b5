/**
 * Runs the cluster's calls, and the client's own prepares, against one participant.
 *
 * Rules: calls of one branch run one after another; a call that is already waiting or running is not run twice; a branch for which
 * a roll back was seen in this process is never prepared afterwards. Decisions have a lane of their own: prepares that wait for
 * locks of prepared branches must not keep the commits that free them from running. A one-phase commit does work, so it waits with the
 * prepares.
 * It does not know streams: a reply goes to whoever asked, named by an opaque origin.
 */
import { messageOf } from "../base/index.js";
import type { BranchPhase, BranchReply } from "../coordinator/index.js";
import type {
  Answered,
  BranchRef,
  OnePhaseResult,
  Participant,
  ParticipantBranchKind,
  ParticipantCalls,
  SettleRequest,
  SettleResult,
  VoteResult,
} from "../participant/index.js";
import { branchKey } from "./in-doubt-table.js";

export interface ExecutorLimits {
  /** Prepares and one-phase commits running at once. */
  readonly prepareConcurrency: number;
  /** Commits and roll backs running at once. */
  readonly settleConcurrency: number;
  /** Calls waiting at once; more are answered "failed" and come again. */
  readonly queueMax: number;
  /** Branches whose roll back is remembered. */
  readonly rolledBackMax: number;
}

export const DEFAULT_LIMITS: ExecutorLimits = {
  prepareConcurrency: 1024,
  settleConcurrency: 1024,
  queueMax: 65_536,
  rolledBackMax: 65_536,
};

export interface ExecutorHandlers<O> {
  reply(reply: BranchReply, origins: readonly O[]): void;
  /** Said yes; its outcome is not known. */
  voted(ref: BranchRef): void;
  settling(ref: BranchRef): void;
  settled(ref: BranchRef, phase: "commit" | "rollback", result: SettleResult, byInquiry: boolean): void;
  failed(ref: BranchRef, phase: BranchPhase, message: string): void;
}

interface Job<O> {
  readonly phase: BranchPhase;
  readonly ref: BranchRef;
  /** See branchKey. */
  readonly key: string;
  readonly origins: O[];
  /** Runs the work, answers, and then says that it has ended: exactly once, possibly before it returns. */
  run(job: Job<O>): void;
  /** Tells a local caller that it will not run. */
  abandon: (() => void) | undefined;
  readonly byInquiry: boolean;
  epoch: number;
  cancelled: boolean;
}

/** What is going on with one branch: the job that waits in a lane or runs, and those behind it. */
interface Slot<O> {
  current: Job<O>;
  running: boolean;
  readonly next: Job<O>[];
}

interface Lane<O> {
  readonly concurrency: number;
  running: number;
  queue: Job<O>[];
  head: number;
  /** Calls may end before they return: a loop and not a recursion starts the next. */
  pumping: boolean;
}

const TWO_PHASE: readonly ParticipantBranchKind[] = ["2pc"];
const ROLLED_BACK: VoteResult = { vote: "no", detail: "the branch was rolled back before" };

export class BranchExecutor<O> {
  readonly #participant: Participant;
  /** Of the participant itself, and not of one that it wraps. */
  readonly #calls: ParticipantCalls | undefined;
  readonly #limits: ExecutorLimits;
  readonly #handlers: ExecutorHandlers<O>;
  readonly #slots = new Map<string, Slot<O>>();
  readonly #rolledBack = new Set<string>();
  readonly #prepares: Lane<O>;
  readonly #settles: Lane<O>;
  #waiting = 0;
  #idle: (() => void) | undefined;

  constructor(participant: Participant, limits: ExecutorLimits, handlers: ExecutorHandlers<O>) {
    this.#participant = participant;
    this.#calls = participant.direct?.of === participant ? participant.direct : undefined;
    this.#limits = limits;
    this.#handlers = handlers;
    this.#prepares = { concurrency: limits.prepareConcurrency, running: 0, queue: [], head: 0, pumping: false };
    this.#settles = { concurrency: limits.settleConcurrency, running: 0, queue: [], head: 0, pumping: false };
  }

  /** A branch that waits or runs here is not in doubt for want of an answer. */
  isBusy(ref: BranchRef): boolean {
    return this.#slots.has(branchKey(ref));
  }

  prepare(ref: BranchRef, epoch: number, payload: Uint8Array, origin: O, kind: ParticipantBranchKind = "2pc"): void {
    const { name, manifest } = this.#participant;
    if (!(manifest.kinds ?? TWO_PHASE).includes(kind)) {
      const detail = `participant "${name}" takes branches of kind ${(manifest.kinds ?? TWO_PHASE).join(", ")} only, and this one is ${kind}`;
      this.#handlers.reply(voteReply(ref, { vote: "no", detail }), [origin]);
      return;
    }
    const key = branchKey(ref);
    if (this.#rolledBack.has(key)) {
      this.#handlers.reply(voteReply(ref, ROLLED_BACK), [origin]);
      return;
    }
    if (this.#join(key, "prepare", epoch, origin)) return;
    this.#add("prepare", ref, key, epoch, [origin], false, (job) => this.#runPrepare(job, payload, kind));
  }

  onePhase(ref: BranchRef, epoch: number, payload: Uint8Array, origin: O): void {
    const key = branchKey(ref);
    if (this.#join(key, "one-phase", epoch, origin)) return;
    this.#add("one-phase", ref, key, epoch, [origin], false, (job) => this.#runOnePhase(job, payload));
  }

  /** `byInquiry`: the outcome was asked for, and `origin`, if any, is told although it did not call. */
  settle(ref: SettleRequest, phase: "commit" | "rollback", origin: O | undefined, byInquiry: boolean): void {
    const key = branchKey(ref);
    if (this.#join(key, phase, 0, origin)) return;
    const origins = origin === undefined ? [] : [origin];
    this.#add(phase, ref, key, 0, origins, byInquiry, (job) => this.#runSettle(job, phase));
  }

  /** The client's own prepare of a brought branch, in turn with the cluster's calls for it. */
  prepareBrought(ref: BranchRef, work: () => Promise<VoteResult>): Promise<VoteResult> {
    const key = branchKey(ref);
    if (this.#rolledBack.has(key)) return Promise.resolve(ROLLED_BACK);
    return new Promise((resolve, reject) => {
      const run = async (job: Job<O>): Promise<void> => {
        try {
          const result = await work();
          if (result.vote === "yes") this.#handlers.voted(ref);
          if (job.origins.length > 0) this.#handlers.reply(voteReply(ref, result), job.origins);
          resolve(result);
        } catch (error) {
          this.#failed(job, error);
          reject(error as Error);
        }
      };
      this.#add(
        "prepare",
        ref,
        key,
        0,
        [],
        false,
        (job) => this.#endsWith(job, run(job)),
        () => resolve(ROLLED_BACK),
      );
    });
  }

  /** The client gives its own branch up. */
  rollbackBrought(ref: BranchRef, work: () => Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      const run = async (job: Job<O>): Promise<void> => {
        try {
          await work();
          this.#handlers.settled(ref, "rollback", { kind: "done" }, false);
          if (job.origins.length > 0) this.#handlers.reply(settleReply(ref, "rollback", { kind: "done" }), job.origins);
          resolve();
        } catch (error) {
          this.#failed(job, error);
          reject(error as Error);
        }
      };
      this.#add("rollback", ref, branchKey(ref), 0, [], false, (job) => this.#endsWith(job, run(job)));
    });
  }

  /** Resolves when nothing waits or runs. */
  drained(): Promise<void> {
    if (this.#slots.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#idle = resolve;
    });
  }

  /** The same call is waiting or running already: its reply serves both. */
  #join(key: string, phase: BranchPhase, epoch: number, origin: O | undefined): boolean {
    const slot = this.#slots.get(key);
    if (slot === undefined) return false;
    const same = [slot.current, ...slot.next].find((job) => job.phase === phase && !job.cancelled);
    if (same === undefined) return false;
    if (epoch > same.epoch) same.epoch = epoch;
    if (origin !== undefined && !same.origins.includes(origin)) same.origins.push(origin);
    return true;
  }

  #add(
    phase: BranchPhase,
    ref: BranchRef,
    key: string,
    epoch: number,
    origins: O[],
    byInquiry: boolean,
    run: (job: Job<O>) => void,
    abandon?: () => void,
  ): void {
    const job: Job<O> = { phase, ref, key, origins, run, abandon, byInquiry, epoch, cancelled: false };
    if (origins.length > 0 && this.#waiting >= this.#limits.queueMax) {
      this.#handlers.reply(failedReply(job, `${this.#waiting} calls wait at this participant, its limit`), origins);
      return;
    }
    const slot = this.#slots.get(key);
    if (phase === "rollback") {
      this.#remember(key);
      if (slot !== undefined) this.#cancelPrepares(slot);
    }
    this.#waiting++;
    if (slot === undefined) {
      this.#slots.set(key, { current: job, running: false, next: [] });
      this.#enqueue(job);
    } else if (slot.current.cancelled && !slot.running) {
      slot.current = job;
      this.#enqueue(job);
    } else {
      slot.next.push(job);
    }
  }

  /** Prepares that have not begun when the roll back comes must not begin any more; their callers hear no. */
  #cancelPrepares(slot: Slot<O>): void {
    const waiting = slot.running ? slot.next : [slot.current, ...slot.next];
    for (const job of waiting) {
      if (job.phase !== "prepare" || job.cancelled) continue;
      job.cancelled = true;
      this.#waiting--;
      if (job.origins.length > 0) this.#handlers.reply(voteReply(job.ref, ROLLED_BACK), job.origins);
      job.abandon?.();
    }
  }

  #remember(key: string): void {
    this.#rolledBack.add(key);
    if (this.#rolledBack.size > this.#limits.rolledBackMax) {
      const oldest = this.#rolledBack.values().next().value;
      if (oldest !== undefined) this.#rolledBack.delete(oldest);
    }
  }

  #enqueue(job: Job<O>): void {
    const lane = this.#laneOf(job);
    lane.queue.push(job);
    this.#pump(lane);
  }

  #laneOf({ phase }: Job<O>): Lane<O> {
    return phase === "prepare" || phase === "one-phase" ? this.#prepares : this.#settles;
  }

  #pump(lane: Lane<O>): void {
    if (lane.pumping) return;
    lane.pumping = true;
    while (lane.running < lane.concurrency && lane.head < lane.queue.length) {
      const job = lane.queue[lane.head++] as Job<O>;
      if (!job.cancelled) this.#start(lane, job);
    }
    lane.pumping = false;
    if (lane.head === lane.queue.length && lane.head > 0) {
      lane.queue = [];
      lane.head = 0;
    }
  }

  #start(lane: Lane<O>, job: Job<O>): void {
    const slot = this.#slots.get(job.key);
    if (slot === undefined) return;
    slot.running = true;
    lane.running++;
    this.#waiting--;
    job.run(job);
  }

  #endsWith(job: Job<O>, work: Promise<void>): void {
    const ended = (): void => this.#ended(job);
    work.then(ended, ended);
  }

  /** The work is done and answered. */
  #ended(job: Job<O>): void {
    const lane = this.#laneOf(job);
    lane.running--;
    this.#next(job.key);
    this.#pump(lane);
  }

  #next(key: string): void {
    const slot = this.#slots.get(key);
    if (slot === undefined) return;
    slot.running = false;
    let next = slot.next.shift();
    while (next?.cancelled === true) next = slot.next.shift();
    if (next !== undefined) {
      slot.current = next;
      this.#enqueue(next);
      return;
    }
    this.#slots.delete(key);
    if (this.#slots.size === 0) this.#idle?.();
  }

  #runPrepare(job: Job<O>, payload: Uint8Array, kind: ParticipantBranchKind): void {
    const { ref } = job;
    // Whoever called may have put more into `ref` than its names.
    const plain = { ...ref, payload, epoch: job.epoch };
    const request = kind === "2pc" ? plain : { ...plain, kind };
    const calls = this.#calls;
    this.#answered<VoteResult>(
      job,
      (done) => (calls === undefined ? later(() => this.#participant.prepare(request), done) : calls.prepare(request, done)),
      (result) => {
        if (result.vote === "yes") this.#handlers.voted(ref);
        this.#handlers.reply(voteReply(ref, result), job.origins);
      },
    );
  }

  #runOnePhase(job: Job<O>, payload: Uint8Array): void {
    const { ref } = job;
    const { commitOnePhase } = this.#participant;
    const request = { gid: ref.gid, branch: ref.branch, payload, epoch: job.epoch };
    this.#answered<OnePhaseResult>(
      job,
      (done) => {
        if (commitOnePhase === undefined) throw new Error("this participant does not commit in one phase");
        later(() => commitOnePhase.call(this.#participant, request), done);
      },
      (result) => {
        if (result.kind === "committed") this.#handlers.settled(ref, "commit", { kind: "done" }, false);
        this.#handlers.reply(onePhaseReply(ref, result), job.origins);
      },
    );
  }

  #runSettle(job: Job<O>, phase: "commit" | "rollback"): void {
    const { ref } = job;
    const calls = this.#calls;
    this.#handlers.settling(ref);
    this.#answered<SettleResult>(
      job,
      (done) => (calls === undefined ? later(() => this.#participant[phase](ref), done) : calls[phase](ref, done)),
      (result) => {
        this.#handlers.settled(ref, phase, result, job.byInquiry);
        if (job.origins.length > 0) this.#handlers.reply(settleReply(ref, phase, result), job.origins);
      },
    );
  }

  /** Makes one call of the participant; what it answers first counts, and a call that throws has failed. */
  #answered<T>(job: Job<O>, call: (done: Answered<T>) => void, succeeded: (result: T) => void): void {
    let open = true;
    const done: Answered<T> = (error, result) => {
      if (!open) return;
      open = false;
      try {
        if (error === undefined) succeeded(result as T);
        else this.#failed(job, error);
      } catch (thrown) {
        this.#failed(job, thrown);
      } finally {
        this.#ended(job);
      }
    };
    try {
      call(done);
    } catch (error) {
      done(error, undefined);
    }
  }

  #failed(job: Job<O>, error: unknown): void {
    const message = messageOf(error);
    this.#handlers.failed(job.ref, job.phase, message);
    if (job.origins.length > 0) this.#handlers.reply(failedReply(job, message, saysNotYet(error)), job.origins);
  }
}

/** The participant is there and cannot yet, as opposed to having failed. */
function saysNotYet(error: unknown): boolean {
  return error instanceof Error && "notYet" in error && error.notYet === true;
}

/** A call that answers by a promise. */
function later<T>(call: () => Promise<T>, done: Answered<T>): void {
  call().then(
    (result) => done(undefined, result),
    (error: unknown) => done(error ?? new Error("the participant rejected without a reason"), undefined),
  );
}

function voteReply(ref: BranchRef, result: VoteResult): BranchReply {
  return { phase: "prepare", gid: ref.gid, branch: ref.branch, result: { kind: "vote", vote: result.vote, detail: result.detail } };
}

function settleReply(ref: BranchRef, phase: "commit" | "rollback", result: SettleResult): BranchReply {
  const { gid, branch } = ref;
  return result.kind === "done" ? { phase, gid, branch, result } : { phase, gid, branch, result };
}

function onePhaseReply({ gid, branch }: BranchRef, result: OnePhaseResult): BranchReply {
  const phase = "one-phase";
  return result.kind === "committed" ? { phase, gid, branch, result: { kind: "done" } } : { phase, gid, branch, result };
}

function failedReply(job: { readonly phase: BranchPhase; readonly ref: BranchRef }, detail: string, notYet = false): BranchReply {
  const result = { kind: "failed", detail } as const;
  return { phase: job.phase, gid: job.ref.gid, branch: job.ref.branch, result: notYet ? { ...result, notYet } : result };
}
