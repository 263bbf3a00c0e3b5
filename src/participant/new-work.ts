/**
 * New work of a participant that borrows connections of a user's pool: how much of it runs at once.
 *
 * New work waits for locks that prepared branches hold, and holds its connection while it waits; a decision needs a connection to free
 * those locks. If new work took them all, decisions would wait for work that waits for them, until its lock timeout. So a quarter of the
 * pool, one connection at least, is left to decisions; a pool of one has none to leave.
 */
import { must } from "../base/index.js";

/** What both drivers take when they are not told. */
const POOL_DEFAULT = 10;

/** How many connections of a pool of this size new work may hold. `limit` undefined: the pool does not tell. */
export function newWorkShare(limit: unknown): number {
  if (limit === Infinity) return Infinity;
  const connections = typeof limit === "number" && limit >= 1 ? limit : POOL_DEFAULT;
  return Math.max(1, connections - Math.max(1, Math.floor(connections / 4)));
}

/** The branch was rolled back before its work began: nothing was done, and nothing will be. */
export class WithdrawnError extends Error {
  override readonly name = "WithdrawnError";
}

interface Waiting {
  readonly branch: string;
  readonly go: () => void;
  readonly withdraw: () => void;
}

/** In the order of arrival. */
export class NewWork {
  #free: number;
  readonly #waiting = new Set<Waiting>();

  constructor(atOnce: number) {
    this.#free = atOnce;
  }

  /** Rejects with WithdrawnError when `withdraw` came first, otherwise as `work` does. */
  async run<Result>(branch: string, work: () => Promise<Result>): Promise<Result> {
    await this.#turn(branch);
    try {
      return await work();
    } finally {
      this.#pass();
    }
  }

  /** What waits of this branch is not begun any more. What has begun goes on. */
  withdraw(branch: string): void {
    for (const each of this.#waiting) if (each.branch === branch) each.withdraw();
  }

  #turn(branch: string): Promise<void> {
    if (this.#free > 0) {
      this.#free -= 1;
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const waiting: Waiting = {
        branch,
        go: resolve,
        withdraw: () => {
          this.#waiting.delete(waiting);
          reject(new WithdrawnError(`branch ${branch} was rolled back before its work began`));
        },
      };
      this.#waiting.add(waiting);
    });
  }

  #pass(): void {
    if (this.#waiting.size === 0) {
      this.#free += 1;
      return;
    }
    const next = must(this.#waiting.values().next().value, "the one that waits longest");
    this.#waiting.delete(next);
    next.go();
  }
}
