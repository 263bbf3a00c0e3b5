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
import type { Request } from "../coordinator/index.js";
import type { BranchKind, BranchSpec, Command } from "../txn/index.js";
import type { LeaderInput } from "./commit-leader.js";
import { NEW_PARTICIPANT, serve } from "./commit-participant.js";
import type { ParticipantReply } from "./commit-participant.js";
import { CommitRules } from "./commit-rules.js";
import { CommitTables, GID, GID_TIME_MS, instanceOf, NAMES, replaced, SIDES } from "./commit-state.js";
import type { CommitState, Draft, Pair, Side } from "./commit-state.js";
import { CommitSteps } from "./commit-steps.js";
import { Violation } from "./search.js";
import type { Move, Row, World } from "./search.js";

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
  /** Participants vote yes only, or read-only where they may; a one-phase commit is refused all the same. */
  readonly alwaysYes: boolean;
  /** A participant may vote read-only, and yes when it is asked again. */
  readonly readOnly: boolean;
  /** The transaction has one branch, which its leader may delegate. */
  readonly alone: boolean;
  /** Whether each leader hears from its instances that they know one-phase commit. */
  readonly onePhase: Pair<boolean>;
  /** Of which kind each branch is. */
  readonly kinds: Pair<BranchKind>;
}

const ABORT: Request = { kind: "abort", gid: GID };

export class CommitWorld implements World {
  readonly name: string;
  readonly happened: ReadonlyMap<string, number> = new Map();
  readonly #bounds: CommitBounds;
  /** Participants that take part. */
  readonly #sides: readonly Side[];
  readonly #commit: Request;
  readonly #tables = new CommitTables();
  readonly #rules: CommitRules;
  readonly #steps: CommitSteps;

  get width(): number {
    return this.#tables.width;
  }

  constructor(name: string, bounds: CommitBounds) {
    this.name = name;
    this.#bounds = bounds;
    this.#rules = new CommitRules(this.#tables, bounds.kinds);
    this.#steps = new CommitSteps(this.#tables, this.#rules);
    this.#sides = bounds.alone ? [0] : SIDES;
    const branches = this.#sides.map((side): BranchSpec => {
      const named = { id: NAMES[side], participant: NAMES[side], mode: "asked", payload: new Uint8Array(0) } as const;
      return bounds.kinds[side] === "2pc" ? named : { ...named, kind: bounds.kinds[side] };
    });
    this.#commit = { kind: "commit", gid: GID, client: "", timeoutMs: 1_000, branches, votes: [] };
  }

  /** Distinct states of a leader met so far. */
  get leaderStates(): number {
    return this.#tables.leader.size;
  }

  initial(): Row {
    const state: Draft = {
      leaders: [this.#tables.leader.initial, this.#tables.leader.initial],
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
      spent: { crashes: 0, ticks: [0, 0], inquiries: [0, 0], clientAborts: 0, asked: [false, false], aged: false },
    };
    // Both participants are known to the log and attached everywhere before the search begins.
    NAMES.forEach((name, index) => {
      const entry = { stampMs: GID_TIME_MS, command: { kind: "REGISTER", participant: name, participantKind: "kv" } as const };
      state.log = [...state.log, this.#tables.entry({ entry, zxid: { epoch: 1, counter: index + 1 } })];
    });
    for (const side of SIDES) {
      for (const each of SIDES) {
        this.#steps.must(state, side, this.#reattach(side, each, undefined, 0));
      }
    }
    for (let i = 0; i < NAMES.length; i++) this.#steps.apply(state, 0);
    this.#steps.must(state, 0, { kind: "establish", epoch: 1 });
    return this.#tables.row(state);
  }

  check(row: Row): Violation | undefined {
    return this.#rules.atomic(this.#tables.state(row));
  }

  checkEnd(row: Row): Violation | undefined {
    return this.#rules.over(this.#tables.state(row));
  }

  marks(row: Row): readonly string[] {
    const state = this.#tables.state(row);
    const rows = state.participants.map(({ row }) => row);
    const marks: string[] = [];
    if (state.told !== undefined) marks.push(`told ${state.told}`);
    if (rows.every((row) => row === "committed")) marks.push("both committed");
    if (this.#bounds.alone && rows[0] === "committed") marks.push("committed");
    if (this.#bounds.alone && rows[0] === "rolled-back") marks.push("rolled back");
    if (this.#bounds.alone && rows[0] === "committed" && state.told === undefined) marks.push("committed and nobody was told");
    const dropped = this.#rules.readOnlyIn(state.log);
    if (dropped.length > 0) marks.push(dropped.length === 1 ? "committed with a reader" : "committed with readers only");
    if (dropped.some((name) => rows[NAMES.findIndex((each) => each === name)] === "rolled-back")) marks.push("duplicate rolled back");
    if (rows.every((row) => row === "rolled-back")) marks.push("both rolled back");
    if (state.deposed) marks.push("failed over");
    if (state.deposed && state.told === "commit") marks.push("commit after a failover");
    if (state.participants.some(({ cancelledFirst }) => cancelledFirst)) marks.push("cancelled before it was tried");
    if (state.participants.some(({ triedLate }) => triedLate)) marks.push("late try refused");
    return marks;
  }

  moves(row: Row): readonly Move[] {
    const state = this.#tables.state(row);
    const moves: Move[] = [];
    this.#clientMoves(state, moves);
    this.#logMoves(state, moves);
    for (const number of state.net) this.#deliveries(state, number, moves);
    for (const side of this.#sides) this.#participantMoves(state, side, moves);
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

  #clientMoves(state: CommitState, moves: Move[]): void {
    const { spent } = state;
    for (const side of SIDES) {
      if (!this.#leads(state, side)) continue;
      if (!spent.asked[side] && (side === 0 || this.#bounds.retries)) {
        moves.push(
          this.#move(`client asks leader ${side + 1} to commit`, state, (next) => {
            next.spent = { ...spent, asked: replaced(spent.asked, side, true) };
            return this.#steps.drive(next, side, { kind: "request", request: 1, body: this.#commit });
          }),
        );
      }
      if (spent.clientAborts < this.#bounds.clientAborts) {
        moves.push(
          this.#move(`client asks leader ${side + 1} to abort`, state, (next) => {
            next.spent = { ...spent, clientAborts: spent.clientAborts + 1 };
            return this.#steps.drive(next, side, { kind: "request", request: 2, body: ABORT });
          }),
        );
      }
      if (this.#timerSet(state, side) && spent.ticks[side] < this.#bounds.ticks) {
        moves.push(
          this.#move(`the next timer of leader ${side + 1} fires`, state, (next) => {
            next.spent = { ...spent, ticks: replaced(spent.ticks, side, spent.ticks[side] + 1) };
            return this.#steps.drive(next, side, { kind: "tick" });
          }),
        );
      }
    }
    if (this.#bounds.ages && state.deposed && !spent.aged) {
      moves.push(
        this.#move("the commit window passes at leader 2", state, (next) => {
          next.spent = { ...spent, aged: true };
          return this.#steps.drive(next, 1, { kind: "age" });
        }),
      );
    }
  }

  #logMoves(state: CommitState, moves: Move[]): void {
    const { applied, log } = state;
    for (const side of SIDES) {
      const follows = this.#follows(state, side);
      if (!this.#leads(state, side) && !follows) continue;
      const logged = log[applied[side]];
      // A leader may learn of commits of its own epoch only.
      if (logged === undefined || (!follows && this.#tables.entries.at(logged).zxid.epoch > side + 1)) continue;
      const { entry } = this.#tables.entries.at(logged);
      moves.push(this.#move(`leader ${side + 1} applies ${describe(entry.command)}`, state, (next) => this.#steps.apply(next, side)));
    }
    if (this.#bounds.failover && !state.deposed) {
      for (let kept = applied[0]; kept <= log.length; kept++) {
        moves.push(
          this.#move(`failover: ${log.length - kept} entries in flight are lost, leader 2 is established`, state, (next) => {
            next.deposed = true;
            next.log = log.slice(0, kept);
            for (let i = 0; i < kept; i++) {
              const broken = this.#steps.apply(next, 1);
              if (broken !== undefined) return broken;
            }
            return this.#steps.drive(next, 1, { kind: "establish", epoch: 2 });
          }),
        );
      }
    }
    if (state.deposed && !state.resigned) {
      moves.push(
        this.#move("leader 1 learns that it is deposed", state, (next) => {
          next.resigned = true;
          return this.#steps.drive(next, 0, { kind: "resign" });
        }),
      );
    }
  }

  #deliveries(state: CommitState, number: number, moves: Move[]): void {
    const message = this.#tables.messages.at(number);
    const { participant: side } = message;
    const name = NAMES[side];
    if (message.kind === "reply") {
      const { leader, life, phase, reply } = message;
      if (!this.#leads(state, leader) || state.attached[leader][side] !== life) return;
      const result = phase === "prepare" ? vote(reply) : reply === "refused" ? REFUSED : DONE;
      const input = { kind: "reply", instance: instanceOf(side, life), reply: { phase, gid: GID, branch: name, ...result } } as LeaderInput;
      moves.push(
        this.#move(`leader ${leader + 1} hears ${reply} of ${name} to ${phase}`, state, (next) => this.#steps.drive(next, leader, input)),
      );
      return;
    }
    const participant = state.participants[side];
    if (participant.life !== message.life) return;
    const phase = message.kind === "told" ? message.answer : message.phase;
    const epoch = message.kind === "told" ? 0 : message.leader + 1;
    const from = message.kind === "told" ? "the answer" : `leader ${message.leader + 1}'s call`;
    for (const served of serve(participant, phase, epoch, this.#bounds.kinds[side])) {
      if (served.kind === "broken") {
        moves.push({ label: () => `${name} gets ${from}: ${phase}`, take: () => new Violation(served.message) });
        continue;
      }
      if (this.#bounds.alwaysYes && served.reply === "no" && participant.row === "none" && epoch >= participant.fence) continue;
      if (!this.#bounds.readOnly && served.reply === "read-only") continue;
      moves.push(
        this.#move(`${name} gets ${from}: ${phase}, and says ${served.reply}`, state, (next) => {
          next.participants = replaced(next.participants, side, served.after);
          if (message.kind !== "told") {
            const { leader, life } = message;
            this.#steps.send(next, { kind: "reply", leader, participant: side, life, phase: message.phase, reply: served.reply });
          }
          return undefined;
        }),
      );
    }
  }

  #participantMoves(state: CommitState, side: Side, moves: Move[]): void {
    const participant = state.participants[side];
    const name = NAMES[side];
    const { spent } = state;
    if (spent.crashes < this.#bounds.crashes) {
      moves.push(
        this.#move(`${name} crashes and comes back with its rows`, state, (next) => {
          next.participants = replaced(next.participants, side, { ...participant, life: participant.life + 1 });
          next.spent = { ...spent, crashes: spent.crashes + 1 };
          // What was on its way to the old life arrives nowhere.
          next.net = next.net.filter((number) => {
            const message = this.#tables.messages.at(number);
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
              const message = this.#tables.messages.at(number);
              return message.kind !== "reply" || message.leader !== leader || message.participant !== side;
            });
            return this.#steps.drive(next, leader, this.#reattach(leader, side, attached, participant.life));
          }),
        );
      } else if (
        participant.row === "prepared" &&
        (spent.inquiries[side] < this.#bounds.inquiries || this.#asksFreely(state, leader)) &&
        (this.#leads(state, leader) || this.#follows(state, leader))
      ) {
        moves.push(
          this.#move(`${name} asks leader ${leader + 1} for the outcome`, state, (next) => {
            if (!this.#asksFreely(state, leader))
              next.spent = { ...spent, inquiries: replaced(spent.inquiries, side, spent.inquiries[side] + 1) };
            const instance = instanceOf(side, participant.life);
            return this.#steps.drive(next, leader, { kind: "inquiry", instance, inquiry: { gid: GID, branch: name } });
          }),
        );
      }
    }
  }

  /** The duplicate of a branch that dropped out is told by nobody: it asks for as long as it takes. */
  #asksFreely({ log, applied }: CommitState, leader: Side): boolean {
    return this.#bounds.readOnly && this.#rules.decisionIn(log.slice(0, applied[leader])) !== undefined;
  }

  /** An instance of a new life of a participant takes the place of the one of an older life. */
  #reattach(leader: Side, side: Side, from: number | undefined, to: number): LeaderInput {
    return {
      kind: "reattach",
      from: from === undefined ? undefined : instanceOf(side, from),
      to: instanceOf(side, to),
      participant: NAMES[side],
      abilities: { onePhase: this.#bounds.onePhase[leader], kinds: [this.#bounds.kinds[side]] },
    };
  }

  #timerSet(state: CommitState, side: Side): boolean {
    return this.#tables.leader.view(state.leaders[side]).timerSet;
  }

  #move(label: string, state: CommitState, change: (next: Draft) => Violation | undefined): Move {
    return {
      label: () => label,
      take: () => {
        const next: Draft = { ...state };
        return change(next) ?? this.#tables.row(next);
      },
    };
  }
}

const DONE = { result: { kind: "done" } } as const;
const REFUSED = { result: { kind: "refused", detail: "" } } as const;

function vote(reply: ParticipantReply): object {
  return { result: { kind: "vote", vote: reply, detail: "" } };
}

function describe(command: Command): string {
  return command.kind === "DECIDE" ? `DECIDE ${command.decision}` : command.kind;
}
