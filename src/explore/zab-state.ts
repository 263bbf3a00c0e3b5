/**
 * The consensus world's states: what they consist of, and how they become rows of numbers.
 *
 * A row has one number for each node, each control lane, each pair of nodes that may have connections, and for what is remembered
 * of the whole run. Each part is numbered by its whole content, so equal rows are equal states.
 */
import { formatZxid, must } from "../base/index.js";
import type { Zxid } from "../base/index.js";
import type { ControlMessage, Entry, PersistRequest, Ready, SessionMessage } from "../zab/index.js";
import { heapText } from "./heap.js";
import { Numbers, Queues } from "./numbers.js";
import type { Row } from "./search.js";
import { createNodeAutomaton, durable, NODES } from "./zab-node.js";
import type { Image, NodeAutomaton } from "./zab-node.js";

/** What travels on one direction of a connection, or on a control lane. */
export type Item =
  | { readonly kind: "control"; readonly message: ControlMessage }
  | { readonly kind: "session"; readonly message: SessionMessage }
  | { readonly kind: "up" }
  | { readonly kind: "down" };

export interface NodeState {
  /** State of the node's automaton; undefined: down. */
  readonly at: number | undefined;
  readonly image: number;
  /** Submitted and not durable: numbers of requests. */
  readonly pending: readonly number[];
  /** Sessions accepted of each peer so far: each gets a number of its own, whichever peer dials first. */
  readonly accepted: readonly number[];
  /** How many of the committed entries it has delivered, or has in its state. */
  readonly delivered: number;
  /** The snapshot that is being installed. */
  readonly installing: { readonly session: number; readonly at: Zxid } | undefined;
}

export interface End {
  /** undefined: this end is closed, or its node is gone. */
  readonly session: number | undefined;
  /** What waits for this end: a queue. */
  readonly inbox: number;
}

export interface Connection {
  readonly dialer: End;
  readonly acceptor: End;
}

/** What is remembered of the whole run. */
export interface Past {
  /** Every entry that some node delivered, in order. */
  readonly committed: readonly number[];
  /** The established leader of each epoch, ascending. */
  readonly leaders: readonly (readonly [epoch: number, node: number])[];
  readonly crashes: number;
  readonly boots: number;
  readonly proposals: number;
  readonly ticks: number;
  readonly checkpoints: number;
  /** Why nothing beyond this state is looked at. */
  readonly cut: "elections" | "epochs" | undefined;
}

export const NEW_PAST: Past = {
  ...{ committed: [], leaders: [], crashes: 0, boots: 0, proposals: 0, ticks: 0, checkpoints: 0 },
  cut: undefined,
};

/** What one step of a node asks for, in numbers of this world. */
export interface Effects {
  readonly control: readonly { readonly to: number; readonly item: number }[];
  readonly session: readonly { readonly session: number; readonly item: number }[];
  readonly dial: readonly { readonly session: number; readonly to: number }[];
  readonly close: readonly number[];
  readonly persist: readonly number[];
  readonly committed: readonly number[];
  readonly install: NodeState["installing"];
  /** Nothing but control messages. */
  readonly controlOnly: boolean;
}

export const ALL: readonly number[] = Array.from({ length: NODES }, (_, i) => i);
const OTHERS = NODES - 1;
const LANES = NODES;
const PAIRS = LANES + NODES * OTHERS;
const PAST = PAIRS + NODES * OTHERS;
export const WIDTH = PAST + 1;

function laneOf(from: number, to: number): number {
  return from * OTHERS + (to > from ? to - 1 : to);
}

export class ZabTables {
  readonly automaton: NodeAutomaton<Effects>;
  readonly items = new Numbers<Item>();
  readonly requests = new Numbers<PersistRequest>();
  readonly entries = new Numbers<Entry>();
  readonly queues = new Queues();
  readonly up: number;
  readonly down: number;
  readonly #images = new Numbers<Image>();
  readonly #nodes = new Numbers<NodeState>();
  readonly #pairs = new Numbers<readonly Connection[]>();
  readonly #noConnections = this.#pairs.of([], "");
  readonly #pasts = new Numbers<Past>();
  /** What a node that made this step becomes, by its number and the step's name. */
  readonly #stepped: Map<number, number>[] = [];
  /** What a node whose disk has everything becomes, by its number. */
  readonly #completed: (number | undefined)[] = [];

  constructor(entriesKeep: number) {
    this.automaton = createNodeAutomaton(entriesKeep, (ready) => this.#effects(ready));
    this.up = this.items.of({ kind: "up" }, "up");
    this.down = this.items.of({ kind: "down" }, "down");
  }

  // ---- reading a row

  node(row: Row, id: number): NodeState {
    return this.#nodes.at(must(row[id], "node"));
  }

  isUp(row: Row, id: number): boolean {
    return this.node(row, id).at !== undefined;
  }

  lane(row: Row, from: number, to: number): number {
    return must(row[LANES + laneOf(from, to)], "lane");
  }

  lanesEmpty(row: Row): boolean {
    for (let lane = LANES; lane < PAIRS; lane++) if (row[lane] !== 0) return false;
    return true;
  }

  hasConnections(row: Row, dialer: number, acceptor: number): boolean {
    return row[PAIRS + laneOf(dialer, acceptor)] !== this.#noConnections;
  }

  connections(row: Row, dialer: number, acceptor: number): readonly Connection[] {
    return this.#pairs.at(must(row[PAIRS + laneOf(dialer, acceptor)], "connections"));
  }

  past(row: Row): Past {
    return this.#pasts.at(must(row[PAST], "past"));
  }

  image(number: number): Image {
    return this.#images.at(number);
  }

  // ---- writing one

  putNode(row: number[], id: number, node: NodeState): void {
    const { at, image, pending, accepted, delivered, installing } = node;
    const install = installing === undefined ? "" : `${installing.session}@${formatZxid(installing.at)}`;
    row[id] = this.#nodes.of(node, `${at ?? "x"} ${image} ${pending.join("+")} ${accepted.join("+")} ${delivered} ${install}`);
  }

  /** The node after a step of its peer. `name` is that of the step's input. */
  step(row: number[], id: number, name: number, state: number, { persist, install }: Effects): void {
    const before = must(row[id], "node");
    const known = (this.#stepped[before] ??= new Map<number, number>());
    const after = known.get(name);
    if (after !== undefined) {
      row[id] = after;
      return;
    }
    const node = this.#nodes.at(before);
    const pending = persist.length === 0 ? node.pending : [...node.pending, ...persist];
    this.putNode(row, id, { ...node, at: state, pending, installing: install ?? node.installing });
    known.set(name, must(row[id], "node"));
  }

  /** Everything submitted is durable. */
  complete(row: number[], id: number): void {
    const before = must(row[id], "node");
    const after = this.#completed[before];
    if (after !== undefined) {
      row[id] = after;
      return;
    }
    const node = this.#nodes.at(before);
    this.putNode(row, id, { ...node, image: this.imageNumber(this.submitted(node)), pending: [] });
    this.#completed[before] = must(row[id], "node");
  }

  push(row: number[], from: number, to: number, item: number): void {
    const index = LANES + laneOf(from, to);
    row[index] = this.queues.push(must(row[index], "lane"), item);
  }

  shift(row: number[], from: number, to: number): void {
    const index = LANES + laneOf(from, to);
    row[index] = this.queues.shift(must(row[index], "lane"));
  }

  emptyLane(row: number[], from: number, to: number): void {
    row[LANES + laneOf(from, to)] = 0;
  }

  /** Connections that are closed at both ends are forgotten. */
  putConnections(row: number[], dialer: number, acceptor: number, connections: readonly Connection[]): void {
    const open = connections.filter((each) => each.dialer.session !== undefined || each.acceptor.session !== undefined);
    const end = ({ session, inbox }: End): string => `${session ?? "x"}:${inbox}`;
    const text = open.map((each) => `${end(each.dialer)}>${end(each.acceptor)}`).join(" ");
    row[PAIRS + laneOf(dialer, acceptor)] = this.#pairs.of(open, text);
  }

  putPast(row: number[], past: Past): void {
    const { committed, leaders, crashes, boots, proposals, ticks, checkpoints, cut } = past;
    const budgets = [crashes, boots, proposals, ticks, checkpoints].join(" ");
    row[PAST] = this.#pasts.of(past, `${committed.join(" ")}|${leaders.join(" ")}|${budgets}|${cut ?? ""}`);
  }

  // ---- numbers

  imageNumber(image: Image): number {
    return this.#images.of(image, heapText(image));
  }

  /** What the disk holds once the first of what was submitted is durable; all of it unless said otherwise. */
  submitted(node: NodeState, count = node.pending.length): Image {
    let image = this.image(node.image);
    for (const number of node.pending.slice(0, count)) image = durable(image, this.requests.at(number).op);
    return image;
  }

  #effects(ready: Ready): Effects {
    const { control, session, dial, close, persist, committed, installWanted } = ready;
    const wanted = installWanted[0];
    return {
      // Messages on different lanes or sessions have no order among them.
      control: control
        .map(({ to, message }) => ({ to: to - 1, item: this.#item({ kind: "control", message }) }))
        .sort((a, b) => a.to - b.to),
      session: [...session]
        .sort((a, b) => a.session - b.session)
        .map((each) => ({ session: each.session, item: this.#item({ kind: "session", message: each.message }) })),
      dial: dial.map((each) => ({ session: each.session, to: each.peer - 1 })),
      close,
      persist: persist.map((request) => this.requests.of(request, heapText(request))),
      committed: committed.map((entry) => this.entries.of(entry, `${formatZxid(entry.zxid)} ${entry.payload.join(",")}`)),
      install: wanted === undefined ? undefined : { session: wanted.session, at: wanted.at },
      controlOnly: [session, dial, close, persist, committed, installWanted].every((list) => list.length === 0),
    };
  }

  #item(item: Extract<Item, { readonly message: unknown }>): number {
    return this.items.of(item, heapText(item.message));
  }
}
