/**
 * Election, discovery, synchronization and broadcast in the small: three real peers, their disks and the connections between them.
 *
 * Every order of deliveries between different connections, of disk completions, starts and crashes is tried. Within the bounds: the
 * network is that of zab-network.ts; a node's disk completes all that was submitted at once, but a crash keeps any prefix of
 * it; a snapshot is the sender's last checkpoint, and arrives whole.
 *
 * Checked at every step: zab-rules.ts, and the peer's own invariants; and where nothing is under way, that nobody waits for initLimit.
 *
 * What keeps the number of states small, and why nothing is lost by it:
 *  - Peers are told apart up to the order of their maps and sets (of who voted first, say), up to shared objects, and without what is only
 *    shown. Not believed: automaton.ts makes every step from every variant and compares, or the search ends.
 *  - A message of one step to one peer has no order against a message of the same step to another: they travel on different lanes.
 *  - What is sent to a node that is down is lost at once: it would be lost before the node could take it.
 *  - Accepted sessions are numbered apart for each dialer, so that it does not matter who dials first.
 * Nodes are not interchangeable, for ids break ties: there is no symmetry to use. Putting off moves that nobody can notice (Lipton's
 * reduction) is sound too and was tried: it doubles the states, because the runs that remain need to be told apart by who moves next.
 */
import { compareZxid, formatZxid, must, nodeId } from "../base/index.js";
import type { Zxid } from "../base/index.js";
import type { ZabInput } from "../zab/index.js";
import { Violation } from "./search.js";
import type { Move, Row, World } from "./search.js";
import { ZabNetwork } from "./zab-network.js";
import type { Place } from "./zab-network.js";
import { EMPTY_IMAGE, NODES } from "./zab-node.js";
import type { NodeInput } from "./zab-node.js";
import { ZabRules } from "./zab-rules.js";
import { ALL, NEW_PAST, WIDTH, ZabTables } from "./zab-state.js";
import type { Item, NodeState, Past } from "./zab-state.js";

export interface ZabBounds {
  readonly crashes: number;
  /** Nodes that start again. */
  readonly boots: number;
  /** Only when nothing else is under way: every crash is still at any moment, and the number of states stays small. */
  readonly quietBoots: boolean;
  readonly proposals: number;
  /** Elections that are not unanimous in time, over all nodes. */
  readonly ticks: number;
  readonly checkpoints: number;
  /** Entries each node keeps in its log behind a checkpoint. */
  readonly entriesKeep: number;
  /** Elections one node may start in one life; what goes beyond is left out and counted. */
  readonly elections: number;
  /** Epochs that are led; runs that try for more are left out from there on and counted. */
  readonly epochs: number;
  /** Nodes that are never started, the last ones. */
  readonly absent: number;
  /** Begin with a leader of epoch 1 that all follow, instead of with three nodes that know nothing. */
  readonly settled: boolean;
}

/** Kinds of input, in the numbers that name them. */
const NAME = { lane: 0, session: 1, persisted: 2, boot: 3, propose: 4, checkpoint: 5, tick: 6, installed: 7 } as const;

function nameOf(kind: keyof typeof NAME, ...parts: readonly (readonly [value: number, below: number])[]): number {
  let name = 0;
  for (const [value, below] of parts) {
    if (value >= below) throw new RangeError(`an input of kind ${kind} has no number`);
    name = name * below + value;
  }
  return name * 8 + NAME[kind];
}

/** The same for what is asked for most, without lists. */
function laneName(item: number, from: number): number {
  return (item * NODES + from) * 8 + NAME.lane;
}

export class ZabWorld implements World {
  readonly name: string;
  readonly width = WIDTH;
  /** What moves did, and how often. */
  readonly happened = new Map<string, number>();
  readonly #bounds: ZabBounds;
  readonly #tables: ZabTables;
  readonly #network: ZabNetwork;
  readonly #rules: ZabRules;

  constructor(name: string, bounds: ZabBounds) {
    this.name = name;
    this.#bounds = bounds;
    this.#tables = new ZabTables(bounds.entriesKeep);
    this.#network = new ZabNetwork(this.#tables);
    this.#rules = new ZabRules(this.#tables);
  }

  /** Distinct states of a single peer met so far. */
  get peerStates(): number {
    return this.#tables.automaton.size;
  }

  initial(): Row | Violation {
    const tables = this.#tables;
    const down: NodeState = {
      ...{ at: undefined, image: tables.imageNumber(EMPTY_IMAGE), pending: [], accepted: ALL.map(() => 0), delivered: 0 },
      installing: undefined,
    };
    const row = Array.from({ length: WIDTH }, () => 0);
    tables.putPast(row, NEW_PAST);
    for (const dialer of ALL) for (const acceptor of ALL) if (dialer !== acceptor) tables.putConnections(row, dialer, acceptor, []);
    // All at once, with their links up: what comes later is a start into a running cluster.
    const present = ALL.slice(0, NODES - this.#bounds.absent);
    for (const id of ALL) tables.putNode(row, id, present.includes(id) ? { ...down, at: tables.automaton.initial } : down);
    for (const id of present) {
      const broken = this.#start(row, id);
      if (broken !== undefined) return broken;
    }
    return this.#bounds.settled ? this.#settle(row) : row;
  }

  /** Delivers and completes everything, in a fixed order, until nothing is left to do. */
  #settle(from: Row): Row | Violation {
    let row = from;
    for (;;) {
      const move = ALL.flatMap((id) => this.#ordinary(row, id))[0];
      if (move === undefined) return row;
      const next = move.take();
      if (next instanceof Violation) return next;
      row = next;
    }
  }

  check(row: Row): Violation | undefined {
    const tables = this.#tables;
    const quiet = tables.lanesEmpty(row) && tables.past(row).cut === undefined && ALL.every((id) => this.#ordinary(row, id).length === 0);
    return quiet ? this.#rules.nobodyStuck(row) : undefined;
  }

  /** Not checked: what is wrong with a state in which nothing is under way is checked in all of them, bounds used up or not. */
  checkEnd(): Violation | undefined {
    return undefined;
  }

  marks(row: Row): readonly string[] {
    const { leaders, committed, cut } = this.#tables.past(row);
    const marks = leaders.map(([epoch]) => `leader of epoch ${epoch}`);
    if (committed.length > 0) marks.push(`${committed.length} entries delivered`);
    if (cut !== undefined) marks.push(`cut: ${cut}`);
    return marks;
  }

  moves(row: Row): readonly Move[] {
    const tables = this.#tables;
    const past = tables.past(row);
    if (past.cut !== undefined) return [];
    const ordinary = ALL.flatMap((id) => this.#ordinary(row, id));
    const mayBoot = past.boots < this.#bounds.boots && (ordinary.length === 0 || !this.#bounds.quietBoots);
    return [...ordinary, ...ALL.flatMap((id) => [...this.#chosen(row, id, past), ...this.#fates(row, id, past, mayBoot)])];
  }

  // ---- what may happen

  /** Deliveries and completions at this node: what happens without anybody's decision. */
  #ordinary(row: Row, id: number): Move[] {
    const tables = this.#tables;
    const node = tables.node(row, id);
    if (node.at === undefined) return [];
    const moves: Move[] = [];
    const name = `n${id + 1}`;
    for (const from of ALL) {
      if (from === id) continue;
      const item = tables.queues.at(tables.lane(row, from, id))[0];
      if (item === undefined) continue;
      moves.push({
        label: () => `${name} gets ${show(tables.items.at(item))} from n${from + 1}`,
        take: () =>
          this.#taken(row, (next) => {
            tables.shift(next, from, id);
            const input = (): NodeInput => ({ kind: "zab", input: controlInput(tables.items.at(item), from) });
            return this.#step(next, id, laneName(item, from), input);
          }),
      });
    }
    for (const place of this.#network.ends(row, id)) {
      const item = tables.queues.at(place.end.inbox)[0];
      if (item === undefined) continue;
      moves.push({
        label: () => `${name} gets ${show(tables.items.at(item))} from n${place.peer + 1} on their session`,
        take: () => this.#taken(row, (next) => this.#receive(next, place, item)),
      });
    }
    const last = node.pending[node.pending.length - 1];
    if (last !== undefined) {
      moves.push({
        label: () => `${name}'s disk has everything`,
        take: () =>
          this.#taken(row, (next) => {
            tables.complete(next, id);
            const { seq } = tables.requests.at(last);
            return this.#step(next, id, nameOf("persisted", [seq, 1 << 20]), () => ({ kind: "zab", input: { kind: "persisted", seq } }));
          }),
      });
    }
    const { installing } = node;
    if (installing !== undefined) {
      moves.push({
        label: () => `${name} has installed the snapshot at ${formatZxid(installing.at)}`,
        take: () => this.#taken(row, (next) => this.#installed(next, id, node, installing)),
      });
    }
    return moves;
  }

  /** What a node does when a bound allows it. */
  #chosen(row: Row, id: number, past: Past): Move[] {
    const tables = this.#tables;
    const { at } = tables.node(row, id);
    if (at === undefined) return [];
    const { ticks, proposals, checkpoints } = this.#bounds;
    const { role, timerSet, applied, checkpoint } = tables.automaton.view(at);
    const moves: Move[] = [];
    const add = (label: string, kind: "tick" | "propose" | "checkpoint", spent: Partial<Past>, input: NodeInput): void => {
      moves.push({
        label: () => `n${id + 1} ${label}`,
        take: () =>
          this.#taken(row, (next) => {
            tables.putPast(next, { ...past, ...spent });
            if (input.kind === "checkpoint") this.#keep(next, id, applied);
            return this.#step(next, id, nameOf(kind, [past.proposals, 1 << 10]), () => input);
          }),
      });
    };
    if (timerSet && past.ticks < ticks) add("has waited long enough", "tick", { ticks: past.ticks + 1 }, { kind: "tick" });
    if (role.kind === "leading" && role.phase === "broadcast" && past.proposals < proposals) {
      add("proposes", "propose", { proposals: past.proposals + 1 }, { kind: "propose", payload: past.proposals + 1 });
    }
    if (past.checkpoints < checkpoints && compareZxid(applied, checkpoint) > 0) {
      add("makes a checkpoint", "checkpoint", { checkpoints: past.checkpoints + 1 }, { kind: "checkpoint" });
    }
    return moves;
  }

  /** Crashes and starts. */
  #fates(row: Row, id: number, past: Past, mayBoot: boolean): Move[] {
    const moves: Move[] = [];
    const tables = this.#tables;
    const node = tables.node(row, id);
    if (node.at === undefined) {
      if (!mayBoot || id >= NODES - this.#bounds.absent) return moves;
      moves.push({
        label: () => `n${id + 1} starts again`,
        take: () =>
          this.#taken(row, (next) => {
            tables.putPast(next, { ...past, boots: past.boots + 1 });
            const delivered = must(this.#rules.place(next, tables.image(node.image).applied), "checkpoint of delivered entries");
            tables.putNode(next, id, { ...node, at: tables.automaton.initial, delivered });
            this.#network.boot(next, id);
            return this.#start(next, id);
          }),
      });
      return moves;
    }
    if (past.crashes >= this.#bounds.crashes) return moves;
    for (let kept = 0; kept <= node.pending.length; kept++) {
      moves.push({
        label: () => `n${id + 1} crashes${node.pending.length === 0 ? "" : `, its disk keeps ${kept} of ${node.pending.length} writes`}`,
        take: () =>
          this.#taken(row, (next) => {
            tables.putPast(next, { ...past, crashes: past.crashes + 1 });
            const image = tables.imageNumber(tables.submitted(node, kept));
            const accepted = ALL.map(() => 0);
            tables.putNode(next, id, { at: undefined, image, pending: [], accepted, delivered: 0, installing: undefined });
            this.#network.crash(next, id);
            return undefined;
          }),
      });
    }
    return moves;
  }

  // ---- carrying it out

  #taken(row: Row, change: (next: number[]) => Violation | undefined): Row | Violation {
    const next = [...row];
    return change(next) ?? next;
  }

  #start(next: number[], id: number): Violation | undefined {
    const { image } = this.#tables.node(next, id);
    const name = nameOf("boot", [image, 1 << 22], [id, NODES]);
    return this.#step(next, id, name, () => ({ kind: "boot", id: id + 1, image: this.#tables.image(image) }));
  }

  #receive(next: number[], place: Place, item: number): Violation | undefined {
    const { node, peer, side, end } = place;
    const session = must(end.session, "session of an open end");
    this.#network.receive(next, place, item);
    const direction = side === "dialer" ? "dialed" : "accepted";
    const name = nameOf("session", [item, 1 << 18], [session, 1 << 7], [peer, NODES], [side === "dialer" ? 0 : 1, 2]);
    return this.#step(next, node, name, () => ({
      kind: "zab",
      input: sessionInput(this.#tables.items.at(item), session, peer, direction),
    }));
  }

  /** The state on disk is the snapshot's from here on; the log is reset by the peer. */
  #installed(next: number[], id: number, node: NodeState, { session, at }: NonNullable<NodeState["installing"]>): Violation | undefined {
    const delivered = this.#rules.place(next, at);
    if (delivered === undefined) return new Violation(`n${id + 1} installs a snapshot at ${formatZxid(at)}, which nobody delivered`);
    this.#tables.putNode(next, id, { ...node, delivered, installing: undefined });
    this.#keep(next, id, at);
    const name = nameOf("installed", [session, 1 << 7], [at.epoch, 1 << 6], [at.counter, 1 << 6]);
    return this.#step(next, id, name, () => ({ kind: "zab", input: { kind: "snapshot-installed", session, at, ok: true } }));
  }

  #keep(next: number[], id: number, applied: Zxid): void {
    const tables = this.#tables;
    const node = tables.node(next, id);
    tables.putNode(next, id, { ...node, image: tables.imageNumber({ ...tables.image(node.image), applied }) });
  }

  #step(next: number[], id: number, name: number, input: () => NodeInput): Violation | undefined {
    const tables = this.#tables;
    const { automaton } = tables;
    const node = tables.node(next, id);
    const from = must(node.at, "state of a running node");
    const step = automaton.step(from, name, input);
    if (step.kind === "threw") return new Violation(`n${id + 1}: ${step.message}`);
    const { output } = step;
    tables.step(next, id, name, step.state, output);
    const before = automaton.view(from);
    const { role, elections, acceptedEpoch } = automaton.view(step.state);
    if (elections > this.#bounds.elections) tables.putPast(next, { ...tables.past(next), cut: "elections" });
    else if (acceptedEpoch > this.#bounds.epochs) tables.putPast(next, { ...tables.past(next), cut: "epochs" });
    const leads = role.kind === "leading" && role.phase === "broadcast";
    const led = before.role.kind === "leading" && before.role.phase === "broadcast";
    const broken = this.#said(next, id, output.session) ?? (leads && !led ? this.#rules.established(next, id, role.epoch) : undefined);
    if (broken !== undefined) return broken;
    this.#network.carryOut(next, id, output);
    return this.#rules.delivered(next, id, output.committed);
  }

  #said(next: Row, id: number, session: readonly { readonly item: number }[]): Violation | undefined {
    for (const { item } of session) {
      const broken = this.#rules.durableBeforeSent(next, id, item);
      if (broken !== undefined) return broken;
      const sent = show(this.#tables.items.at(item));
      if (sent === "TRUNC" || sent === "SNAP" || sent === "DIFF")
        this.happened.set(`${sent} sent`, (this.happened.get(`${sent} sent`) ?? 0) + 1);
    }
    return undefined;
  }
}

function controlInput(item: Item, from: number): ZabInput {
  const peer = nodeId(from + 1);
  if (item.kind === "control") return { kind: "control", from: peer, message: item.message };
  return { kind: "link", peer, up: item.kind === "up" };
}

function sessionInput(item: Item, session: number, peer: number, direction: "dialed" | "accepted"): ZabInput {
  if (item.kind === "session") return { kind: "session", session, message: item.message };
  return { kind: item.kind === "up" ? "session-up" : "session-down", session, peer: nodeId(peer + 1), direction };
}

function show(item: Item): string {
  return item.kind === "up" || item.kind === "down" ? `"connection ${item.kind}"` : item.message.kind;
}
