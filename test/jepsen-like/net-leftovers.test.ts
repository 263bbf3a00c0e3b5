import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { leftovers, processMark, removeLeftovers } from "../../jepsen-like/run-folder.js";

let parent: string;
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), "quorate-leftovers-test-"));
});
afterEach(() => rmSync(parent, { recursive: true, force: true }));

function folder(name: string): string {
  const path = join(parent, name);
  mkdirSync(join(path, "n1"), { recursive: true });
  return path;
}

test("a folder whose process is gone is left behind, also when its number is used again; one of a living process is not, nor anything else", async () => {
  const child = spawn("sleep", ["60"]);
  await once(child, "spawn");
  const living = processMark(child.pid ?? 0) ?? expect.unreachable("a living process has a mark");
  child.kill("SIGKILL");
  await once(child, "exit");
  const [pid] = String(processMark(process.pid)).split("-");
  const dead = folder(`quorate-run-${living}-nodes-abcdef`);
  const reused = folder(`quorate-run-${pid}-1-participants-abcdef`);
  const own = folder(`quorate-run-${processMark(process.pid)}-nodes-abcdef`);
  const others = [folder("quorate-run-notes"), folder(`my-quorate-run-${living}-nodes-abcdef`)];
  const left = leftovers(parent);
  expect([...left.folders].sort()).toEqual([dead, reused].sort());
  await removeLeftovers({ ...left, processes: [] });
  for (const path of [dead, reused]) expect(existsSync(path)).toBe(false);
  for (const path of [own, ...others]) expect(existsSync(path)).toBe(true);
});

test("a process of a run that is gone is found by its mark, and ended even when it is frozen", async () => {
  const run = `${2 ** 22 + 7}-123`;
  const child = spawn("sleep", ["60"], { env: { ...process.env, PARTITION_RUN: run } });
  await once(child, "spawn");
  child.kill("SIGSTOP");
  const exited = once(child, "exit");
  await expect.poll(() => leftovers(parent).processes.find(({ pid }) => pid === child.pid)).toMatchObject({ command: "sleep 60" });
  const { folders, namespaces, processes } = leftovers(parent);
  await removeLeftovers({ folders, namespaces, processes: processes.filter(({ pid }) => pid === child.pid) });
  expect(await exited).toEqual([null, "SIGKILL"]);
});
