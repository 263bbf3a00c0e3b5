/**
 * What the commit world checks: atomicity, one decision, nobody told what its leader has not applied, no abort without a reason that
 * occurred, a delegated transaction decided by its participant alone, and nothing left over in the end.
 */
import type { BranchKind, Command, Decision } from "../txn/index.js";
import { NAMES } from "./commit-state.js";
import type { CommitState, CommitTables, Draft, Pair, Side } from "./commit-state.js";
import { Violation } from "./search.js";

type Begin = Extract<Command, { kind: "BEGIN" }>;
type Decide = Extract<Command, { kind: "DECIDE" }>;

/** What a log says. */
interface Told {
  readonly begin: Begin | undefined;
  readonly decide: Decide | undefined;
}

export class CommitRules {
  readonly #tables: CommitTables;
  readonly #kinds: Pair<BranchKind>;

  constructor(tables: CommitTables, kinds: Pair<BranchKind>) {
    this.#tables = tables;
    this.#kinds = kinds;
  }

  atomic({ log, participants }: CommitState): Violation | undefined {
    const { begin, decide } = this.#read(log);
    for (const [side, name] of NAMES.entries()) {
      const { row } = participants[side as Side];
      const says = decide?.decision ?? "nothing";
      const yes = decide?.decision === "commit" && decide.yes.includes(name);
      if (row === "committed" && !yes && !(decide === undefined && begin?.delegated === true))
        return new Violation(`atomicity: ${name} is committed, the log says ${says} and names no yes of it`);
      if (yes && (row === "none" || row === "rolled-back"))
        return new Violation(`atomicity: the log commits a yes of ${name}, whose row is ${row}`);
    }
    return undefined;
  }

  /** Every message was delivered and every budget is spent: a transaction that is recorded must be over, whoever crashed. */
  over({ log, participants }: CommitState): Violation | undefined {
    const { begin, decide } = this.#read(log);
    if (begin === undefined) return undefined;
    const name = NAMES.find((_name, side) => participants[side]?.row === "prepared");
    if (name !== undefined) return new Violation(`blocked: ${name} is prepared for ever`);
    return decide === undefined ? new Violation("blocked: the recorded transaction is never decided") : undefined;
  }

  /** An abort for a reason that did not occur: the death of a leader is none. Or a decision that is not this leader's to make. */
  unfounded(next: Draft, side: Side, command: Command): Violation | undefined {
    if (command.kind !== "DECIDE") return undefined;
    const { spent, participants } = next;
    const { begin } = this.#read(next.log.slice(0, next.applied[side]));
    if (begin?.delegated === true) {
      const [{ row }] = participants;
      const settled = command.decision === "commit" ? row === "committed" : row === "rolled-back" && command.refusedBy === NAMES[0];
      return settled
        ? undefined
        : new Violation(`delegated: leader ${side + 1} proposes ${command.decision}, the participant's row is ${row}`);
    }
    if (command.decision !== "abort") return undefined;
    const founded =
      (command.reason === "vote-no" && participants.some(({ saidNo }) => saidNo)) ||
      (command.reason === "timeout" && (spent.ticks[side] > 0 || spent.aged)) ||
      (command.reason === "client" && spent.clientAborts > 0) ||
      (command.reason === "inquiry" && spent.aged && spent.inquiries.some((count) => count > 0));
    return founded ? undefined : new Violation(`abort without cause: leader ${side + 1} proposes an abort for "${command.reason}"`);
  }

  /** A one-phase commit leaves a leader: every later one must know that it may have been done. */
  mayDelegate(next: Draft, side: Side): Violation | undefined {
    const { begin } = this.#read(next.log.slice(0, next.applied[side]));
    if (begin?.delegated === true) return undefined;
    return new Violation(`delegated: leader ${side + 1} sends a one-phase commit, its applied log holds no BEGIN that says so`);
  }

  /**
   * A prepare or a try leaves a leader. A try only when the leader's log says that it is begun, so that every later leader cancels it; a
   * prepare only when every try of the transaction has reserved. And nobody is taken for what he is not.
   */
  mayAsk(next: Draft, side: Side, kind: BranchKind, name: string): Violation | undefined {
    const { begin } = this.#read(next.log.slice(0, next.applied[side]));
    const who = `leader ${side + 1} asks ${name}`;
    const own = NAMES.findIndex((each) => each === name);
    if (this.#kinds[own] !== kind) return new Violation(`kind lost: ${who}, of kind ${kind}, and the client said ${this.#kinds[own]}`);
    if (kind === "tcc" && begin === undefined) return new Violation(`tried too early: ${who}, its applied log holds no BEGIN`);
    if (kind === "tcc") return undefined;
    const untried = NAMES.find((each, index) => this.#kinds[index] === "tcc" && !this.#reserved(next, each));
    return untried === undefined ? undefined : new Violation(`tries first: ${who} to prepare, and ${untried} has reserved nothing`);
  }

  /** It said yes, now or before the decision took it further. */
  #reserved({ participants }: Draft, name: string): boolean {
    const participant = participants[NAMES.findIndex((each) => each === name)];
    return participant !== undefined && (participant.row === "prepared" || participant.row === "committed" || participant.wasPrepared);
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

  /** A participant is told to roll back: the transaction is aborted, or its branch is no part of what is committed. */
  toldRollback(next: Draft, side: Side, name: string, whom: string): Violation | undefined {
    const { decide } = this.#read(next.log.slice(0, next.applied[side]));
    if (decide?.decision === "commit" && !decide.yes.includes(name)) return undefined;
    return this.told(next, side, "abort", whom);
  }

  decisionIn(log: readonly number[]): Decision | undefined {
    return this.#read(log).decide?.decision;
  }

  /** A branch dropped out: the commit names it read-only. */
  readOnlyIn(log: readonly number[]): readonly string[] {
    const { decide } = this.#read(log);
    return decide?.decision === "commit" ? decide.readOnly : [];
  }

  /**
   * The rule of the log, written down a second time: the first decision wins, a commit counts only after its BEGIN and with every branch
   * of it, and what is delegated is aborted by a refusal only.
   */
  #read(log: readonly number[]): Told {
    let begin: Begin | undefined;
    for (const number of log) {
      const { command } = this.#tables.entries.at(number).entry;
      if (command.kind === "BEGIN") begin ??= command;
      if (command.kind !== "DECIDE") continue;
      const { decision, yes, readOnly, refusedBy } = command;
      const counts =
        decision === "abort"
          ? begin?.delegated !== true || refusedBy === NAMES[0]
          : begin?.branches.every(({ id }) => yes.includes(id) !== readOnly.includes(id)) === true;
      if (counts) return { begin, decide: command };
    }
    return { begin, decide: undefined };
  }
}
