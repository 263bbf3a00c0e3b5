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
  BranchRef,
  OnePhaseResult,
  Participant,
  ParticipantBranchKind,
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
  readonly origins: O[];
  /** Runs the work and answers. Never rejects. */
  run(job: Job<O>): Promise<void>;
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
}

const TWO_PHASE: readonly ParticipantBranchKind[] = ["2pc"];
const ROLLED_BACK: VoteResult = { vote: "no", detail: "the branch was rolled back before" };

export class BranchExecutor<O> {
  readonly #participant: Participant;
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
    this.#limits = limits;
    this.#handlers = handlers;
    this.#prepares = { concurrency: limits.prepareConcurrency, running: 0, queue: [], head: 0 };
    this.#settles = { concurrency: limits.settleConcurrency, running: 0, queue: [], head: 0 };
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
    if (this.#rolledBack.has(branchKey(ref))) {
      this.#handlers.reply(voteReply(ref, ROLLED_BACK), [origin]);
      return;
    }
    if (this.#join(ref, "prepare", epoch, origin)) return;
    this.#add("prepare", ref, epoch, [origin], false, (job) => this.#runPrepare(job, payload, kind));
  }

  onePhase(ref: BranchRef, epoch: number, payload: Uint8Array, origin: O): void {
    if (this.#join(ref, "one-phase", epoch, origin)) return;
    this.#add("one-phase", ref, epoch, [origin], false, (job) => this.#runOnePhase(job, payload));
  }

  /** `byInquiry`: the outcome was asked for, and `origin`, if any, is told although it did not call. */
  settle(ref: SettleRequest, phase: "commit" | "rollback", origin: O | undefined, byInquiry: boolean): void {
    if (this.#join(ref, phase, 0, origin)) return;
    const origins = origin === undefined ? [] : [origin];
    this.#add(phase, ref, 0, origins, byInquiry, (job) => this.#runSettle(job, phase));
  }

  /** The client's own prepare of a brought branch, in turn with the cluster's calls for it. */
  prepareBrought(ref: BranchRef, work: () => Promise<VoteResult>): Promise<VoteResult> {
    if (this.#rolledBack.has(branchKey(ref))) return Promise.resolve(ROLLED_BACK);
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
      this.#add("prepare", ref, 0, [], false, run, () => resolve(ROLLED_BACK));
    });
  }

  /** The client gives its own branch up. */
  rollbackBrought(ref: BranchRef, work: () => Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#add("rollback", ref, 0, [], false, async (job) => {
        try {
          await work();
          this.#handlers.settled(ref, "rollback", { kind: "done" }, false);
          if (job.origins.length > 0) this.#handlers.reply(settleReply(ref, "rollback", { kind: "done" }), job.origins);
          resolve();
        } catch (error) {
          this.#failed(job, error);
          reject(error as Error);
        }
      });
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
  #join(ref: BranchRef, phase: BranchPhase, epoch: number, origin: O | undefined): boolean {
    const slot = this.#slots.get(branchKey(ref));
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
    epoch: number,
    origins: O[],
    byInquiry: boolean,
    run: (job: Job<O>) => Promise<void>,
    abandon?: () => void,
  ): void {
    const key = branchKey(ref);
    const job: Job<O> = { phase, ref, origins, run, abandon, byInquiry, epoch, cancelled: false };
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
    const lane = job.phase === "prepare" || job.phase === "one-phase" ? this.#prepares : this.#settles;
    lane.queue.push(job);
    this.#pump(lane);
  }

  #pump(lane: Lane<O>): void {
    while (lane.running < lane.concurrency && lane.head < lane.queue.length) {
      const job = lane.queue[lane.head++] as Job<O>;
      if (!job.cancelled) this.#start(lane, job);
    }
    if (lane.head === lane.queue.length && lane.head > 0) {
      lane.queue = [];
      lane.head = 0;
    }
  }

  #start(lane: Lane<O>, job: Job<O>): void {
    const key = branchKey(job.ref);
    const slot = this.#slots.get(key);
    if (slot === undefined) return;
    slot.running = true;
    lane.running++;
    this.#waiting--;
    const ended = (): void => {
      lane.running--;
      this.#finished(key, slot);
      this.#pump(lane);
    };
    job.run(job).then(ended, ended);
  }

  #finished(key: string, slot: Slot<O>): void {
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

  async #runPrepare(job: Job<O>, payload: Uint8Array, kind: ParticipantBranchKind): Promise<void> {
    const { ref } = job;
    try {
      const request = { ...ref, payload, epoch: job.epoch };
      const result = await this.#participant.prepare(kind === "2pc" ? request : { ...request, kind });
      if (result.vote === "yes") this.#handlers.voted(ref);
      this.#handlers.reply(voteReply(ref, result), job.origins);
    } catch (error) {
      this.#failed(job, error);
    }
  }

  async #runOnePhase(job: Job<O>, payload: Uint8Array): Promise<void> {
    const { ref } = job;
    try {
      const { commitOnePhase } = this.#participant;
      if (commitOnePhase === undefined) throw new Error("this participant does not commit in one phase");
      const request = { gid: ref.gid, branch: ref.branch, payload, epoch: job.epoch };
      const result = await commitOnePhase.call(this.#participant, request);
      if (result.kind === "committed") this.#handlers.settled(ref, "commit", { kind: "done" }, false);
      this.#handlers.reply(onePhaseReply(ref, result), job.origins);
    } catch (error) {
      this.#failed(job, error);
    }
  }

  async #runSettle(job: Job<O>, phase: "commit" | "rollback"): Promise<void> {
    const { ref } = job;
    this.#handlers.settling(ref);
    try {
      const result = await (phase === "commit" ? this.#participant.commit(ref) : this.#participant.rollback(ref));
      this.#handlers.settled(ref, phase, result, job.byInquiry);
      if (job.origins.length > 0) this.#handlers.reply(settleReply(ref, phase, result), job.origins);
    } catch (error) {
      this.#failed(job, error);
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
