/**
 * Election, discovery, synchronization and broadcast in the small: three real peers, their disks and the connections between them.
 *
 * Every order of deliveries between different connections, of disk completions and of crashes is tried. Within the bounds: the control lane
 * between two nodes and each session keep their order and lose nothing but what was on its way to a node that crashed; a node's
 * disk completes all that was submitted at once, but a crash keeps any prefix of it; no checkpoints and no snapshots.
 *
 * Checked at every step: one established leader of each epoch; nodes deliver the same entries in the same order; a delivered entry is
 * durable at a quorum, and every leader that is established later holds it; promises and acknowledgements are durable before
 * they are sent. The peer's own invariants are checked by the peer.
 */
import { formatZxid, must, nodeId } from "../base/index.js";
import type { ControlMessage, Entry, PersistRequest, Ready, SessionMessage, ZabInput } from "../zab/index.js";
import { heapText } from "./heap.js";
import { Numbers } from "./numbers.js";
import { Violation } from "./search.js";
import type { Move, World } from "./search.js";
import { createNodeAutomaton, durable, EMPTY_IMAGE, NODES } from "./zab-node.js";
import type { Image, NodeAutomaton, NodeInput } from "./zab-node.js";

export interface ZabBounds {
  readonly crashes: number;
  /** Nodes that start again. */
  readonly boots: number;
  /** Only when nothing else is under way: every crash is still at any moment, and the number of states stays small. */
  readonly quietBoots: boolean;
  readonly proposals: number;
  /** Elections that are not unanimous in time, over all nodes. */
  readonly ticks: number;
  /** Elections one node may start in one life; what goes beyond is left out and counted. */
  readonly elections: number;
  /** Begin with a leader of epoch 1 that all follow, instead of with three nodes that know nothing. */
  readonly settled: boolean;
}

/** What travels on one direction of a connection, or on a control lane. */
type Item =
  | { readonly kind: "control"; readonly message: ControlMessage }
  | { readonly kind: "session"; readonly message: SessionMessage }
  | { readonly kind: "up" }
  | { readonly kind: "down" };

interface NodeState {
  /** undefined: down. */
  readonly at: number | undefined;
  readonly image: number;
  /** Submitted and not durable. */
  readonly pending: readonly number[];
  readonly accepted: number;
  readonly delivered: number;
  readonly leads: boolean;
  readonly timerSet: boolean;
}

interface End {
  readonly node: number;
  /** undefined: this end is closed, or its node is gone. */
  readonly session: number | undefined;
  /** What waits for this end. */
  readonly inbox: readonly number[];
}

interface Connection {
  readonly dialer: End;
  readonly acceptor: End;
}

interface ZabState {
  readonly nodes: readonly NodeState[];
  /** Control lanes: `lanes[from * NODES + to]`. */
  readonly lanes: readonly (readonly number[])[];
  readonly connections: readonly Connection[];
  /** Every entry that some node delivered, in order. */
  readonly committed: readonly number[];
  /** The established leader of each epoch. */
  readonly leaders: readonly (readonly [number, number])[];
  readonly crashes: number;
  readonly boots: number;
  readonly proposals: number;
  readonly ticks: number;
  readonly outside: boolean;
}

type Mutable = { -readonly [K in keyof ZabState]: ZabState[K] };

const DOWN = { kind: "down" } as const;
const UP = { kind: "up" } as const;
const ALL = Array.from({ length: NODES }, (_, i) => i);
const QUORUM = Math.floor(NODES / 2) + 1;

function at<T>(list: readonly T[], index: number): T {
  return must(list[index], "element");
}

function put<T>(list: readonly T[], index: number, value: T): readonly T[] {
  const copy = [...list];
  copy[index] = value;
  return copy;
}

export class ZabWorld implements World<ZabState> {
  readonly name: string;
  readonly #bounds: ZabBounds;
  readonly #node: NodeAutomaton = createNodeAutomaton();
  readonly #items = new Numbers<Item>();
  readonly #images = new Numbers<Image>();
  readonly #requests = new Numbers<PersistRequest>();
  readonly #entries = new Numbers<Entry>();

  constructor(name: string, bounds: ZabBounds) {
    this.name = name;
    this.#bounds = bounds;
  }

  /** Distinct states of a single peer met so far. */
  get peerStates(): number {
    return this.#node.size;
  }

  initial(): ZabState | Violation {
    const down: NodeState = {
      at: undefined,
      image: this.#image(EMPTY_IMAGE),
      pending: [],
      accepted: 0,
      delivered: 0,
      leads: false,
      timerSet: false,
    };
    const state: Mutable = {
      ...{ nodes: ALL.map(() => down), lanes: ALL.flatMap(() => ALL.map(() => [])), connections: [], committed: [], leaders: [] },
      ...{ crashes: 0, boots: 0, proposals: 0, ticks: 0, outside: false },
    };
    // All at once, with their links up: what comes later is a start into a running cluster.
    state.nodes = state.nodes.map((node) => ({ ...node, at: this.#node.initial }));
    for (const id of ALL) {
      const broken = this.#start(state, id);
      if (broken !== undefined) return broken;
    }
    return this.#bounds.settled ? this.#settle(state) : state;
  }

  /** Delivers and completes everything, in a fixed order, until nothing is left to do. */
  #settle(from: ZabState): ZabState | Violation {
    let state = from;
    for (;;) {
      const move = this.#ordinary(state)[0];
      if (move === undefined) return state;
      const next = move.take();
      if (next instanceof Violation) return next;
      state = next;
    }
  }

  key(state: ZabState): string {
    const nodes = state.nodes.map((node) => {
      return `${node.at ?? "x"},${node.image},${node.pending.join("+")},${node.accepted},${node.delivered},${Number(node.leads)}`;
    });
    const end = ({ node, session, inbox }: End): string => `${node}:${session ?? "-"}:${inbox}`;
    const connections = state.connections.map(({ dialer, acceptor }) => `${end(dialer)}>${end(acceptor)}`).sort();
    const { crashes, boots, proposals, ticks, outside } = state;
    return `${nodes.join("|")}#${state.lanes.join("|")}#${connections.join("|")}#${state.committed}#${state.leaders.join(";")}#${crashes},${boots},${proposals},${ticks}${outside ? "!" : ""}`;
  }

  check(): Violation | undefined {
    return undefined;
  }

  /** Not checked: where nothing is under way the timers that give up and repeat go on, and those are out of reach here. */
  checkEnd(): Violation | undefined {
    return undefined;
  }

  marks(state: ZabState): readonly string[] {
    const marks = state.leaders.map(([epoch]) => `leader of epoch ${epoch}`);
    if (state.committed.length > 0) marks.push(`${state.committed.length} entries delivered`);
    if (state.outside) marks.push("outside the bounds");
    return marks;
  }

  moves(state: ZabState): readonly Move<ZabState>[] {
    if (state.outside) return [];
    const moves = this.#ordinary(state);
    const quiet = moves.length === 0;
    const { crashes, boots, proposals, ticks } = this.#bounds;
    state.nodes.forEach((node, id) => {
      const name = `n${id + 1}`;
      if (node.at === undefined) {
        if (state.boots < boots && (quiet || !this.#bounds.quietBoots)) {
          moves.push(
            this.#move(`${name} starts again`, state, (next) => {
              next.boots++;
              return this.#boot(next, id);
            }),
          );
        }
        return;
      }
      if (node.timerSet && state.ticks < ticks) {
        moves.push(
          this.#move(`the timer of ${name} fires`, state, (next) => {
            next.ticks++;
            return this.#step(next, id, "tick", { kind: "tick" });
          }),
        );
      }
      if (node.leads && state.proposals < proposals) {
        moves.push(
          this.#move(`${name} proposes`, state, (next) => {
            next.proposals++;
            return this.#step(next, id, `propose ${next.proposals}`, { kind: "propose", payload: next.proposals });
          }),
        );
      }
      if (state.crashes < crashes) {
        for (let kept = 0; kept <= node.pending.length; kept++) {
          const disk = node.pending.length === 0 ? "" : `, its disk keeps ${kept} of ${node.pending.length} writes`;
          moves.push(this.#move(`${name} crashes${disk}`, state, (next) => this.#crash(next, id, kept)));
        }
      }
    });
    return moves;
  }

  // ---- what may happen

  /** Deliveries and disk completions: what happens without anybody's decision. */
  #ordinary(state: ZabState): Move<ZabState>[] {
    const moves: Move<ZabState>[] = [];
    state.lanes.forEach((lane, index) => {
      const first = lane[0];
      const from = Math.floor(index / NODES);
      const to = index % NODES;
      if (first === undefined || at(state.nodes, to).at === undefined) return;
      const item = this.#items.at(first);
      moves.push(
        this.#move(`n${to + 1} gets ${show(item)} from n${from + 1}`, state, (next) => {
          next.lanes = put(next.lanes, index, lane.slice(1));
          return this.#zab(next, to, `lane ${from} ${first}`, controlInput(item, from));
        }),
      );
    });
    state.connections.forEach((connection, index) => {
      for (const side of ["dialer", "acceptor"] as const) {
        const end = connection[side];
        const peer = connection[side === "dialer" ? "acceptor" : "dialer"].node;
        const { node, session, inbox } = end;
        const first = inbox[0];
        if (first === undefined || session === undefined) continue;
        const item = this.#items.at(first);
        moves.push(
          this.#move(`n${node + 1} gets ${show(item)} from n${peer + 1} on their session`, state, (next) => {
            const after = { ...end, inbox: inbox.slice(1), session: item.kind === "down" ? undefined : session };
            next.connections = put(next.connections, index, { ...connection, [side]: after });
            const direction = side === "dialer" ? "dialed" : "accepted";
            return this.#zab(next, node, `session ${session} ${peer} ${direction} ${first}`, sessionInput(item, session, peer, direction));
          }),
        );
      }
    });
    state.nodes.forEach((node, id) => {
      const last = node.pending[node.pending.length - 1];
      if (node.at === undefined || last === undefined) return;
      moves.push(
        this.#move(`n${id + 1}'s disk has everything`, state, (next) => {
          const image = this.#submitted(node);
          next.nodes = put(next.nodes, id, { ...node, image: this.#image(image), pending: [] });
          const { seq } = this.#requests.at(last);
          return this.#zab(next, id, `persisted ${seq}`, { kind: "persisted", seq });
        }),
      );
    });
    return moves;
  }

  #crash(next: Mutable, id: number, kept: number): Violation | undefined {
    const node = at(next.nodes, id);
    next.crashes++;
    let image = this.#images.at(node.image);
    for (const number of node.pending.slice(0, kept)) image = durable(image, this.#requests.at(number).op);
    next.nodes = put(next.nodes, id, {
      at: undefined,
      image: this.#image(image),
      pending: [],
      accepted: 0,
      delivered: 0,
      leads: false,
      timerSet: false,
    });
    for (const other of ALL) {
      next.lanes = put(next.lanes, other * NODES + id, []);
      if (other !== id && at(next.nodes, other).at !== undefined) this.#lane(next, id, other, DOWN);
    }
    const down = this.#item(DOWN);
    next.connections = next.connections.map(({ dialer, acceptor }) => {
      const gone = (end: End, other: End): End => {
        if (end.node === id) return { ...end, session: undefined, inbox: [] };
        return other.node === id && end.session !== undefined && other.session !== undefined
          ? { ...end, inbox: [...end.inbox, down] }
          : end;
      };
      return { dialer: gone(dialer, acceptor), acceptor: gone(acceptor, dialer) };
    });
    this.#sweep(next);
    return undefined;
  }

  #boot(next: Mutable, id: number): Violation | undefined {
    next.nodes = put(next.nodes, id, { ...at(next.nodes, id), at: this.#node.initial });
    for (const other of ALL) {
      if (other === id || at(next.nodes, other).at === undefined) continue;
      this.#lane(next, id, other, UP);
      this.#lane(next, other, id, UP);
    }
    return this.#start(next, id);
  }

  #start(next: Mutable, id: number): Violation | undefined {
    const { image } = at(next.nodes, id);
    return this.#step(next, id, `boot ${id} ${image}`, { kind: "boot", id: id + 1, image: this.#images.at(image) });
  }

  // ---- carrying it out

  #move(label: string, state: ZabState, change: (next: Mutable) => Violation | undefined): Move<ZabState> {
    return {
      label,
      take: () => {
        const next: Mutable = { ...state };
        return change(next) ?? next;
      },
    };
  }

  #zab(next: Mutable, id: number, name: string, input: ZabInput): Violation | undefined {
    return this.#step(next, id, name, { kind: "zab", input });
  }

  #step(next: Mutable, id: number, name: string, input: NodeInput): Violation | undefined {
    const node = at(next.nodes, id);
    const step = this.#node.step(must(node.at, "state of a running node"), name, input);
    if (step.kind === "threw") return new Violation(`n${id + 1}: ${step.message}`);
    const { ready, role, elections, timerSet } = step.output;
    const leads = role.kind === "leading" && role.phase === "broadcast";
    const pending = [...node.pending, ...ready.persist.map((request) => this.#request(request))];
    const after: NodeState = { ...node, at: step.state, pending, leads, timerSet };
    next.nodes = put(next.nodes, id, after);
    if (elections > this.#bounds.elections) next.outside = true;
    return (
      (leads && !node.leads ? this.#established(next, id, role.epoch) : undefined) ??
      this.#send(next, id, ready) ??
      this.#deliver(next, id, ready.committed)
    );
  }

  #send(next: Mutable, id: number, ready: Ready): Violation | undefined {
    const { epochs, entries } = this.#images.at(at(next.nodes, id).image);
    for (const { to, message } of ready.control) {
      if (at(next.nodes, to - 1).at !== undefined) this.#lane(next, id, to - 1, { kind: "control", message });
    }
    for (const { session, peer } of ready.dial) {
      const up = this.#item(UP);
      const target = at(next.nodes, peer - 1);
      const dialer: End = { node: id, session, inbox: [target.at === undefined ? this.#item(DOWN) : up] };
      const accepted = 2 * (target.accepted + 1);
      const acceptor: End = {
        node: peer - 1,
        session: target.at === undefined ? undefined : accepted,
        inbox: target.at === undefined ? [] : [up],
      };
      if (target.at !== undefined) next.nodes = put(next.nodes, peer - 1, { ...target, accepted: target.accepted + 1 });
      next.connections = [...next.connections, { dialer, acceptor }];
    }
    for (const { session, message } of ready.session) {
      if (message.kind === "ACKEPOCH" && epochs.acceptedEpoch < message.epoch) {
        return new Violation(`n${id + 1} sends ACKEPOCH ${message.epoch} while its disk has promised ${epochs.acceptedEpoch}`);
      }
      if (message.kind === "ACKNEWLEADER" && epochs.currentEpoch < message.epoch) {
        return new Violation(`n${id + 1} sends ACKNEWLEADER ${message.epoch} while its disk has currentEpoch ${epochs.currentEpoch}`);
      }
      if (message.kind === "ACK" && message.durable.counter > 0) {
        const z = message.durable;
        if (!entries.some(({ zxid }) => zxid.epoch === z.epoch && zxid.counter === z.counter)) {
          return new Violation(`n${id + 1} acknowledges ${formatZxid(z)}, which its disk does not have`);
        }
      }
      this.#toOtherEnd(next, id, session, { kind: "session", message });
    }
    for (const session of ready.close) {
      this.#toOtherEnd(next, id, session, DOWN);
      next.connections = next.connections.map((connection) => {
        const { dialer, acceptor } = connection;
        if (dialer.node === id && dialer.session === session) return { dialer: { ...dialer, session: undefined, inbox: [] }, acceptor };
        if (acceptor.node === id && acceptor.session === session)
          return { dialer, acceptor: { ...acceptor, session: undefined, inbox: [] } };
        return connection;
      });
    }
    this.#sweep(next);
    return undefined;
  }

  #toOtherEnd(next: Mutable, id: number, session: number, item: Item): void {
    const number = this.#item(item);
    next.connections = next.connections.map((connection) => {
      const { dialer, acceptor } = connection;
      if (dialer.node === id && dialer.session === session && acceptor.session !== undefined) {
        return { dialer, acceptor: { ...acceptor, inbox: [...acceptor.inbox, number] } };
      }
      if (acceptor.node === id && acceptor.session === session && dialer.session !== undefined) {
        return { dialer: { ...dialer, inbox: [...dialer.inbox, number] }, acceptor };
      }
      return connection;
    });
  }

  /** Connections that are closed at both ends are forgotten. */
  #sweep(next: Mutable): void {
    next.connections = next.connections.filter(({ dialer, acceptor }) => dialer.session !== undefined || acceptor.session !== undefined);
  }

  #lane(next: Mutable, from: number, to: number, item: Item): void {
    const index = from * NODES + to;
    next.lanes = put(next.lanes, index, [...at(next.lanes, index), this.#item(item)]);
  }

  // ---- what is checked

  #established(next: Mutable, id: number, epoch: number): Violation | undefined {
    const other = next.leaders.find(([known]) => known === epoch);
    if (other !== undefined && other[1] !== id) return new Violation(`n${other[1] + 1} and n${id + 1} both lead epoch ${epoch}`);
    if (other === undefined) next.leaders = [...next.leaders, [epoch, id]];
    const { entries } = this.#submitted(at(next.nodes, id));
    const lost = next.committed.findIndex((number, i) => entries[i] === undefined || this.#entry(at(entries, i)) !== number);
    if (lost < 0) return undefined;
    return new Violation(
      `n${id + 1} leads epoch ${epoch} without ${formatZxid(this.#entries.at(at(next.committed, lost)).zxid)}, which was delivered`,
    );
  }

  #deliver(next: Mutable, id: number, committed: readonly Entry[]): Violation | undefined {
    for (const entry of committed) {
      const node = at(next.nodes, id);
      const number = this.#entry(entry);
      const known = next.committed[node.delivered];
      if (known === undefined) {
        const holders = next.nodes.filter(({ image }) => this.#images.at(image).entries.some((held) => this.#entry(held) === number));
        if (holders.length < QUORUM) {
          return new Violation(`n${id + 1} delivers ${formatZxid(entry.zxid)}, which is durable on ${holders.length} of ${NODES} nodes`);
        }
        next.committed = [...next.committed, number];
      } else if (known !== number) {
        const first = formatZxid(this.#entries.at(known).zxid);
        return new Violation(`n${id + 1} delivers ${formatZxid(entry.zxid)} where another node delivered ${first}`);
      }
      next.nodes = put(next.nodes, id, { ...node, delivered: node.delivered + 1 });
    }
    return undefined;
  }

  // ---- numbers

  /** What the disk holds once everything submitted is durable. */
  #submitted(node: NodeState): Image {
    let image = this.#images.at(node.image);
    for (const number of node.pending) image = durable(image, this.#requests.at(number).op);
    return image;
  }

  #item(item: Item): number {
    return this.#items.of(item, item.kind === "up" || item.kind === "down" ? item.kind : heapText(item.message));
  }

  #image(image: Image): number {
    return this.#images.of(image, heapText(image));
  }

  #request(request: PersistRequest): number {
    return this.#requests.of(request, heapText(request));
  }

  #entry(entry: Entry): number {
    return this.#entries.of(entry, `${entry.zxid.epoch}:${entry.zxid.counter} ${entry.payload.join(",")}`);
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
