/**
 * Work nobody waits for: acknowledgements into the log, the floor, forgetting, names of participants.
 *
 * Decides when these are proposed. Whether a gid may be forgotten is decided at apply.
 */
import type { Gid } from "../base/index.js";
import { FORGOTTEN_STEP_MS, TXN_LIMITS } from "../txn/index.js";
import type { Command } from "../txn/index.js";
import type { Context } from "./context.js";

type Again = Extract<Command, { kind: "HEURISTIC" | "REGISTER" }>;

export class Chores {
  readonly #context: Context;
  #done: { readonly gid: Gid; readonly branch: string }[] = [];
  #doneDueMs = Infinity;
  #floorDueMs = Infinity;
  #forgetting = false;
  /** Names whose REGISTER is proposed. */
  readonly #registering = new Set<string>();
  /** Proposals that were not taken and must not be lost. */
  #again: Again[] = [];
  #againDueMs = Infinity;

  constructor(context: Context) {
    this.#context = context;
  }

  start(nowMs: number): void {
    this.#floorDueMs = nowMs + this.#context.options.floorIntervalMs;
    this.#forget();
  }

  stop(): void {
    this.#done = [];
    this.#again = [];
    this.#registering.clear();
    this.#forgetting = false;
    this.#doneDueMs = this.#floorDueMs = this.#againDueMs = Infinity;
  }

  wakeAtMs(): number {
    return Math.min(this.#doneDueMs, this.#floorDueMs, this.#againDueMs);
  }

  tick(nowMs: number): void {
    if (nowMs >= this.#doneDueMs) this.#proposeDone();
    if (nowMs >= this.#floorDueMs) this.#raiseFloor(nowMs);
    if (nowMs >= this.#againDueMs) {
      const again = this.#again;
      this.#again = [];
      this.#againDueMs = Infinity;
      for (const command of again) this.#context.outbox.propose(command);
    }
  }

  /** A branch acknowledged its outcome durably. */
  done(gid: Gid, branch: string, nowMs: number): void {
    const { options, buggify } = this.#context;
    this.#done.push({ gid, branch });
    if (this.#done.length >= options.doneBatchMax || buggify?.("done-alone") === true) this.#proposeDone();
    else if (this.#doneDueMs === Infinity) this.#doneDueMs = nowMs + options.doneDelayMs;
  }

  doneRefused(branches: Extract<Command, { kind: "DONE" }>["branches"], nowMs: number): void {
    this.#done.push(...branches);
    this.#doneDueMs = nowMs + this.#context.options.retryDelayMsMin;
  }

  /** The participant is known to the log, or will be before anything proposed from now on. */
  knows(participant: string): boolean {
    return this.#registering.has(participant) || this.#context.state.isParticipant(participant);
  }

  /** An instance attached under this name. */
  register(participant: string, participantKind: string): void {
    if (this.knows(participant)) return;
    this.#registering.add(participant);
    this.#context.outbox.propose({ kind: "REGISTER", participant, participantKind });
  }

  registered(participant: string): void {
    this.#registering.delete(participant);
  }

  /** The proposal was not taken: made again later, until it is. */
  refusedAgain(command: Again, nowMs: number): void {
    this.#again.push(command);
    this.#againDueMs = nowMs + this.#context.options.retryDelayMsMin;
  }

  floorApplied(): void {
    this.#forget();
  }

  forgotten(count: number): void {
    this.#forgetting = false;
    if (count > 0) this.#forget();
  }

  /** Not taken: the next floor tries again. */
  forgetRefused(): void {
    this.#forgetting = false;
  }

  #proposeDone(): void {
    this.#doneDueMs = Infinity;
    const { options, outbox } = this.#context;
    for (let at = 0; at < this.#done.length; at += options.doneBatchMax) {
      outbox.propose({ kind: "DONE", branches: this.#done.slice(at, at + options.doneBatchMax) });
    }
    this.#done = [];
  }

  #raiseFloor(nowMs: number): void {
    const { options, outbox, state, stampNow } = this.#context;
    this.#floorDueMs = nowMs + options.floorIntervalMs;
    const { finished, clients, decidedUnfinished } = state.counts();
    if (finished + clients + decidedUnfinished === 0) return;
    // Never into the window in which a Commit may start its gid, or an inquiry must wait.
    const keptMs = Math.max(options.retentionMs, TXN_LIMITS.commitWindowMs + options.inquiryMarginMs);
    const highestMs = stampNow() - keptMs;
    // In whole steps: what falls below it is then reported as forgotten too, also when the floor rests because nothing is left.
    const timeMs = highestMs - (highestMs % FORGOTTEN_STEP_MS);
    if (timeMs > state.meta().floorMs) outbox.propose({ kind: "FLOOR", timeMs });
    else this.#forget();
  }

  /** One FORGET is under way at a time; the next follows when it is applied, until nothing is left below the floor. */
  #forget(): void {
    if (this.#forgetting) return;
    const { options, state, buggify } = this.#context;
    const gids = state.forgettable(buggify?.("forget-one") === true ? 1 : options.forgetBatchMax);
    if (gids.length === 0) return;
    this.#forgetting = true;
    this.#context.outbox.propose({ kind: "FORGET", gids });
  }
}
