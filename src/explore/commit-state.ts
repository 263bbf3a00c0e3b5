/**
 * The commit world's states: what they consist of, and how they become rows of numbers.
 */
import { gidTimeMs, must } from "../base/index.js";
import type { Gid } from "../base/index.js";
import type { BranchPhase } from "../coordinator/index.js";
import type { Decision } from "../txn/index.js";
import { createLeaderAutomaton } from "./commit-leader.js";
import type { LogEntry } from "./commit-leader.js";
import type { Participant, ParticipantReply } from "./commit-participant.js";
import { heapText } from "./heap.js";
import { Numbers, Queues } from "./numbers.js";
import type { Row } from "./search.js";

export const GID = "q-018bcfe568007000800000000000beef" as Gid;
export const GID_TIME_MS = gidTimeMs(GID);

export const NAMES = ["a", "b"] as const;
export type Side = 0 | 1;
export const SIDES: readonly Side[] = [0, 1];

export type Pair<T> = readonly [T, T];

export function replaced<T>(pair: Pair<T>, side: Side, value: T): Pair<T> {
  return side === 0 ? [value, pair[1]] : [pair[0], value];
}

/** Instances of one life of a participant; the same number at both leaders. */
export function instanceOf(side: Side, life: number): number {
  return 1 + side + 2 * life;
}

export function ofInstance(instance: number): { readonly participant: Side; readonly life: number } {
  return { participant: (instance - 1) % 2 === 0 ? 0 : 1, life: (instance - 1) >> 1 };
}

export type Message =
  | { readonly kind: "call"; readonly leader: Side; readonly participant: Side; readonly life: number; readonly phase: BranchPhase }
  | {
      readonly kind: "reply";
      readonly leader: Side;
      readonly participant: Side;
      readonly life: number;
      readonly phase: BranchPhase;
      readonly reply: ParticipantReply;
    }
  /** The answer to a question. */
  | { readonly kind: "told"; readonly participant: Side; readonly life: number; readonly answer: "commit" | "rollback" };

/** How much of the bounds is used up. */
export interface Spent {
  readonly crashes: number;
  readonly ticks: Pair<number>;
  readonly inquiries: Pair<number>;
  readonly clientAborts: number;
  readonly asked: Pair<boolean>;
  readonly aged: boolean;
}

export interface CommitState {
  /** States of the leaders' automaton. */
  readonly leaders: Pair<number>;
  /** Who leads: the first leader is established at the start. */
  readonly deposed: boolean;
  readonly resigned: boolean;
  /** Entries by number. */
  readonly log: readonly number[];
  readonly applied: Pair<number>;
  readonly participants: Pair<Participant>;
  /** Which life of each participant each leader has an instance of. */
  readonly attached: Pair<Pair<number>>;
  /** Numbers of messages, ascending. */
  readonly net: readonly number[];
  readonly told: Decision | undefined;
  readonly spent: Spent;
}

export type Draft = { -readonly [K in keyof CommitState]: CommitState[K] };

const WIDTH = 11;
const TOLD: readonly (Decision | undefined)[] = [undefined, "commit", "abort"];

export class CommitTables {
  readonly width = WIDTH;
  readonly leader = createLeaderAutomaton(GID);
  readonly messages = new Numbers<Message>();
  readonly entries = new Numbers<LogEntry>();
  readonly #lists = new Queues();
  readonly #participants = new Numbers<Participant>();
  readonly #attached = new Numbers<CommitState["attached"]>();
  readonly #spent = new Numbers<Spent>();

  row(state: CommitState): Row {
    const { leaders, deposed, resigned, log, applied, participants, attached, net, told, spent } = state;
    const { crashes, ticks, inquiries, clientAborts, asked, aged } = spent;
    const person = (each: Participant): number => this.#participants.of(each, Object.values(each).join(" "));
    return [
      ...leaders,
      ...applied,
      person(participants[0]),
      person(participants[1]),
      this.#lists.of(log),
      this.#lists.of(net),
      this.#attached.of(attached, attached.join(" ")),
      this.#spent.of(spent, [crashes, ...ticks, ...inquiries, clientAborts, ...asked, aged].join(" ")),
      TOLD.indexOf(told) * 4 + (deposed ? 2 : 0) + (resigned ? 1 : 0),
    ];
  }

  state(row: Row): CommitState {
    const at = (index: number): number => must(row[index], "number of a row");
    const flags = at(10);
    return {
      leaders: [at(0), at(1)],
      applied: [at(2), at(3)],
      participants: [this.#participants.at(at(4)), this.#participants.at(at(5))],
      log: this.#lists.at(at(6)),
      net: this.#lists.at(at(7)),
      attached: this.#attached.at(at(8)),
      spent: this.#spent.at(at(9)),
      told: TOLD[flags >> 2],
      deposed: (flags & 2) !== 0,
      resigned: (flags & 1) !== 0,
    };
  }

  entry(logged: LogEntry): number {
    return this.entries.of(logged, heapText(logged));
  }

  message(message: Message): number {
    return this.messages.of(message, Object.values(message).join(" "));
  }
}
