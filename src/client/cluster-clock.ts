/**
 * The cluster's clock as this client knows it: what the ids it makes carry.
 *
 * The commit window and the floor are compared with the time inside a gid, so a client whose own wall clock is wrong must not
 * use it. Views bring the cluster's time; between them this runs on the monotonic clock, and never goes back.
 */
import type { NodeView } from "../wire/index.js";

export class ClusterClock {
  readonly #monotonicMs: () => number;
  #offsetMs: number;
  #lastMs = 0;
  /** Epoch of the leading node whose time is used; -1: a follower's; -2: this machine's wall clock. */
  #authority = -2;

  constructor(monotonicMs: () => number, wallMs: () => number) {
    this.#monotonicMs = monotonicMs;
    this.#offsetMs = wallMs() - monotonicMs();
  }

  /** Takes the leader's time whenever it is pushed, a follower's only until a leader was heard. */
  observe(view: NodeView): void {
    const authority = view.role === "leading" && view.established ? view.epoch : -1;
    if (authority < this.#authority) return;
    this.#authority = authority;
    this.#offsetMs = view.clusterTimeMs - this.#monotonicMs();
  }

  /** Milliseconds since 1970, an integer, never smaller than before. */
  nowMs(): number {
    const now = Math.floor(this.#monotonicMs() + this.#offsetMs);
    if (now > this.#lastMs) this.#lastMs = now;
    return this.#lastMs;
  }
}
