/**
 * New work of participants that borrow connections of a user's pool: how much of it runs at once, and how long it waits for that.
 *
 * New work waits for locks that prepared branches hold, and holds its connection while it waits; a decision needs a connection to free
 * those locks. If new work took them all, decisions would wait for work that waits for them, until its lock timeout. So a quarter of the
 * pool, one connection at least, is left to decisions; a pool of one has none to leave. All participants on one pool share the rest.
 */

/** What both drivers take when they are not told. */
const POOL_DEFAULT = 10;

/** How many connections of a pool of this size new work may hold. `limit` undefined: the pool does not tell. */
export function newWorkShare(limit: number | undefined): number {
  if (limit === Infinity) return Infinity;
  const connections = limit ?? POOL_DEFAULT;
  return Math.max(1, connections - Math.max(1, Math.floor(connections / 4)));
}

/** No connection came free in time, or the participant was closed meanwhile. Nothing was begun. */
export class NoRoomError extends Error {
  override readonly name = "NoRoomError";
}

interface Waiting {
  readonly go: () => void;
  readonly giveUp: (why: string) => void;
}

/** The turns of one pool, in the order of arrival. */
class Room {
  free: number;
  readonly waiting = new Set<Waiting>();

  constructor(atOnce: number) {
    this.free = atOnce;
  }

  leave(): void {
    for (const next of this.waiting) return next.go();
    this.free += 1;
  }
}

const ROOMS = new WeakMap<object, Room>();

/** Of one participant. */
export class NewWork {
  readonly #room: Room;
  readonly #waitMsMax: number;
  readonly #mine = new Set<Waiting>();
  #closed = false;

  /** `limit`: how many connections `pool` may open, if it tells. `waitMsMax`: how long a piece of work waits for its turn. */
  constructor(pool: object, limit: number | undefined, waitMsMax: number) {
    const room = ROOMS.get(pool) ?? new Room(newWorkShare(limit));
    ROOMS.set(pool, room);
    this.#room = room;
    this.#waitMsMax = waitMsMax;
  }

  /**
   * Rejects with NoRoomError when no turn came in time, otherwise as `work` does. Where there is no turn at once, `standing` is asked
   * first, on a connection of those that are left: what it knows is the result, because a branch that is prepared already must not wait
   * for work that waits for its locks.
   */
  async run<Result>(work: () => Promise<Result>, standing?: () => Promise<Result | undefined>): Promise<Result> {
    if (this.#room.free === 0 && standing !== undefined) {
      const found = await standing();
      if (found !== undefined) return found;
    }
    await this.#turn();
    try {
      return await work();
    } finally {
      this.#room.leave();
    }
  }

  /** What waits is not begun any more. What has begun goes on. */
  close(): void {
    this.#closed = true;
    for (const each of this.#mine) each.giveUp("the participant was closed");
  }

  #turn(): Promise<void> {
    if (this.#closed) return Promise.reject(new NoRoomError("the participant was closed"));
    if (this.#room.free > 0) {
      this.#room.free -= 1;
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#room.waiting.delete(waiting);
        this.#mine.delete(waiting);
      };
      const waiting: Waiting = {
        go: () => {
          end();
          resolve();
        },
        giveUp: (why) => {
          end();
          reject(new NoRoomError(why));
        },
      };
      const timer = setTimeout(() => waiting.giveUp(`no connection was free for new work within ${this.#waitMsMax} ms`), this.#waitMsMax);
      this.#room.waiting.add(waiting);
      this.#mine.add(waiting);
    });
  }
}
