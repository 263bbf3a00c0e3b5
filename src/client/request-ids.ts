/**
 * Names the requests that the cluster must recognise when they are repeated, and says which answers it may forget.
 *
 * Invariant: `ackBelow` never passes a number whose request may still be sent.
 */
import type { RequestId } from "../txn/index.js";

/** Ids handed out to the user are kept recognisable until they are answered, at most this many at a time. */
export const HELD_MAX = 1024;

/**
 * The cluster forgets a client that was idle for its retention, and then refuses its old name: a new one is taken long before, when
 * nothing is open under the old one.
 */
export const RENAME_AFTER_MS = 300_000;

export class RequestIds {
  readonly #newClient: () => string;
  readonly #nowMs: () => number;
  #client: string;
  #usedMs: number;
  #lastSeq = 0;
  /** Handed out and not settled, ascending because numbers only grow. */
  readonly #open = new Set<number>();
  readonly #held = new Set<number>();

  /** `newClient` makes UUIDs v7 (32 hex digits) of the cluster's time; `nowMs` is any clock that only goes forward. */
  constructor(newClient: () => string, nowMs: () => number) {
    this.#newClient = newClient;
    this.#nowMs = nowMs;
    this.#client = newClient();
    this.#usedMs = nowMs();
  }

  /** For one request of this library: ends with `settled`. */
  next(): RequestId {
    const now = this.#nowMs();
    if (this.#open.size === 0 && now - this.#usedMs > RENAME_AFTER_MS) {
      this.#client = this.#newClient();
      this.#lastSeq = 0;
    }
    this.#usedMs = now;
    const seq = ++this.#lastSeq;
    this.#open.add(seq);
    return { client: this.#client, seq, ackBelow: this.#lowest() };
  }

  /**
   * For a user who wants to repeat a request whose outcome stayed unknown: settled when a request with it is answered. Beyond
   * HELD_MAX unanswered ones the oldest is given up.
   */
  hold(): RequestId {
    const id = this.next();
    this.#held.add(id.seq);
    if (this.#held.size > HELD_MAX) {
      const oldest = this.#held.values().next().value;
      if (oldest !== undefined) this.#end(oldest);
    }
    return id;
  }

  /** The request will never be sent again: it was answered, or nobody can repeat it. */
  settled(id: RequestId): void {
    if (id.client === this.#client) this.#end(id.seq);
  }

  isHeld(id: RequestId): boolean {
    return id.client === this.#client && this.#held.has(id.seq);
  }

  #end(seq: number): void {
    this.#open.delete(seq);
    this.#held.delete(seq);
  }

  #lowest(): number {
    const first = this.#open.values().next().value;
    return first ?? this.#lastSeq + 1;
  }
}
