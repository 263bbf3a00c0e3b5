/**
 * Shared and exclusive locks per key, held from before a branch's first read until its outcome is durable (strict two-phase locking).
 *
 * A branch knows all its keys beforehand and takes them in key order, so branches of one participant cannot deadlock among
 * themselves. Deadlocks between participants are broken by age, as in wait-die (Rosenkrantz, Stearns, Lewis 1978) with a grace:
 * a branch waits long only for branches of younger transactions; one that would wait for an older transaction gives up after
 * `youngerWaitMs`. Every cycle of waits has such an edge, wherever its participants are, so no deadlock outlives `youngerWaitMs`,
 * and of any two transactions in it the older one survives. 0 is plain wait-die; the grace lets the usual holder, which is about to
 * hear its decision, finish without costing the younger one an abort.
 */
import type { LockWant } from "./evaluate.js";

/** A branch that wants locks. One call of granted or refused answers each acquire, possibly before acquire returns. */
export interface LockOwner {
  /** Orders transactions by age: smaller is older. Equal for branches of one transaction. */
  readonly age: string;
  /** For people: whose lock it is. */
  readonly label: string;
  granted(): void;
  /** The locks taken so far have been released. */
  refused(detail: string): void;
}

export interface LockTimeouts {
  /** How long a branch waits for a lock when everybody before it is younger, ms. */
  readonly waitMs: number;
  /** How long when somebody before it is older, ms. */
  readonly youngerWaitMs: number;
}

interface Claim {
  readonly owner: LockOwner;
  readonly wants: readonly LockWant[];
  /** wants[0 .. held) are held. */
  held: number;
  timer: ReturnType<typeof setTimeout> | undefined;
}

interface Lock {
  readonly holders: Set<Claim>;
  /** Meaningful while there are holders. */
  exclusive: boolean;
  /** First come, first served, shared or not: readers cannot starve a writer. */
  readonly queue: Claim[];
}

export class LockTable {
  readonly #locks = new Map<string, Lock>();
  readonly #claims = new Map<LockOwner, Claim>();
  readonly #timeouts: LockTimeouts;
  #waiting = 0;
  /** Granted from a queue and still to be told. A list and not a recursion: a hot key can have thousands in its queue. */
  readonly #granted: Claim[] = [];
  #telling = false;

  constructor(timeouts: LockTimeouts) {
    this.#timeouts = timeouts;
  }

  /** Branches waiting for a lock now. */
  get waiting(): number {
    return this.#waiting;
  }

  acquire(owner: LockOwner, wants: readonly LockWant[]): void {
    const claim: Claim = { owner, wants, held: 0, timer: undefined };
    this.#claims.set(owner, claim);
    this.#advance(claim);
  }

  /** Gives up every lock and every wait of this owner; nothing is called back on it any more. */
  release(owner: LockOwner): void {
    const claim = this.#claims.get(owner);
    if (claim === undefined) return;
    this.#claims.delete(owner);
    const freed: string[] = [];
    if (claim.timer !== undefined) {
      this.#stopWaiting(claim);
      const { key } = claim.wants[claim.held] as LockWant;
      const queue = this.#locks.get(key)?.queue;
      if (queue !== undefined) queue.splice(queue.indexOf(claim), 1);
      freed.push(key);
    }
    for (let i = 0; i < claim.held; i++) {
      const { key } = claim.wants[i] as LockWant;
      this.#locks.get(key)?.holders.delete(claim);
      freed.push(key);
    }
    for (const key of freed) this.#wake(key);
  }

  /** Takes what is free in order; waits at the first lock that is not. */
  #advance(claim: Claim): void {
    for (let want = claim.wants[claim.held]; want !== undefined; want = claim.wants[claim.held]) {
      let lock = this.#locks.get(want.key);
      if (lock === undefined) this.#locks.set(want.key, (lock = { holders: new Set(), exclusive: false, queue: [] }));
      if (lock.queue.length > 0 || !compatible(lock, want)) return this.#wait(claim, lock, want);
      hold(lock, claim, want);
    }
    claim.owner.granted();
  }

  #wait(claim: Claim, lock: Lock, want: LockWant): void {
    const older = olderOf(claim, lock, want);
    const limitMs = older === undefined ? this.#timeouts.waitMs : this.#timeouts.youngerWaitMs;
    // Named now: when the timer fires the one in front may be another.
    const [first] = lock.holders.size > 0 ? lock.holders : lock.queue;
    const inFront = (older ?? (first as Claim)).owner.label;
    const whose =
      older?.owner.age === claim.owner.age ? "held by another branch of the same transaction," : "held by the older transaction";
    lock.queue.push(claim);
    this.#waiting++;
    claim.timer = setTimeout(() => {
      const why = older === undefined ? `held by ${inFront}, no lock within` : `${whose} ${inFront}, gave way after`;
      this.release(claim.owner);
      claim.owner.refused(`lock conflict on key ${JSON.stringify(want.key)}: ${why} ${limitMs} ms`);
    }, limitMs);
  }

  #stopWaiting(claim: Claim): void {
    clearTimeout(claim.timer);
    claim.timer = undefined;
    this.#waiting--;
  }

  /** Grants as many of those at the head of the queue as may hold the lock together. */
  #wake(key: string): void {
    const lock = this.#locks.get(key);
    if (lock === undefined) return;
    for (let next = lock.queue[0]; next !== undefined; next = lock.queue[0]) {
      const want = next.wants[next.held] as LockWant;
      if (!compatible(lock, want)) break;
      lock.queue.shift();
      this.#stopWaiting(next);
      hold(lock, next, want);
      this.#granted.push(next);
    }
    if (lock.holders.size === 0 && lock.queue.length === 0) this.#locks.delete(key);
    if (this.#telling) return;
    this.#telling = true;
    try {
      // One told may release its locks at once and bring us back above; it may even release another that is still to be told.
      for (let claim = this.#granted.shift(); claim !== undefined; claim = this.#granted.shift())
        if (this.#claims.get(claim.owner) === claim) this.#advance(claim);
    } finally {
      this.#telling = false;
    }
  }
}

function compatible(lock: Lock, want: LockWant): boolean {
  return lock.holders.size === 0 || (!lock.exclusive && !want.exclusive);
}

function hold(lock: Lock, claim: Claim, want: LockWant): void {
  lock.holders.add(claim);
  lock.exclusive = want.exclusive;
  claim.held++;
}

/**
 * Somebody of an older transaction that this claim would wait for: a holder, or one queued before it. A branch of the same transaction
 * counts as older: it lets go only after the decision, and the decision waits for this claim.
 */
function olderOf(claim: Claim, lock: Lock, want: LockWant): Claim | undefined {
  for (const holder of lock.holders) if ((lock.exclusive || want.exclusive) && holder.owner.age <= claim.owner.age) return holder;
  for (const queued of lock.queue) {
    const theirs = queued.wants[queued.held] as LockWant;
    if ((theirs.exclusive || want.exclusive) && queued.owner.age <= claim.owner.age) return queued;
  }
  return undefined;
}
