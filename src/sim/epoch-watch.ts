/**
 * Watches how epochs begin: who promised what, whose history became the initial one, who holds it when the leader takes office.
 *
 * These rules are broken long before anything is lost: the loss needs further crashes at the right moments. So they are checked where
 * they are made, from what leaves each node and what its disk holds (docs/protocol.md, rules 3, 4, 7 and 8).
 */
import { compareZxid, formatZxid, type Zxid } from "../base/index.js";
import type { Violation } from "../check/index.js";
import type { Disk } from "./disk.js";

/** How much history a node had when it promised an epoch. */
interface Promised {
  readonly currentEpoch: number;
  readonly last: Zxid;
  /** The node has lost its disk since. The promise was made and counts; but the node no longer knows it. */
  forgotten: boolean;
}

export class EpochWatch {
  /** Counted promises, by epoch and name. */
  readonly #promises = new Map<number, Map<string, Promised>>();

  /** `currentEpoch` undefined: a repetition, which is not counted. */
  promised(disk: Disk, epoch: number, currentEpoch: number | undefined, last: Zxid): Violation | undefined {
    // A node with damage is not counted whatever it says, and may not know that it says it again.
    if (currentEpoch === undefined || disk.damage !== undefined) return undefined;
    let promises = this.#promises.get(epoch);
    if (promises === undefined) this.#promises.set(epoch, (promises = new Map()));
    if (promises.get(disk.name)?.forgotten === false)
      return { invariant: "promise-once", message: `${disk.name} promises epoch ${epoch} a second time` };
    promises.set(disk.name, { currentEpoch, last, forgotten: false });
    return undefined;
  }

  /** Its promises are gone with its disk: it may make the same ones again once it counts again. A leader that has them counts them. */
  forgot(name: string): void {
    for (const promises of this.#promises.values()) {
      const promise = promises.get(name);
      if (promise !== undefined) promise.forgotten = true;
    }
  }

  /** A leader makes its log, up to `last`, the initial history of `epoch`: nobody of the quorum that promised it may be ahead. */
  historyFixed(leader: Disk, epoch: number, last: Zxid, voters: number): Violation | undefined {
    const { currentEpoch } = leader.epochs;
    const promises = this.#promises.get(epoch) ?? new Map<string, Promised>();
    const ahead: string[] = [];
    let behind = 1;
    for (const [name, promise] of promises) {
      if (name === leader.name) continue;
      const order = promise.currentEpoch - currentEpoch || compareZxid(promise.last, last);
      if (order <= 0) behind++;
      else ahead.push(`${name} (${promise.currentEpoch}, ${formatZxid(promise.last)})`);
    }
    if (behind * 2 > voters) return undefined;
    return {
      invariant: "initial-history",
      message:
        `${leader.name} begins epoch ${epoch} with the history (${currentEpoch}, ${formatZxid(last)}); only ${behind} of ${voters} ` +
        `promised it without being ahead${ahead.length === 0 ? "" : `; ahead: ${ahead.join(", ")}`}`,
    };
  }
}
