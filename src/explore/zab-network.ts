/**
 * The network of the consensus world: control lanes and sessions keep their order and lose nothing, except what is on its way to a node
 * that crashes. A node that is down refuses connections, and everybody who is up learns at once (in order) that it went.
 */
import type { Row } from "./search.js";
import { ALL } from "./zab-state.js";
import type { Connection, Effects, End, ZabTables } from "./zab-state.js";

type Side = keyof Connection;

const SIDES: readonly Side[] = ["dialer", "acceptor"];

function otherSide(side: Side): Side {
  return side === "dialer" ? "acceptor" : "dialer";
}

/** One end of a connection, and how to find it again. */
export interface Place {
  readonly node: number;
  readonly peer: number;
  readonly side: Side;
  readonly index: number;
  readonly end: End;
}

function withEnd(connection: Connection, side: Side, end: End): Connection {
  return side === "dialer" ? { ...connection, dialer: end } : { ...connection, acceptor: end };
}

export class ZabNetwork {
  readonly #tables: ZabTables;

  constructor(tables: ZabTables) {
    this.#tables = tables;
  }

  /** The open ends at this node. */
  ends(row: Row, node: number): Place[] {
    const tables = this.#tables;
    const places: Place[] = [];
    for (const peer of ALL) {
      if (peer === node) continue;
      for (const side of SIDES) {
        if (!(side === "dialer" ? tables.hasConnections(row, node, peer) : tables.hasConnections(row, peer, node))) continue;
        this.#connections(row, node, peer, side).forEach((connection, index) => {
          const end = connection[side];
          if (end.session !== undefined) places.push({ node, peer, side, index, end });
        });
      }
    }
    return places;
  }

  /** Takes the first item off an end's inbox. A connection that is down ends there. */
  receive(row: number[], { node, peer, side, index, end }: Place, item: number): void {
    const { queues, down } = this.#tables;
    const after: End = { session: item === down ? undefined : end.session, inbox: queues.shift(end.inbox) };
    this.#change(row, node, peer, side, (each, i) => (i === index ? withEnd(each, side, after) : each));
  }

  /** Carries out what a step of this node asks of the network. */
  carryOut(row: number[], node: number, effects: Effects): void {
    const tables = this.#tables;
    for (const { to, item } of effects.control) {
      if (tables.isUp(row, to)) tables.push(row, node, to, item);
    }
    if (effects.controlOnly) return;
    for (const { session, to } of effects.dial) this.#dial(row, node, session, to);
    for (const { session, item } of effects.session) this.#send(row, node, session, item);
    for (const session of effects.close) this.#close(row, node, session);
  }

  crash(row: number[], node: number): void {
    const tables = this.#tables;
    const { queues, down } = tables;
    for (const other of ALL) {
      if (other === node) continue;
      tables.emptyLane(row, other, node);
      if (tables.isUp(row, other)) tables.push(row, node, other, down);
      for (const side of SIDES) {
        this.#change(row, node, other, side, (connection) => {
          const mine = connection[side];
          const theirs = connection[otherSide(side)];
          const tells = mine.session !== undefined && theirs.session !== undefined;
          const gone = withEnd(connection, side, { session: undefined, inbox: 0 });
          return tells ? withEnd(gone, otherSide(side), { ...theirs, inbox: queues.push(theirs.inbox, down) }) : gone;
        });
      }
    }
  }

  /** Those who are up have a connection with it again; those who are down refuse one. */
  boot(row: number[], node: number): void {
    const tables = this.#tables;
    for (const other of ALL) {
      if (other === node) continue;
      if (tables.isUp(row, other)) tables.push(row, node, other, tables.up);
      tables.push(row, other, node, tables.isUp(row, other) ? tables.up : tables.down);
    }
  }

  // ---- inside

  #dial(row: number[], node: number, session: number, to: number): void {
    const tables = this.#tables;
    const { queues, up, down } = tables;
    const target = tables.node(row, to);
    const answers = target.at !== undefined;
    const count = target.accepted[node] ?? 0;
    if (answers) tables.putNode(row, to, { ...target, accepted: target.accepted.map((each, id) => (id === node ? each + 1 : each)) });
    const connection: Connection = {
      dialer: { session, inbox: queues.of([answers ? up : down]) },
      // Even, and another for each dialer, so that it does not matter who dials first.
      acceptor: answers ? { session: 2 * (count * ALL.length + node + 1), inbox: queues.of([up]) } : { session: undefined, inbox: 0 },
    };
    tables.putConnections(row, node, to, [...tables.connections(row, node, to), connection]);
  }

  #send(row: number[], node: number, session: number, item: number): void {
    const { queues } = this.#tables;
    this.#onSession(row, node, session, (connection, side) => {
      const there = connection[otherSide(side)];
      return there.session === undefined
        ? connection
        : withEnd(connection, otherSide(side), { ...there, inbox: queues.push(there.inbox, item) });
    });
  }

  #close(row: number[], node: number, session: number): void {
    this.#send(row, node, session, this.#tables.down);
    this.#onSession(row, node, session, (connection, side) => withEnd(connection, side, { session: undefined, inbox: 0 }));
  }

  #onSession(row: number[], node: number, session: number, change: (connection: Connection, side: Side) => Connection): void {
    for (const { peer, side, index, end } of this.ends(row, node)) {
      if (end.session !== session) continue;
      this.#change(row, node, peer, side, (each, i) => (i === index ? change(each, side) : each));
      return;
    }
  }

  #connections(row: Row, node: number, peer: number, side: Side): readonly Connection[] {
    return side === "dialer" ? this.#tables.connections(row, node, peer) : this.#tables.connections(row, peer, node);
  }

  #change(row: number[], node: number, peer: number, side: Side, change: (connection: Connection, index: number) => Connection): void {
    const connections = this.#connections(row, node, peer, side);
    if (connections.length === 0) return;
    const [dialer, acceptor] = side === "dialer" ? [node, peer] : [peer, node];
    this.#tables.putConnections(row, dialer, acceptor, connections.map(change));
  }
}
