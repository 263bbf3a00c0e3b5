/**
 * One process per data folder.
 *
 * The lock is the kernel's, taken by an otherwise empty LevelDB in `lock/` (an fcntl lock on its LOCK file): it ends with the process
 * that holds it, however that ends, so there is nothing stale to judge. Why not a pid file: in containers that share a volume every
 * process is pid 1, and a pid is reused. The file `owner` names the holder, for messages only.
 */
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Level } from "level";
import { QuorateError } from "../base/index.js";

export const LOCK_FOLDER = "lock";
export const OWNER_FILE = "owner";

export interface FolderLock {
  release(): Promise<void>;
}

/** Rejects with QUORATE_DATA_FOLDER when another process, or this one, holds the folder. */
export async function lockFolder(folder: string): Promise<FolderLock> {
  const path = join(folder, LOCK_FOLDER);
  await mkdir(path, { recursive: true });
  const db = await open(path).catch(async (error: unknown) => {
    if (levelCode(error) === "LEVEL_LOCKED") throw await inUse(folder, error);
    // The lock store's files are of no value, and one of them is unreadable. LOCK itself stays: the lock is on that very file.
    for (const name of await readdir(path)) if (name !== "LOCK") await rm(join(path, name), { recursive: true, force: true });
    return open(path).catch(async (again: unknown) => {
      if (levelCode(again) === "LEVEL_LOCKED") throw await inUse(folder, again);
      throw new QuorateError(
        "QUORATE_DATA_FOLDER",
        `data folder ${folder} cannot be locked: check that this user may write to ${path} and that the disk is not full`,
        {
          cause: again,
        },
      );
    });
  });
  await writeFile(join(folder, OWNER_FILE), `${process.pid}\n`);
  return { release: () => db.close() };
}

async function open(path: string): Promise<Level> {
  const db = new Level(path);
  await db.open();
  return db;
}

async function inUse(folder: string, cause: unknown): Promise<QuorateError> {
  const owner = (await readFile(join(folder, OWNER_FILE), "utf8").catch(() => "")).trim();
  const by = owner === String(process.pid) ? `this process (${owner})` : owner === "" ? "another process" : `process ${owner}`;
  return new QuorateError(
    "QUORATE_DATA_FOLDER",
    `data folder ${folder} is in use by ${by}. Stop that process, or give this node a data folder of its own.`,
    { cause },
  );
}

/** The code of a LevelDB failure: level wraps it in an error that only says the database is not open. */
export function levelCode(error: unknown): string | undefined {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    const code = (at as NodeJS.ErrnoException).code;
    if (code !== undefined && code !== "LEVEL_DATABASE_NOT_OPEN") return code;
  }
  return undefined;
}
