/**
 * Questions of prepared branches that do not know their outcome.
 *
 * Decides what may be answered from applied state by any node (a recorded decision, or no record below the applied floor) and what
 * only an established leader settles, by writing the abort. The order of the rule: record first, then the floor.
 */
import { gidTimeMs, isGid } from "../base/index.js";
import type { Gid } from "../base/index.js";
import { TXN_LIMITS } from "../txn/index.js";
import type { BranchKind, Lookup } from "../txn/index.js";
import type { Inquiry, InquiryAnswer, InstanceId } from "./api.js";
import type { Context } from "./context.js";
import type { Drive } from "./drive.js";

/**
 * The outcome of one branch as far as the state tells. A branch that a committed transaction does not name, or names as read-only, is
 * a duplicate of work that the commit does not hold: it is rolled back.
 */
export function verdictOf(found: Lookup, branch: string, participant: string | undefined): "commit" | "rollback" | undefined {
  if (found.kind === "none") return undefined;
  if (found.kind === "expired") return "rollback";
  const decision = found.kind === "outcome" ? found.outcome.decision : found.transaction.decision?.decision;
  if (decision === undefined) return undefined;
  if (decision === "abort") return "rollback";
  const branches = found.kind === "outcome" ? found.outcome.branches : found.transaction.branches;
  for (const recorded of branches) {
    if (recorded.id === branch && (participant === undefined || recorded.participant === participant)) {
      return recorded.vote === "yes" ? "commit" : "rollback";
    }
  }
  return "rollback";
}

/** The kind of a branch that is recorded. */
export function kindRecorded(found: Lookup, branch: string): BranchKind | undefined {
  const branches = found.kind === "transaction" ? found.transaction.branches : found.kind === "outcome" ? found.outcome.branches : [];
  return branches.find(({ id }) => id === branch)?.kind;
}

/** Gids from the future of this leader's clock that are remembered; beyond it the longest known is asked about anew. */
const AHEAD_MAX = 10_000;

interface Asker {
  readonly instance: InstanceId;
  readonly participant: string | undefined;
  readonly branch: string;
}

export class Inquiries {
  readonly #context: Context;
  readonly #drives: ReadonlyMap<Gid, Drive>;
  /** Gids whose abort is proposed because of a question. */
  readonly #pending = new Map<Gid, Asker[]>();
  /** When this leader was first asked, on its monotonic clock, about a gid whose own time lies ahead of the cluster's clock. */
  readonly #aheadSinceMs = new Map<Gid, number>();

  constructor(context: Context, drives: ReadonlyMap<Gid, Drive>) {
    this.#context = context;
    this.#drives = drives;
  }

  ask(instance: InstanceId, participant: string | undefined, inquiry: Inquiry, established: boolean, nowMs: number): void {
    const { gid, branch } = inquiry;
    // Not one of ours: nothing is known of it, and nothing may be done to it.
    if (!isGid(gid)) return this.#reply(instance, gid, branch, "wait");
    const found = this.#context.state.lookup(gid);
    const verdict = verdictOf(found, branch, participant);
    if (verdict !== undefined) return this.#reply(instance, gid, branch, verdict);
    if (!established) return this.#reply(instance, gid, branch, "ask-leader");
    if (found.kind === "transaction" || this.#drives.has(gid)) return this.#reply(instance, gid, branch, "pending");
    const askers = this.#pending.get(gid);
    if (askers !== undefined) {
      if (!askers.some((asker) => asker.instance === instance && asker.branch === branch)) askers.push({ instance, participant, branch });
      return;
    }
    const { options, outbox, stampNow } = this.#context;
    const stampedAgeMs = stampNow() - gidTimeMs(gid);
    const ageMs = stampedAgeMs < 0 ? this.#askedForMs(gid, nowMs) : stampedAgeMs;
    // Its client may still be retrying a Commit that would start it.
    if (ageMs <= TXN_LIMITS.commitWindowMs + options.inquiryMarginMs || this.#pending.size >= options.openTransactionsMax) {
      return this.#reply(instance, gid, branch, "wait");
    }
    this.#pending.set(gid, [{ instance, participant, branch }]);
    const detail = `branch "${branch}" asked for the outcome of a transaction without a record`;
    outbox.propose({ kind: "DECIDE", gid, decision: "abort", reason: "inquiry", detail, yes: [], readOnly: [], refusedBy: "" });
  }

  /**
   * A gid from the future of this clock says nothing of its age: it was made by the clock of a leader that ran ahead and left no record.
   * Its branches would wait, locked, until this clock has caught up. So it ages from the first question, on the monotonic clock.
   */
  #askedForMs(gid: Gid, nowMs: number): number {
    const since = this.#aheadSinceMs.get(gid);
    if (since !== undefined) return nowMs - since;
    if (this.#aheadSinceMs.size >= AHEAD_MAX) {
      const oldest = this.#aheadSinceMs.keys().next().value;
      if (oldest !== undefined) this.#aheadSinceMs.delete(oldest);
    }
    this.#aheadSinceMs.set(gid, nowMs);
    return 0;
  }

  /** The gid was decided, or fell below the floor: whoever asked is answered with what is in force. */
  decided(gid: Gid): void {
    this.#aheadSinceMs.delete(gid);
    this.#answer(gid, ({ branch, participant }) => verdictOf(this.#context.state.lookup(gid), branch, participant) ?? "wait");
  }

  /** The proposal was not taken. */
  refused(gid: Gid): void {
    this.#answer(gid, () => "wait");
  }

  stop(): void {
    this.#aheadSinceMs.clear();
    for (const gid of [...this.#pending.keys()]) this.#answer(gid, () => "ask-leader");
  }

  #answer(gid: Gid, answerFor: (asker: Asker) => InquiryAnswer["answer"]): void {
    const askers = this.#pending.get(gid);
    if (askers === undefined) return;
    this.#pending.delete(gid);
    for (const asker of askers) this.#reply(asker.instance, gid, asker.branch, answerFor(asker));
  }

  #reply(instance: InstanceId, gid: Gid, branch: string, answer: InquiryAnswer["answer"]): void {
    this.#context.outbox.inquiryAnswer(instance, { gid, branch, answer });
  }
}
