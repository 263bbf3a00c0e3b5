/**
 * The one committed log of a run, as the nodes apply it: every node must apply a prefix of the same sequence, and each epoch has one
 * established leader, whose state holds all that was committed before.
 */
import { compareZxid, equalZxid, formatZxid, ZXID_ZERO, type Zxid } from "../base/index.js";
import type { Violation } from "./violation.js";

export interface CommittedEntry {
  readonly zxid: Zxid;
  readonly payload: Uint8Array;
}

export class CommittedLog {
  readonly #entries: CommittedEntry[] = [];
  readonly #positions = new Map<string, number>();
  readonly #digests = new Map<string, { readonly digest: number; readonly node: string }>();
  readonly #leaders = new Map<number, string>();

  get last(): Zxid {
    return this.#entries.at(-1)?.zxid ?? ZXID_ZERO;
  }

  get length(): number {
    return this.#entries.length;
  }

  has(zxid: Zxid): boolean {
    return this.#positions.has(formatZxid(zxid));
  }

  /** `node` applied `entries`, in order, from `from`. Returns how many of them nobody had applied before, or what is wrong. */
  applied(node: string, from: Zxid, entries: readonly CommittedEntry[]): { readonly fresh: readonly CommittedEntry[] } | Violation {
    let position = equalZxid(from, ZXID_ZERO) ? 0 : (this.#positions.get(formatZxid(from)) ?? -1) + 1;
    if (position === 0 && !equalZxid(from, ZXID_ZERO)) return agreement(`${node} stands at ${formatZxid(from)}, which nobody committed`);
    const fresh: CommittedEntry[] = [];
    for (const entry of entries) {
      const known = this.#entries[position];
      if (known === undefined) {
        if (compareZxid(entry.zxid, this.last) <= 0)
          return agreement(`${node} applies ${formatZxid(entry.zxid)} after ${formatZxid(this.last)}`);
        this.#positions.set(formatZxid(entry.zxid), this.#entries.push(entry) - 1);
        fresh.push(entry);
      } else if (!equalZxid(known.zxid, entry.zxid)) {
        return agreement(`${node} applies ${formatZxid(entry.zxid)} where others applied ${formatZxid(known.zxid)}`);
      } else if (!sameBytes(known.payload, entry.payload)) {
        return agreement(`${node} applies other bytes than others at ${formatZxid(entry.zxid)}`);
      }
      position += 1;
    }
    return { fresh };
  }

  /** The state's digest after an entry must be the same everywhere. */
  digest(node: string, at: Zxid, digest: number): Violation | undefined {
    const name = formatZxid(at);
    const before = this.#digests.get(name);
    if (before === undefined) this.#digests.set(name, { digest, node });
    else if (before.digest !== digest)
      return { invariant: "I12-replicas", message: `at ${name} ${before.node} has digest ${before.digest}, ${node} has ${digest}` };
    return undefined;
  }

  /** `node` (with its life, so that a restart is another leader) is established for `epoch`, its state at `applied`. */
  established(node: string, epoch: number, applied: Zxid): Violation | undefined {
    const other = this.#leaders.get(epoch);
    if (other !== undefined && other !== node)
      return { invariant: "one-leader", message: `epoch ${epoch} has two established leaders, ${other} and ${node}` };
    this.#leaders.set(epoch, node);
    const { last } = this;
    if (last.epoch < epoch && compareZxid(applied, last) < 0)
      return {
        invariant: "leader-completeness",
        message: `${node} leads epoch ${epoch} with its state at ${formatZxid(applied)}, but ${formatZxid(last)} was committed before`,
      };
    return undefined;
  }

  get leaders(): ReadonlyMap<number, string> {
    return this.#leaders;
  }
}

function agreement(message: string): Violation {
  return { invariant: "agreement", message };
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a === b) return true;
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
