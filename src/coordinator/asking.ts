/**
 * Who is asked for a vote, and when.
 *
 * Rules it keeps: nobody is tried, and no instance that wants it so is asked to prepare, before BEGIN is committed and applied; nobody
 * is asked to prepare while a try of the same transaction has not said yes, so that locks are held only after the slow reservations, and
 * a refused one locks nothing; a one-phase commit follows a delegated BEGIN that is applied. A new leader keeps the same order: it asks
 * for all votes again.
 */
import { must } from "../base/index.js";
import { DELEGATION_LEVEL, soleVoter } from "../txn/index.js";
import type { BranchSpec, Vote } from "../txn/index.js";
import type { Context } from "./context.js";
import type { Courier } from "./courier.js";
import type { Drive } from "./drive.js";

export class Asking {
  readonly #context: Context;
  readonly #courier: Courier;

  constructor(context: Context, courier: Courier) {
    this.#context = context;
    this.#courier = courier;
  }

  /**
   * Whether one participant alone decides, and is known to be able to. Not when some branch of it was asked to prepare before: that
   * answer may still be under way.
   */
  delegates(drive: Drive, branches: readonly BranchSpec[], votes: readonly { readonly branch: string; readonly vote: Vote }[]): boolean {
    const { options, state, buggify } = this.#context;
    if (!options.delegation || state.meta().featureLevel < DELEGATION_LEVEL || buggify?.("two-phases-anyway") === true) return false;
    const sole = soleVoter(branches, votes);
    if (sole === undefined || drive.branches.some((branch) => branch.attempt > 0)) return false;
    return this.#courier.knowsOnePhase(sole.participant);
  }

  /** Only when the record is committed and applied, so that every later leader knows that it must ask the participant. */
  commitInOnePhase(drive: Drive, nowMs: number): void {
    const delegate = must(drive.delegate, "branch of a delegated transaction");
    if (delegate.vote === undefined) this.#courier.send(delegate, "one-phase", nowMs);
  }

  /** Everybody who may be asked now and was not. */
  ask(drive: Drive, nowMs: number): void {
    const begun = drive.stage === "sealed";
    const tries = drive.triesMissing;
    for (const branch of drive.branches) {
      // A branch that nobody takes is a no, and ends it.
      if (drive.deciding !== undefined) return;
      if (!branch.listed || branch.mode !== "asked" || branch.vote !== undefined || branch.status !== "idle") continue;
      if (branch.branchKind === "tcc" ? begun : !tries) this.#courier.send(branch, "prepare", nowMs);
    }
  }

  /** BEGIN is committed and applied, and nothing speaks against it yet. */
  begun(drive: Drive, nowMs: number): void {
    if (drive.deciding !== undefined || drive.abortWanted !== undefined) return;
    for (const branch of drive.branches) if (branch.listed) this.#courier.begun(branch, nowMs);
    this.ask(drive, nowMs);
  }

  /** A try said yes: when it was the last one, the others prepare. */
  tried(drive: Drive, nowMs: number): void {
    if (drive.stage === "sealed" && drive.abortWanted === undefined && !drive.triesMissing) this.ask(drive, nowMs);
  }
}
