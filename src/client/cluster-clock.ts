/**
 * The cluster's clock as this client knows it: what the ids it makes carry.
 *
 * The commit window and the floor are compared with the time inside a gid, so a client whose own wall clock is wrong must not
 * use it. Views bring the cluster's time; between them this runs on the monotonic clock. It goes back only when a newer leader's
 * clock is far behind.
 */
import type { NodeView } from "../wire/index.js";

/** Sources weaker than any leader. */
const FOLLOWER = -1;
const WALL = -2;
/**
 * A newer leader's time is followed back from here on: time that stood still until the leader caught up would put every id too far
 * into the leader's future, and the cluster refuses those. Less than this is waited out, well inside what it takes.
 */
export const FOLLOWED_BACK_MS = 5_000;

export class ClusterClock {
  readonly #monotonicMs: () => number;
  #offsetMs: number;
  #lastMs = 0;
  /** Epoch of the leading node whose time is used, or where else the time is from. */
  #authority = WALL;

  constructor(monotonicMs: () => number, wallMs: () => number) {
    this.#monotonicMs = monotonicMs;
    this.#offsetMs = wallMs() - monotonicMs();
  }

  /** Takes the leader's time whenever it is pushed, a follower's only until a leader was heard. */
  observe(view: NodeView): void {
    const authority = view.role === "leading" && view.established ? view.epoch : FOLLOWER;
    if (authority < this.#authority) return;
    // What the wall clock said before is no measure for the cluster's time, nor is what a leader said whose clock ran ahead.
    const ahead = authority > this.#authority && authority > FOLLOWER && this.#lastMs - view.clusterTimeMs > FOLLOWED_BACK_MS;
    if (this.#authority === WALL || ahead) this.#lastMs = 0;
    this.#authority = authority;
    this.#offsetMs = view.clusterTimeMs - this.#monotonicMs();
  }

  /** Milliseconds since 1970, an integer, never smaller than before once a node was heard, unless a newer leader is far behind. */
  nowMs(): number {
    const now = Math.floor(this.#monotonicMs() + this.#offsetMs);
    if (now > this.#lastMs) this.#lastMs = now;
    return this.#lastMs;
  }
}
