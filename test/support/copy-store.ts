/** Copies the folder of a key-value store that is in use, as a crash at this moment would leave it. */
import { cpSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";

const TRIES = 5;

/**
 * Nothing new begins meanwhile, for this is one step of the event loop; but one unlink or rename may be under way in the thread pool: then
 * the copy begins anew. The log first: up to where LevelDB says that it is whole, the log was durable before.
 */
export function copyStore(from: string, to: string): void {
  for (let left = TRIES; ; left--) {
    try {
      mkdirSync(to);
      for (const part of ["log", "level"]) cpSync(join(from, part), join(to, part), { recursive: true });
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT" || left === 0) throw error;
      rmSync(to, { recursive: true, force: true });
    }
  }
}
