/**
 * Carrying out what happens in the commit world: one input to a real leader, and everything that comes of it for the log, the network and those
 * who are told something. The rules are asked at each (commit-rules.ts).
 */
import { must } from "../base/index.js";
import type { BranchPhase, CoordinatorReady, InquiryAnswer } from "../coordinator/index.js";
import type { BranchKind, Decision } from "../txn/index.js";
import type { LeaderInput } from "./commit-leader.js";
import type { CommitRules } from "./commit-rules.js";
import { NAMES, ofInstance, replaced } from "./commit-state.js";
import type { CommitTables, Draft, Message, Side } from "./commit-state.js";
import { Numbers } from "./numbers.js";
import { Violation } from "./search.js";

const DECISION_OF_OUTCOME: ReadonlyMap<string, Decision> = new Map([
  ["committed", "commit"],
  ["aborted", "abort"],
]);

export class CommitSteps {
  readonly #tables: CommitTables;
  readonly #rules: CommitRules;
  readonly #inputs = new Numbers<LeaderInput>();

  constructor(tables: CommitTables, rules: CommitRules) {
    this.#tables = tables;
    this.#rules = rules;
  }

  /** For what cannot go wrong. */
  must(state: Draft, side: Side, input: LeaderInput): void {
    const broken = this.drive(state, side, input);
    if (broken !== undefined) throw new Error(broken.message);
  }

  /** A leader applies the next entry. */
  apply(next: Draft, side: Side): Violation | undefined {
    const number = must(next.log[next.applied[side]], "entry to apply");
    next.applied = replaced(next.applied, side, next.applied[side] + 1);
    return this.drive(next, side, { kind: "apply", name: number, logged: this.#tables.entries.at(number) });
  }

  /** One input to a leader, and everything that comes of it. */
  drive(next: Draft, side: Side, input: LeaderInput): Violation | undefined {
    const step = this.#tables.leader.step(next.leaders[side], this.#inputs.of(input, nameOf(input)), () => input);
    if (step.kind === "threw") return new Violation(`leader ${side + 1}: ${step.message}`);
    const { output } = step;
    next.leaders = replaced(next.leaders, side, step.state);
    return this.#propose(next, side, output) ?? this.#tell(next, side, output);
  }

  #propose(next: Draft, side: Side, output: CoordinatorReady): Violation | undefined {
    for (const command of output.propose) {
      const wrong = this.#rules.unfounded(next, side, command);
      if (wrong !== undefined) return wrong;
      // Nobody takes what a deposed leader proposes.
      if (side === 0 && next.deposed) continue;
      const epoch = side + 1;
      const counter = next.log.filter((number) => this.#tables.entries.at(number).zxid.epoch === epoch).length + 1;
      next.log = [
        ...next.log,
        this.#tables.entry({ entry: { stampMs: this.#tables.leader.view(next.leaders[side]).stampMs, command }, zxid: { epoch, counter } }),
      ];
    }
    return undefined;
  }

  #tell(next: Draft, side: Side, output: CoordinatorReady): Violation | undefined {
    const { calls, inquiryAnswers, answers } = output;
    for (const { phase, kind, instance } of calls) {
      const { participant, life } = ofInstance(instance);
      const wrong = this.#called(next, side, phase, kind, participant);
      if (wrong !== undefined) return wrong;
      this.send(next, { kind: "call", leader: side, participant, life, phase });
    }
    for (const { instance, answers: replies } of inquiryAnswers) {
      for (const { answer } of replies) {
        const wrong = this.#answered(next, side, instance, answer);
        if (wrong !== undefined) return wrong;
      }
    }
    for (const { answer } of answers) {
      const decision =
        answer.kind === "decided" ? answer.decision : answer.kind === "error" ? DECISION_OF_OUTCOME.get(answer.outcome ?? "") : undefined;
      const wrong = decision === undefined ? undefined : this.#rules.told(next, side, decision, "the client");
      if (wrong !== undefined) return wrong;
    }
    return undefined;
  }

  #called(next: Draft, side: Side, phase: BranchPhase, kind: BranchKind, participant: Side): Violation | undefined {
    switch (phase) {
      case "prepare":
        return this.#rules.mayAsk(next, side, kind, NAMES[participant]);
      case "one-phase":
        return this.#rules.mayDelegate(next, side);
      case "commit":
        return this.#rules.told(next, side, "commit", "a participant");
      case "rollback":
        return this.#rules.toldRollback(next, side, NAMES[participant], "a participant");
    }
  }

  #answered(next: Draft, side: Side, instance: number, answer: InquiryAnswer["answer"]): Violation | undefined {
    if (answer !== "commit" && answer !== "rollback") return undefined;
    const { participant, life } = ofInstance(instance);
    this.send(next, { kind: "told", participant, life, answer });
    const whom = "a participant that asked";
    if (answer === "commit") return this.#rules.told(next, side, "commit", whom);
    return this.#rules.toldRollback(next, side, NAMES[participant], whom);
  }

  /** From here on it can be delivered, any number of times. What is meant for a life that is over is lost. */
  send(next: Draft, message: Message): void {
    const { participant, life } = message;
    if (message.kind !== "reply" && next.participants[participant].life !== life) return;
    if (message.kind === "reply" && next.attached[message.leader][participant] > life) return;
    const number = this.#tables.message(message);
    if (!next.net.includes(number)) next.net = [...next.net, number].sort((x, y) => x - y);
  }
}

/** Equal names, equal inputs. */
function nameOf(input: LeaderInput): string {
  switch (input.kind) {
    case "establish":
      return `establish ${input.epoch}`;
    case "request":
      return `request ${input.request}`;
    case "reply":
      return `reply ${input.instance} ${input.reply.phase} ${input.reply.result.kind === "vote" ? input.reply.result.vote : input.reply.result.kind}`;
    case "inquiry":
      return `inquiry ${input.instance}`;
    case "reattach":
      return `reattach ${input.from} ${input.to} ${input.abilities.onePhase}`;
    case "apply":
      return `apply ${input.name}`;
    case "resign":
    case "tick":
    case "age":
      return input.kind;
  }
}
