/**
 * What must be true of the whole cluster, judged from outside.
 *
 * Committed entries form one chain: every node hands out its entries along it. Every initial history of an established epoch holds what was
 * handed out of earlier epochs, and the initial histories of earlier epochs exactly. An epoch has one established leader.
 */
import { assert, compareZxid, formatZxid, must, ZXID_ZERO, type NodeId, type Zxid } from "../../../src/base/index.js";
import type { Entry } from "../../../src/zab/index.js";
import type { LogImage } from "./disk.js";

interface Initial {
  readonly leader: string;
  readonly base: Zxid;
  readonly last: Zxid;
  readonly history: readonly Zxid[];
  readonly members: ReadonlySet<string>;
}

export class Oracle {
  readonly chain: Zxid[] = [ZXID_ZERO];
  readonly #position = new Map<string, number>([[formatZxid(ZXID_ZERO), 0]]);
  readonly #payload = new Map<string, string>();
  readonly #initial = new Map<number, Initial>();
  established = 0;

  /** How far the cluster is known to have committed. */
  get length(): number {
    return this.chain.length - 1;
  }

  positionOf(z: Zxid): number {
    return must(this.#position.get(formatZxid(z)), `position of ${formatZxid(z)} in the committed order`);
  }

  /** A node hands out `entry` after `previous`. */
  delivered(node: NodeId, previous: Zxid, entry: Entry): void {
    const at = this.positionOf(previous) + 1;
    const name = formatZxid(entry.zxid);
    const payload = Buffer.from(entry.payload).toString("hex");
    const known = this.chain[at];
    if (known === undefined) {
      this.chain.push(entry.zxid);
      this.#position.set(name, at);
      this.#payload.set(name, payload);
      return;
    }
    assert(formatZxid(known) === name, () => `n${node} delivers ${name} where the order has ${formatZxid(known)}`);
    assert(this.#payload.get(name) === payload, () => `n${node} delivers another payload under ${name}`);
  }

  /** A snapshot replaced a node's state. */
  installed(node: NodeId, at: Zxid): void {
    assert(this.#position.has(formatZxid(at)), () => `n${node} installed a snapshot at ${formatZxid(at)}, which was never committed`);
  }

  /** True when a state at `z` contains the first `length` entries of the order; one that was not handed out yet is newer than all. */
  covers(z: Zxid, length: number): boolean {
    const position = this.#position.get(formatZxid(z));
    return position === undefined ? compareZxid(z, must(this.chain[length], "chain entry")) > 0 : position >= length;
  }

  establishedLeader(node: NodeId, life: number, epoch: number, log: LogImage): void {
    this.established++;
    const leader = `n${node}/${life}`;
    const rival = this.#initial.get(epoch);
    assert(rival === undefined, () => `epoch ${epoch} is led by ${rival?.leader} and by ${leader}`);
    // Proposals of the same turn are in the log already.
    const history = log.entries.map((entry) => entry.zxid).filter((z) => z.epoch < epoch);
    const members = new Set([log.base, ...history].map(formatZxid));
    const initial: Initial = { leader, base: log.base, last: history[history.length - 1] ?? log.base, history, members };
    for (let i = this.chain.length - 1; i >= 0; i--) {
      const z = must(this.chain[i], "chain entry");
      if (z.epoch >= epoch) continue;
      assert(contains(initial, z), () => `leader ${leader} of epoch ${epoch} lacks ${formatZxid(z)}, which was committed`);
      break;
    }
    for (const [e, other] of this.#initial) {
      const [low, high] = e < epoch ? [other, initial] : [initial, other];
      assert(contains(high, low.last), () => `initial histories of ${low.leader} (${formatZxid(low.last)}) and ${high.leader} part`);
      // Primary integrity: once an epoch is established, nothing of an earlier one is added to the order.
      const revived = high.history.find((z) => z.epoch < Math.min(e, epoch) && compareZxid(z, low.last) > 0);
      assert(revived === undefined, () => `${high.leader} revives ${formatZxid(revived ?? low.last)}, which ${low.leader} had given up`);
    }
    this.#initial.set(epoch, initial);
  }
}

function contains(initial: Initial, z: Zxid): boolean {
  return initial.members.has(formatZxid(z)) || compareZxid(z, initial.base) <= 0;
}
