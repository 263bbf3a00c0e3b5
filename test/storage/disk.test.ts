import { closeSync, constants, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { nodeDisk, openFile } from "../../src/storage/disk.js";
import { cleanTemporaryFolders, temporaryFolder } from "./log-harness.js";

cleanTemporaryFolders();

/** The flags a descriptor is open with, as the kernel tells them. */
function flagsOf(fd: number): number {
  const text = readFileSync(`/proc/self/fdinfo/${fd}`, "utf8");
  return Number.parseInt(/^flags:\s*(\d+)$/m.exec(text)?.[1] ?? "", 8);
}

test("a file opened as synced is one of which the kernel syncs every write; another is not", async () => {
  const path = join(temporaryFolder(), "file");
  writeFileSync(path, "");
  const synced = await openFile(nodeDisk, path, "synced");
  const plain = await openFile(nodeDisk, path, "r+");
  expect(flagsOf(synced) & constants.O_DSYNC).toBe(constants.O_DSYNC);
  expect(flagsOf(plain) & constants.O_DSYNC).toBe(0);
  closeSync(synced);
  closeSync(plain);
});
