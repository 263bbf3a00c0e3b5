/**
 * Straight-line programs on virtual time: a client is a generator that yields what it waits for.
 *
 * A task ends for good when its owner says it is no longer alive: a dead client leaves no code running.
 */
import type { World } from "./world.js";

/** Registers a callback for the value waited for. It is called at most once. */
export type Wait<T> = (resume: (value: T) => void) => void;
/** A program that may wait: for a value, or for a time given in ms. `T` is what it returns. */
export type Task<T> = Generator<Wait<unknown> | number, T, unknown>;

/** Runs `task` to its first wait at once, and on from there as values arrive, while `alive()`. */
export function spawn(world: World, alive: () => boolean, task: Task<void>, onEnd: () => void = () => undefined): void {
  const step = (value: unknown): void => {
    if (!alive()) return;
    const next = task.next(value);
    if (next.done === true) {
      onEnd();
      return;
    }
    if (typeof next.value === "number") {
      world.after(next.value, () => step(undefined));
      return;
    }
    let resumed = false;
    next.value((result) => {
      if (resumed) return;
      resumed = true;
      // From the event loop, never from inside the caller: a task must not re-enter the code that woke it.
      world.after(0, () => step(result));
    });
  };
  step(undefined);
}

export function* waitFor<T>(wait: Wait<T>): Task<T> {
  return (yield wait as Wait<unknown>) as T;
}

export function* sleep(_world: World, delayMs: number): Task<void> {
  yield delayMs;
}

/** Runs all `tasks` at the same time; the results in their order. */
export function* all<T>(world: World, alive: () => boolean, tasks: readonly Task<T>[]): Task<T[]> {
  if (tasks.length === 0) return [];
  return yield* waitFor<T[]>((resume) => {
    const results: T[] = new Array<T>(tasks.length);
    let left = tasks.length;
    tasks.forEach((task, index) => {
      const one = function* (): Task<void> {
        results[index] = yield* task;
      };
      spawn(world, alive, one(), () => {
        left -= 1;
        if (left === 0) resume(results);
      });
    });
  });
}
