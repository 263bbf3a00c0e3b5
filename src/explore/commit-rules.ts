/**
 * What the commit world checks: atomicity, one decision, nobody told what its leader has not applied, no abort without a reason that
 * occurred, and nothing left over in the end.
 */
import type { Command, Decision } from "../txn/index.js";
import { NAMES } from "./commit-state.js";
import type { CommitState, CommitTables, Draft, Side } from "./commit-state.js";
import { Violation } from "./search.js";

export class CommitRules {
  readonly #tables: CommitTables;

  constructor(tables: CommitTables) {
    this.#tables = tables;
  }

  atomic({ participants: [a, b] }: CommitState): Violation | undefined {
    const rows = [a.row, b.row];
    if (rows.includes("committed") && rows.includes("rolled-back")) {
      return new Violation("atomicity: one branch is committed, the other is rolled back");
    }
    if (rows.includes("committed") && rows.includes("none"))
      return new Violation("atomicity: one branch is committed, the other was never prepared");
    return undefined;
  }

  /** Every message was delivered and every budget is spent: a transaction that is recorded must be over, whoever crashed. */
  over({ log, participants }: CommitState): Violation | undefined {
    if (!log.some((number) => this.#tables.entries.at(number).entry.command.kind === "BEGIN")) return undefined;
    const name = NAMES.find((_name, side) => participants[side]?.row === "prepared");
    if (name !== undefined) return new Violation(`blocked: ${name} is prepared for ever`);
    return this.decisionIn(log) === undefined ? new Violation("blocked: the recorded transaction is never decided") : undefined;
  }

  /** An abort for a reason that did not occur: the death of a leader is none. */
  unfounded({ spent, participants }: CommitState, side: Side, command: Command): Violation | undefined {
    if (command.kind !== "DECIDE" || command.decision !== "abort") return undefined;
    const founded =
      (command.reason === "vote-no" && participants.some(({ saidNo }) => saidNo)) ||
      (command.reason === "timeout" && (spent.ticks[side] > 0 || spent.aged)) ||
      (command.reason === "client" && spent.clientAborts > 0) ||
      (command.reason === "inquiry" && spent.aged && spent.inquiries.some((count) => count > 0));
    return founded ? undefined : new Violation(`abort without cause: leader ${side + 1} proposes an abort for "${command.reason}"`);
  }

  /** Somebody is told a decision: it must be the one that this leader has applied, and the same for everybody. */
  told(next: Draft, side: Side, decision: Decision, whom: string): Violation | undefined {
    const applied = this.decisionIn(next.log.slice(0, next.applied[side]));
    const who = `leader ${side + 1} tells ${whom} ${decision}`;
    if (applied !== decision) return new Violation(`told and not applied: ${who}, its applied log says ${applied ?? "nothing"}`);
    if (next.told !== undefined && next.told !== decision) return new Violation(`two decisions: ${who}, somebody was told ${next.told}`);
    next.told = decision;
    return undefined;
  }

  /** The rule of the log, written down a second time: the first decision wins, and a commit counts only after its BEGIN. */
  decisionIn(log: readonly number[]): Decision | undefined {
    let sealed = false;
    for (const number of log) {
      const { command } = this.#tables.entries.at(number).entry;
      if (command.kind === "BEGIN") sealed = true;
      else if (command.kind === "DECIDE") {
        if (command.decision === "abort") return "abort";
        if (sealed && NAMES.every((name) => command.yes.includes(name))) return "commit";
      }
    }
    return undefined;
  }
}
