/**
 * Exclusive locks of a simulated SQL database: rows and keys of unique indexes, first come, first served, with a bound on each wait.
 */
import type { Wait } from "./task.js";
import type { World } from "./world.js";

export interface LockOwner {
  readonly locks: Set<string>;
}

interface Waiter {
  readonly owner: LockOwner;
  readonly resume: (granted: boolean) => void;
}

interface Lock {
  holder: LockOwner;
  readonly waiters: Waiter[];
}

export class SqlLocks {
  readonly #world: World;
  readonly #locks = new Map<string, Lock>();

  constructor(world: World) {
    this.#world = world;
  }

  get size(): number {
    return this.#locks.size;
  }

  /** True when `owner` has it now. */
  take(name: string, owner: LockOwner): boolean {
    const lock = this.#locks.get(name);
    if (lock !== undefined) return lock.holder === owner;
    this.#locks.set(name, { holder: owner, waiters: [] });
    owner.locks.add(name);
    return true;
  }

  /** Resumes with true when it is granted, with false after `timeoutMs`. */
  wait(name: string, owner: LockOwner, timeoutMs: number): Wait<boolean> {
    return (resume) => {
      const lock = this.#locks.get(name);
      if (lock === undefined) {
        resume(this.take(name, owner));
        return;
      }
      const waiter: Waiter = { owner, resume };
      lock.waiters.push(waiter);
      this.#world.after(timeoutMs, () => {
        const index = lock.waiters.indexOf(waiter);
        if (index < 0) return;
        lock.waiters.splice(index, 1);
        resume(false);
      });
    };
  }

  /** Everything of this owner is free, and goes to who waited longest. */
  release(owner: LockOwner): void {
    for (const name of owner.locks) {
      const lock = this.#locks.get(name);
      if (lock?.holder !== owner) continue;
      const next = lock.waiters.shift();
      if (next === undefined) {
        this.#locks.delete(name);
        continue;
      }
      lock.holder = next.owner;
      next.owner.locks.add(name);
      next.resume(true);
    }
    owner.locks.clear();
  }

  /** After a crash: only these transactions are left. Nobody waits any more. */
  keepOnly(owners: readonly LockOwner[]): void {
    this.#locks.clear();
    for (const owner of owners) for (const name of owner.locks) this.#locks.set(name, { holder: owner, waiters: [] });
  }
}
