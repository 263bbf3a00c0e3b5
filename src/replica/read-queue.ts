/**
 * Linearizable reads under way: waiting for a quorum to confirm the leader, then for apply to reach the index that was confirmed.
 */
import { compareZxid, type Zxid } from "../base/index.js";
import type { ClientSession, Request } from "../coordinator/index.js";

interface ConfirmedRead {
  readonly read: PendingRead;
  readonly ok: boolean;
  readonly index: Zxid;
}

interface PendingRead {
  readonly session: ClientSession;
  readonly request: number;
  readonly body: Request;
}

export class ReadQueue {
  #nextId = 1;
  readonly #asked = new Map<number, PendingRead>();
  #confirmed: ConfirmedRead[] = [];

  /** The id to give to the consensus core: fresh for each attempt, never reused. */
  add(session: ClientSession, request: number, body: Request): number {
    const id = this.#nextId++;
    this.#asked.set(id, { session, request, body });
    return id;
  }

  confirmed(id: number, ok: boolean, index: Zxid): void {
    const read = this.#asked.get(id);
    if (read === undefined) return;
    this.#asked.delete(id);
    this.#confirmed.push({ read, ok, index });
  }

  /** Reads that may be served now, or that failed. */
  ready(applied: Zxid): readonly (PendingRead & { readonly ok: boolean })[] {
    if (this.#confirmed.length === 0) return [];
    const out: (PendingRead & { readonly ok: boolean })[] = [];
    const later: ConfirmedRead[] = [];
    for (const item of this.#confirmed) {
      if (!item.ok || compareZxid(item.index, applied) <= 0) out.push({ ...item.read, ok: item.ok });
      else later.push(item);
    }
    this.#confirmed = later;
    return out;
  }

  /** The stream is gone: nobody is left to answer. */
  drop(session: ClientSession): void {
    for (const [id, read] of this.#asked) if (read.session === session) this.#asked.delete(id);
    this.#confirmed = this.#confirmed.filter((item) => item.read.session !== session);
  }

  /** Takes everything that waits: this node no longer leads. */
  clear(): readonly PendingRead[] {
    const all = [...this.#asked.values(), ...this.#confirmed.map((item) => item.read)];
    this.#asked.clear();
    this.#confirmed = [];
    return all;
  }
}
