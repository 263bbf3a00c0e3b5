/**
 * The commit path in the small: one transaction, two participants, two leaders one after the other, of which the first does not know
 * that it was deposed.
 *
 * The log is abstract, everything above it is real. The first leader's proposals are in flight until they are applied; at the
 * failover any prefix that holds at least what it has applied survives, and the second leader begins with it. Afterwards the first
 * one goes on: it answers, calls, and may still learn that surviving entries were committed, but nothing it proposes is taken. The
 * network delivers every message any number of times, in any order, or never: a message once sent can be delivered for ever.
 *
 * Checked at every step: atomicity (commit reaches prepared rows only, and never a row that was rolled back; no row ends otherwise),
 * one decision, nobody told a decision that its leader has not applied, and an abort only for a reason that really occurred.
 */
import { gidTimeMs, must } from "../base/index.js";
import type { Gid } from "../base/index.js";
import type { BranchPhase, InquiryAnswer, Request } from "../coordinator/index.js";
import type { Command, Decision } from "../txn/index.js";
import { createLeaderAutomaton } from "./commit-leader.js";
import type { LeaderAutomaton, LeaderInput, LeaderOutput, LogEntry } from "./commit-leader.js";
import { NEW_PARTICIPANT, serve } from "./commit-participant.js";
import type { Participant, ParticipantReply } from "./commit-participant.js";
import { heapText } from "./heap.js";
import { Numbers } from "./numbers.js";
import { Violation } from "./search.js";
import type { Move, World } from "./search.js";

export interface CommitBounds {
  /** Participants that crash, in all. */
  readonly crashes: number;
  /** Timers that fire at each leader. */
  readonly ticks: number;
  /** Questions each participant asks while it is prepared. */
  readonly inquiries: number;
  /** A client asks for the abort, at either leader. */
  readonly clientAborts: number;
  /** Whether the client that asked the first leader to commit asks the second one again. */
  readonly retries: boolean;
  /** Whether the cluster's clock may pass the commit window between the leaders. */
  readonly ages: boolean;
  readonly failover: boolean;
  /** Participants vote yes only. */
  readonly alwaysYes: boolean;
}

const NAMES = ["a", "b"] as const;
type Side = 0 | 1;
const SIDES: readonly Side[] = [0, 1];

interface Call {
  readonly kind: "call";
  readonly leader: Side;
  readonly participant: Side;
  readonly life: number;
  readonly phase: BranchPhase;
}
interface Reply {
  readonly kind: "reply";
  readonly leader: Side;
  readonly participant: Side;
  readonly life: number;
  readonly phase: BranchPhase;
  readonly reply: ParticipantReply;
}
interface Told {
  readonly kind: "told";
  readonly participant: Side;
  readonly life: number;
  readonly answer: "commit" | "rollback";
}
type Message = Call | Reply | Told;

interface Used {
  readonly crashes: number;
  readonly ticks: readonly [number, number];
  readonly inquiries: readonly [number, number];
  readonly clientAborts: number;
  readonly asked: readonly [boolean, boolean];
  readonly aged: boolean;
}

export interface CommitState {
  /** States of the leaders' automaton. */
  readonly leaders: readonly [number, number];
  readonly timers: readonly [boolean, boolean];
  readonly stamps: readonly [number, number];
  /** Who leads: the first leader is established at the start. */
  readonly deposed: boolean;
  readonly resigned: boolean;
  /** Entries by number. */
  readonly log: readonly number[];
  readonly applied: readonly [number, number];
  readonly participants: readonly [Participant, Participant];
  /** Which life of each participant each leader has an instance of. */
  readonly attached: readonly [readonly [number, number], readonly [number, number]];
  /** Numbers of messages, ascending. */
  readonly net: readonly number[];
  readonly told: Decision | undefined;
  readonly used: Used;
}

type Mutable = { -readonly [K in keyof CommitState]: CommitState[K] };

const GID = "q-018bcfe568007000800000000000beef" as Gid;
const BRANCHES = NAMES.map((name) => ({ id: name, participant: name, mode: "asked" as const, payload: new Uint8Array(0) }));
const COMMIT: Request = { kind: "commit", gid: GID, client: "", timeoutMs: 1_000, branches: BRANCHES, votes: [] };
const ABORT: Request = { kind: "abort", gid: GID };

function replaced<T>(pair: readonly [T, T], side: Side, value: T): readonly [T, T] {
  return side === 0 ? [value, pair[1]] : [pair[0], value];
}

export class CommitWorld implements World<CommitState> {
  readonly name: string;
  readonly #bounds: CommitBounds;
  readonly #leader: LeaderAutomaton = createLeaderAutomaton(GID);
  readonly #messages = new Numbers<Message>();
  readonly #entries = new Numbers<LogEntry>();

  constructor(name: string, bounds: CommitBounds) {
    this.name = name;
    this.#bounds = bounds;
  }

  /** Distinct states of a leader met so far. */
  get leaderStates(): number {
    return this.#leader.size;
  }

  initial(): CommitState {
    const state: Mutable = {
      leaders: [this.#leader.initial, this.#leader.initial],
      timers: [false, false],
      stamps: [gidTimeMs(GID), gidTimeMs(GID)],
      deposed: false,
      resigned: false,
      log: [],
      applied: [0, 0],
      participants: [NEW_PARTICIPANT, NEW_PARTICIPANT],
      attached: [
        [0, 0],
        [0, 0],
      ],
      net: [],
      told: undefined,
      used: { crashes: 0, ticks: [0, 0], inquiries: [0, 0], clientAborts: 0, asked: [false, false], aged: false },
    };
    // Both participants are known to the log and attached everywhere before the search begins.
    NAMES.forEach((name, index) => {
      const entry = { stampMs: gidTimeMs(GID), command: { kind: "REGISTER", participant: name, participantKind: "kv" } as const };
      state.log = [...state.log, this.#entry({ entry, zxid: { epoch: 1, counter: index + 1 } })];
    });
    for (const side of SIDES) {
      for (const each of SIDES) {
        const participant = NAMES[each];
        this.#must(state, side, { kind: "reattach", from: undefined, to: instanceOf(each, 0), participant });
      }
    }
    for (let i = 0; i < NAMES.length; i++) this.#apply(state, 0);
    this.#must(state, 0, { kind: "establish", epoch: 1 });
    return state;
  }

  key(state: CommitState): string {
    const { leaders, stamps, deposed, resigned, log, applied, participants, attached, net, told, used } = state;
    const people = participants.map(({ row, fence, life, saidNo }) => `${row[0]}${row[1]}${fence}${life}${saidNo ? "n" : ""}`);
    const budget = [used.crashes, ...used.ticks, ...used.inquiries, used.clientAborts, Number(used.asked[0]), Number(used.asked[1])];
    const flags = `${deposed ? "d" : ""}${resigned ? "r" : ""}${used.aged ? "o" : ""}${told?.[0] ?? ""}`;
    return `${leaders}|${stamps[1] - stamps[0]}|${flags}|${log}|${applied}|${people}|${attached[0]};${attached[1]}|${net}|${budget}`;
  }

  check(state: CommitState): Violation | undefined {
    const [a, b] = state.participants;
    const rows = [a.row, b.row];
    if (rows.includes("committed") && rows.includes("rolled-back")) {
      return new Violation("atomicity: one branch is committed, the other is rolled back");
    }
    if (rows.includes("committed") && rows.includes("none"))
      return new Violation("atomicity: one branch is committed, the other was never prepared");
    return undefined;
  }

  /** Every message was delivered and every budget is spent: a transaction that is recorded must be over, whoever crashed. */
  checkEnd(state: CommitState): Violation | undefined {
    const { log, participants } = state;
    if (!log.some((number) => this.#entries.at(number).entry.command.kind === "BEGIN")) return undefined;
    const name = NAMES.find((_name, side) => participants[side]?.row === "prepared");
    if (name !== undefined) return new Violation(`blocked: ${name} is prepared for ever`);
    return this.#decisionIn(log) === undefined ? new Violation("blocked: the recorded transaction is never decided") : undefined;
  }

  marks(state: CommitState): readonly string[] {
    const rows = state.participants.map(({ row }) => row);
    const marks: string[] = [];
    if (state.told !== undefined) marks.push(`told ${state.told}`);
    if (rows.every((row) => row === "committed")) marks.push("both committed");
    if (rows.every((row) => row === "rolled-back")) marks.push("both rolled back");
    if (state.deposed) marks.push("failed over");
    if (state.deposed && state.told === "commit") marks.push("commit after a failover");
    return marks;
  }

  moves(state: CommitState): readonly Move<CommitState>[] {
    const moves: Move<CommitState>[] = [];
    this.#clientMoves(state, moves);
    this.#logMoves(state, moves);
    for (const number of state.net) this.#deliveries(state, number, moves);
    for (const side of SIDES) this.#participantMoves(state, side, moves);
    return moves;
  }

  // ---- what may happen

  #leads(state: CommitState, side: Side): boolean {
    return side === 0 ? !state.resigned : state.deposed;
  }

  /** The first leader follows the second one after it has resigned. */
  #follows(state: CommitState, side: Side): boolean {
    return side === 0 && state.resigned;
  }

  #clientMoves(state: CommitState, moves: Move<CommitState>[]): void {
    const { used } = state;
    for (const side of SIDES) {
      if (!this.#leads(state, side)) continue;
      if (!used.asked[side] && (side === 0 || this.#bounds.retries)) {
        moves.push(
          this.#move(`client asks leader ${side + 1} to commit`, state, (next) => {
            next.used = { ...used, asked: replaced(used.asked, side, true) };
            return this.#drive(next, side, { kind: "request", request: 1, body: COMMIT });
          }),
        );
      }
      if (used.clientAborts < this.#bounds.clientAborts) {
        moves.push(
          this.#move(`client asks leader ${side + 1} to abort`, state, (next) => {
            next.used = { ...used, clientAborts: used.clientAborts + 1 };
            return this.#drive(next, side, { kind: "request", request: 2, body: ABORT });
          }),
        );
      }
      if (state.timers[side] && used.ticks[side] < this.#bounds.ticks) {
        moves.push(
          this.#move(`the next timer of leader ${side + 1} fires`, state, (next) => {
            next.used = { ...used, ticks: replaced(used.ticks, side, used.ticks[side] + 1) };
            return this.#drive(next, side, { kind: "tick" });
          }),
        );
      }
    }
    if (this.#bounds.ages && state.deposed && !used.aged) {
      moves.push(
        this.#move("the commit window passes at leader 2", state, (next) => {
          next.used = { ...used, aged: true };
          return this.#drive(next, 1, { kind: "age" });
        }),
      );
    }
  }

  #logMoves(state: CommitState, moves: Move<CommitState>[]): void {
    const { applied, log } = state;
    for (const side of SIDES) {
      const follows = this.#follows(state, side);
      if (!this.#leads(state, side) && !follows) continue;
      const logged = log[applied[side]];
      // A leader may learn of commits of its own epoch only.
      if (logged === undefined || (!follows && this.#entries.at(logged).zxid.epoch > side + 1)) continue;
      const { entry } = this.#entries.at(logged);
      moves.push(this.#move(`leader ${side + 1} applies ${describe(entry.command)}`, state, (next) => this.#apply(next, side)));
    }
    if (this.#bounds.failover && !state.deposed) {
      for (let kept = applied[0]; kept <= log.length; kept++) {
        moves.push(
          this.#move(`failover: ${log.length - kept} entries in flight are lost, leader 2 is established`, state, (next) => {
            next.deposed = true;
            next.log = log.slice(0, kept);
            for (let i = 0; i < kept; i++) {
              const broken = this.#apply(next, 1);
              if (broken !== undefined) return broken;
            }
            return this.#drive(next, 1, { kind: "establish", epoch: 2 });
          }),
        );
      }
    }
    if (state.deposed && !state.resigned) {
      moves.push(
        this.#move("leader 1 learns that it is deposed", state, (next) => {
          next.resigned = true;
          return this.#drive(next, 0, { kind: "resign" });
        }),
      );
    }
  }

  #deliveries(state: CommitState, number: number, moves: Move<CommitState>[]): void {
    const message = this.#messages.at(number);
    const { participant: side } = message;
    const name = NAMES[side];
    if (message.kind === "reply") {
      const { leader, life, phase, reply } = message;
      if (!this.#leads(state, leader) || state.attached[leader][side] !== life) return;
      const result = phase === "prepare" ? vote(reply) : DONE;
      const input = { kind: "reply", instance: instanceOf(side, life), reply: { phase, gid: GID, branch: name, ...result } } as LeaderInput;
      moves.push(
        this.#move(`leader ${leader + 1} hears ${reply} of ${name} to ${phase}`, state, (next) => this.#drive(next, leader, input)),
      );
      return;
    }
    const participant = state.participants[side];
    if (participant.life !== message.life) return;
    const phase = message.kind === "told" ? message.answer : message.phase;
    const epoch = message.kind === "told" ? 0 : message.leader + 1;
    const from = message.kind === "told" ? "the answer" : `leader ${message.leader + 1}'s call`;
    for (const served of serve(participant, phase, epoch)) {
      if (served.kind === "broken") {
        moves.push({ label: `${name} gets ${from}: ${phase}`, take: () => new Violation(served.message) });
        continue;
      }
      if (this.#bounds.alwaysYes && served.reply === "no" && participant.row === "none" && epoch >= participant.fence) continue;
      moves.push(
        this.#move(`${name} gets ${from}: ${phase}, and says ${served.reply}`, state, (next) => {
          next.participants = replaced(next.participants, side, served.after);
          if (message.kind !== "told") {
            const { leader, life } = message;
            this.#send(next, { kind: "reply", leader, participant: side, life, phase: message.phase, reply: served.reply });
          }
          return undefined;
        }),
      );
    }
  }

  #participantMoves(state: CommitState, side: Side, moves: Move<CommitState>[]): void {
    const participant = state.participants[side];
    const name = NAMES[side];
    const { used } = state;
    if (used.crashes < this.#bounds.crashes) {
      moves.push(
        this.#move(`${name} crashes and comes back with its rows`, state, (next) => {
          next.participants = replaced(next.participants, side, { ...participant, life: participant.life + 1 });
          next.used = { ...used, crashes: used.crashes + 1 };
          // What was on its way to the old life arrives nowhere.
          next.net = next.net.filter((number) => {
            const message = this.#messages.at(number);
            return message.kind === "reply" || message.participant !== side;
          });
          return undefined;
        }),
      );
    }
    for (const leader of SIDES) {
      const attached = state.attached[leader][side];
      if (attached !== participant.life) {
        moves.push(
          this.#move(`${name} attaches to leader ${leader + 1} again`, state, (next) => {
            next.attached = replaced(next.attached, leader, replaced(next.attached[leader], side, participant.life));
            next.net = next.net.filter((number) => {
              const message = this.#messages.at(number);
              return message.kind !== "reply" || message.leader !== leader || message.participant !== side;
            });
            const to = instanceOf(side, participant.life);
            return this.#drive(next, leader, { kind: "reattach", from: instanceOf(side, attached), to, participant: name });
          }),
        );
      } else if (
        participant.row === "prepared" &&
        used.inquiries[side] < this.#bounds.inquiries &&
        (this.#leads(state, leader) || this.#follows(state, leader))
      ) {
        moves.push(
          this.#move(`${name} asks leader ${leader + 1} for the outcome`, state, (next) => {
            next.used = { ...used, inquiries: replaced(used.inquiries, side, used.inquiries[side] + 1) };
            const instance = instanceOf(side, participant.life);
            return this.#drive(next, leader, { kind: "inquiry", instance, inquiry: { gid: GID, branch: name } });
          }),
        );
      }
    }
  }

  // ---- carrying it out

  #move(label: string, state: CommitState, change: (next: Mutable) => Violation | undefined): Move<CommitState> {
    return {
      label,
      take: () => {
        const next: Mutable = { ...state };
        return change(next) ?? next;
      },
    };
  }

  #must(state: Mutable, side: Side, input: LeaderInput): void {
    const broken = this.#drive(state, side, input);
    if (broken !== undefined) throw new Error(broken.message);
  }

  #apply(next: Mutable, side: Side): Violation | undefined {
    const number = must(next.log[next.applied[side]], "entry to apply");
    next.applied = replaced(next.applied, side, next.applied[side] + 1);
    return this.#drive(next, side, { kind: "apply", name: number, logged: this.#entries.at(number) });
  }

  /** One input to a leader, and everything that comes of it. */
  #drive(next: Mutable, side: Side, input: LeaderInput): Violation | undefined {
    const step = this.#leader.step(next.leaders[side], nameOf(input), input);
    if (step.kind === "threw") return new Violation(`leader ${side + 1}: ${step.message}`);
    const { output } = step;
    next.leaders = replaced(next.leaders, side, step.state);
    next.timers = replaced(next.timers, side, output.timerSet);
    next.stamps = replaced(next.stamps, side, output.stampMs);
    return this.#propose(next, side, output) ?? this.#tell(next, side, output);
  }

  #entry(logged: LogEntry): number {
    return this.#entries.of(logged, heapText(logged));
  }

  #propose(next: Mutable, side: Side, output: LeaderOutput): Violation | undefined {
    for (const command of output.ready.propose) {
      const wrong = this.#unfounded(next, side, command);
      if (wrong !== undefined) return wrong;
      // Nobody takes what a deposed leader proposes.
      if (side === 0 && next.deposed) continue;
      const epoch = side + 1;
      const counter = next.log.filter((number) => this.#entries.at(number).zxid.epoch === epoch).length + 1;
      next.log = [...next.log, this.#entry({ entry: { stampMs: output.stampMs, command }, zxid: { epoch, counter } })];
    }
    return undefined;
  }

  /** An abort for a reason that did not occur: the death of a leader is none. */
  #unfounded(next: Mutable, side: Side, command: Command): Violation | undefined {
    if (command.kind !== "DECIDE" || command.decision !== "abort") return undefined;
    const { used, participants } = next;
    const founded =
      (command.reason === "vote-no" && participants.some(({ saidNo }) => saidNo)) ||
      (command.reason === "timeout" && (used.ticks[side] > 0 || used.aged)) ||
      (command.reason === "client" && used.clientAborts > 0) ||
      (command.reason === "inquiry" && used.aged && used.inquiries.some((count) => count > 0));
    return founded ? undefined : new Violation(`abort without cause: leader ${side + 1} proposes an abort for "${command.reason}"`);
  }

  #tell(next: Mutable, side: Side, output: LeaderOutput): Violation | undefined {
    const { calls, inquiryAnswers, answers } = output.ready;
    for (const { phase, instance } of calls) {
      const wrong =
        phase === "prepare" ? undefined : this.#decisionTold(next, side, phase === "commit" ? "commit" : "abort", "a participant");
      if (wrong !== undefined) return wrong;
      const { participant, life } = ofInstance(instance);
      this.#send(next, { kind: "call", leader: side, participant, life, phase });
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
      const wrong = decision === undefined ? undefined : this.#decisionTold(next, side, decision, "the client");
      if (wrong !== undefined) return wrong;
    }
    return undefined;
  }

  #answered(next: Mutable, side: Side, instance: number, answer: InquiryAnswer["answer"]): Violation | undefined {
    if (answer !== "commit" && answer !== "rollback") return undefined;
    const { participant, life } = ofInstance(instance);
    this.#send(next, { kind: "told", participant, life, answer });
    return this.#decisionTold(next, side, answer === "commit" ? "commit" : "abort", "a participant that asked");
  }

  /** Somebody is told a decision: it must be the one that this leader has applied, and the same for everybody. */
  #decisionTold(next: Mutable, side: Side, decision: Decision, whom: string): Violation | undefined {
    const applied = this.#decisionIn(next.log.slice(0, next.applied[side]));
    const who = `leader ${side + 1} tells ${whom} ${decision}`;
    if (applied !== decision) return new Violation(`told and not applied: ${who}, its applied log says ${applied ?? "nothing"}`);
    if (next.told !== undefined && next.told !== decision) return new Violation(`two decisions: ${who}, somebody was told ${next.told}`);
    next.told = decision;
    return undefined;
  }

  /** The rule of the log, written down a second time: the first decision wins, and a commit counts only after its BEGIN. */
  #decisionIn(log: readonly number[]): Decision | undefined {
    let sealed = false;
    for (const number of log) {
      const { command } = this.#entries.at(number).entry;
      if (command.kind === "BEGIN") sealed = true;
      else if (command.kind === "DECIDE") {
        if (command.decision === "abort") return "abort";
        if (sealed && NAMES.every((name) => command.yes.includes(name))) return "commit";
      }
    }
    return undefined;
  }

  #send(next: Mutable, message: Message): void {
    const { participant, life } = message;
    if (message.kind !== "reply" && next.participants[participant].life !== life) return;
    if (message.kind === "reply" && next.attached[message.leader][participant] > life) return;
    const number = this.#messages.of(message, Object.values(message).join(" "));
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
      return `reply ${input.instance} ${input.reply.phase} ${input.reply.result.kind === "vote" ? input.reply.result.vote : ""}`;
    case "inquiry":
      return `inquiry ${input.instance}`;
    case "reattach":
      return `reattach ${input.from} ${input.to}`;
    case "apply":
      return `apply ${input.name}`;
    case "resign":
    case "tick":
    case "age":
      return input.kind;
  }
}

const DECISION_OF_OUTCOME: ReadonlyMap<string, Decision> = new Map([
  ["committed", "commit"],
  ["aborted", "abort"],
]);

const DONE = { result: { kind: "done" } } as const;

function vote(reply: ParticipantReply): object {
  return { result: { kind: "vote", vote: reply, detail: "" } };
}

/** Instances of one life of a participant; the same number at both leaders. */
function instanceOf(side: Side, life: number): number {
  return 1 + side + 2 * life;
}

function ofInstance(instance: number): { readonly participant: Side; readonly life: number } {
  return { participant: (instance - 1) % 2 === 0 ? 0 : 1, life: (instance - 1) >> 1 };
}

function describe(command: Command): string {
  return command.kind === "DECIDE" ? `DECIDE ${command.decision}` : command.kind;
}
