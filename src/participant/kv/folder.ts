/**
 * Folders whose names survive a power cut: a new folder is durable only when the folder above it was synced.
 */
import { mkdir, open } from "node:fs/promises";
import { dirname, resolve } from "node:path";

export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Makes the folder and those above it that are missing, and syncs the entry of each. */
export async function makeFolder(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true });
  if (first === undefined) return;
  const top = dirname(resolve(first));
  for (let at = resolve(path); at !== top; at = dirname(at)) await syncFolder(dirname(at));
}
