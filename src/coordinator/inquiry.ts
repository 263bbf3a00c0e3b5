/**
 * Questions of prepared branches that do not know their outcome.
 *
 * Decides what may be answered from applied state by any node (a recorded decision, or no record below the applied floor) and what
 * only an established leader settles, by writing the abort. The order of the rule: record first, then the floor.
 */
import { gidTimeMs, isGid } from "../base/index.js";
import type { Gid } from "../base/index.js";
import { TXN_LIMITS } from "../txn/index.js";
import type { Lookup } from "../txn/index.js";
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

  constructor(context: Context, drives: ReadonlyMap<Gid, Drive>) {
    this.#context = context;
    this.#drives = drives;
  }

  ask(instance: InstanceId, participant: string | undefined, inquiry: Inquiry, established: boolean): void {
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
    const ageMs = stampNow() - gidTimeMs(gid);
    // Its client may still be retrying a Commit that would start it.
    if (ageMs <= TXN_LIMITS.commitWindowMs + options.inquiryMarginMs || this.#pending.size >= options.openTransactionsMax) {
      return this.#reply(instance, gid, branch, "wait");
    }
    this.#pending.set(gid, [{ instance, participant, branch }]);
    const detail = `branch "${branch}" asked for the outcome of a transaction without a record`;
    outbox.propose({ kind: "DECIDE", gid, decision: "abort", reason: "inquiry", detail, yes: [], readOnly: [] });
  }

  /** The gid was decided, or fell below the floor: whoever asked is answered with what is in force. */
  decided(gid: Gid): void {
    this.#answer(gid, ({ branch, participant }) => verdictOf(this.#context.state.lookup(gid), branch, participant) ?? "wait");
  }

  /** The proposal was not taken. */
  refused(gid: Gid): void {
    this.#answer(gid, () => "wait");
  }

  stop(): void {
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
