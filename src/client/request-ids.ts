/**
 * Numbers the requests that the cluster must recognise when they are repeated, and says which answers it may forget.
 *
 * Invariant: `ackBelow` never passes a number whose request may still be sent.
 */
import type { RequestId } from "../txn/index.js";

/** Ids handed out to the user are kept recognisable until they are answered, at most this many at a time. */
export const HELD_MAX = 1024;

export class RequestIds {
  readonly #client: string;
  #lastSeq = 0;
  /** Handed out and not settled, ascending because numbers only grow. */
  readonly #open = new Set<number>();
  readonly #held = new Set<number>();

  constructor(client: string) {
    this.#client = client;
  }

  /** For one request of this library: ends with `settled`. */
  next(): RequestId {
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
      if (oldest !== undefined) this.settled(oldest);
    }
    return id;
  }

  /** The request will never be sent again: it was answered, or nobody can repeat it. */
  settled(seq: number): void {
    this.#open.delete(seq);
    this.#held.delete(seq);
  }

  isHeld(seq: number): boolean {
    return this.#held.has(seq);
  }

  #lowest(): number {
    const first = this.#open.values().next().value;
    return first ?? this.#lastSeq + 1;
  }
}
