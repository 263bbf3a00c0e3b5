/**
 * What the consensus world checks at its moves. The rules are written down here a second time, over what is on the disks; the peer checks
 * its own invariants besides.
 */
import { equalZxid, formatZxid, ZXID_ZERO } from "../base/index.js";
import type { Zxid } from "../base/index.js";
import type { Row } from "./search.js";
import { Violation } from "./search.js";
import { holds, NODES } from "./zab-node.js";
import type { Image } from "./zab-node.js";
import { ALL } from "./zab-state.js";
import type { ZabTables } from "./zab-state.js";

const QUORUM = Math.floor(NODES / 2) + 1;

export class ZabRules {
  readonly #tables: ZabTables;

  constructor(tables: ZabTables) {
    this.#tables = tables;
  }

  /** Promises and acknowledgements are on the disk before they are sent. */
  durableBeforeSent(row: Row, id: number, item: number): Violation | undefined {
    const sent = this.#tables.items.at(item);
    if (sent.kind !== "session") return undefined;
    const { message } = sent;
    const image = this.#tables.image(this.#tables.node(row, id).image);
    const { acceptedEpoch, currentEpoch } = image.epochs;
    if (message.kind === "ACKEPOCH" && acceptedEpoch < message.epoch) {
      return new Violation(`n${id + 1} sends ACKEPOCH ${message.epoch} while its disk has promised ${acceptedEpoch}`);
    }
    if (message.kind === "NEWEPOCH" && acceptedEpoch < message.epoch) {
      return new Violation(`n${id + 1} sends NEWEPOCH ${message.epoch} while its disk has promised ${acceptedEpoch}`);
    }
    if (message.kind === "ACKNEWLEADER" && currentEpoch < message.epoch) {
      return new Violation(`n${id + 1} sends ACKNEWLEADER ${message.epoch} while its disk has currentEpoch ${currentEpoch}`);
    }
    if (message.kind === "ACK" && message.durable.counter > 0 && !holds(image, message.durable)) {
      return new Violation(`n${id + 1} acknowledges ${formatZxid(message.durable)}, which its disk does not have`);
    }
    if (message.kind === "SNAP" && this.place(row, message.at) === undefined) {
      return new Violation(`n${id + 1} sends a snapshot at ${formatZxid(message.at)}, which nobody delivered`);
    }
    return undefined;
  }

  /** One established leader of each epoch, and it holds all that was delivered before. */
  established(row: number[], id: number, epoch: number): Violation | undefined {
    const tables = this.#tables;
    const past = tables.past(row);
    const other = past.leaders.find(([known]) => known === epoch);
    if (other !== undefined && other[1] !== id) return new Violation(`n${other[1] + 1} and n${id + 1} both lead epoch ${epoch}`);
    if (other === undefined) {
      const leaders = [...past.leaders, [epoch, id] as const].sort(([a], [b]) => a - b);
      tables.putPast(row, { ...past, leaders });
    }
    const lost = this.#lacks(row, tables.submitted(tables.node(row, id)));
    return lost === undefined
      ? undefined
      : new Violation(`n${id + 1} leads epoch ${epoch} without ${formatZxid(lost)}, which was delivered`);
  }

  /** All nodes deliver the same entries in the same order, each once it is durable at a quorum. */
  delivered(row: number[], id: number, committed: readonly number[]): Violation | undefined {
    const tables = this.#tables;
    for (const number of committed) {
      const node = tables.node(row, id);
      const past = tables.past(row);
      const { zxid } = tables.entries.at(number);
      const known = past.committed[node.delivered];
      if (known === undefined) {
        const holders = ALL.filter((each) => holds(tables.image(tables.node(row, each).image), zxid)).length;
        if (holders < QUORUM) {
          return new Violation(`n${id + 1} delivers ${formatZxid(zxid)}, which is durable on ${holders} of ${NODES} nodes`);
        }
        tables.putPast(row, { ...past, committed: [...past.committed, number] });
      } else if (known !== number) {
        return new Violation(`n${id + 1} delivers ${formatZxid(zxid)} where another node delivered ${formatZxid(this.#zxid(known))}`);
      }
      tables.putNode(row, id, { ...node, delivered: node.delivered + 1 });
    }
    return undefined;
  }

  /**
   * Where nothing is under way and a majority is up, nobody is left in an attempt that cannot succeed any more: what would end it is initLimit, and
   * that is for those who say nothing. A node that looks for a leader asks again by its own timer.
   */
  nobodyStuck(row: Row): Violation | undefined {
    const tables = this.#tables;
    const up = ALL.flatMap((id) => {
      const { at } = tables.node(row, id);
      return at === undefined ? [] : [{ id, ...tables.automaton.view(at) }];
    });
    if (up.length < QUORUM || up.some(({ timerSet }) => timerSet)) return undefined;
    const stuck = up.find(({ role }) => role.kind !== "looking" && role.phase !== "broadcast");
    if (stuck === undefined) return undefined;
    const roles = up.map(({ id, role }) => `n${id + 1} ${role.kind}${role.kind === "looking" ? "" : ` in ${role.phase}`}`).join(", ");
    return new Violation(`n${stuck.id + 1} waits for initLimit: ${roles}`);
  }

  /** How many delivered entries a state at this zxid has in it; undefined when it has others. */
  place(row: Row, z: Zxid): number | undefined {
    if (equalZxid(z, ZXID_ZERO)) return 0;
    const index = this.#tables.past(row).committed.findIndex((number) => equalZxid(this.#zxid(number), z));
    return index < 0 ? undefined : index + 1;
  }

  /** The first delivered entry that is not in this log where it belongs. */
  #lacks(row: Row, image: Image): Zxid | undefined {
    const { committed } = this.#tables.past(row);
    const from = this.place(row, image.base);
    if (from === undefined) return image.base;
    const missing = committed.slice(from).find((number, i) => {
      const held = image.entries[i];
      const entry = this.#tables.entries.at(number);
      return held === undefined || !equalZxid(held.zxid, entry.zxid) || held.payload.join() !== entry.payload.join();
    });
    return missing === undefined ? undefined : this.#zxid(missing);
  }

  #zxid(entry: number): Zxid {
    return this.#tables.entries.at(entry).zxid;
  }
}
