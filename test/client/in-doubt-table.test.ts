import { describe, expect, test } from "vitest";
import { newGid, Prng } from "../../src/base/index.js";
import { branchKey, FIRST_ASK_MS, InDoubtTable } from "../../src/client/in-doubt-table.js";
import type { BranchRef } from "../../src/participant/index.js";

const prng = new Prng("in doubt");
const newRef = (): BranchRef => ({ gid: newGid(1_700_000_000_000, prng.uint32), branch: "b" });

/** The times, ms, at which a branch asks when looked at every 10 ms until `untilMs`. */
function askTimes(table: InDoubtTable, untilMs: number): number[] {
  const times: number[] = [];
  for (let now = 0; now <= untilMs; now += 10) if (table.due(now, 10).length > 0) times.push(now);
  return times;
}

describe("a branch in doubt", () => {
  test("that voted here does not ask while it is being decided, and then asks with growing, bounded pauses", () => {
    const table = new InDoubtTable(() => 1);
    table.voted(newRef(), 0);
    const times = askTimes(table, 30_000);
    expect(times[0]).toBe(FIRST_ASK_MS);
    const pauses = times.slice(1).map((time, i) => time - (times[i] ?? 0));
    expect(pauses.slice(0, 6)).toEqual([100, 200, 400, 800, 1600, 3200]);
    expect(Math.max(...pauses)).toBe(5_000);
    expect(pauses.length).toBeGreaterThan(8);
  });

  test("asks everybody when the leader was asked in vain, within two seconds of its vote, and a new leader alone again", () => {
    const table = new InDoubtTable(() => 1);
    const ref = newRef();
    table.voted(ref, 0);
    const asked: (readonly [number, boolean])[] = [];
    for (let now = 0; now <= 2_500; now += 10) if (table.due(now, 10).length > 0) asked.push([now, table.unhelped(ref)]);
    expect(asked).toEqual([
      [500, false],
      [600, false],
      [800, false],
      [1200, true],
      [2000, true],
    ]);
    table.askSoon(3_000);
    table.due(3_000, 10);
    expect(table.unhelped(ref)).toBe(false);
    expect(table.unhelped(newRef())).toBe(false);
  });

  test("that was found in a listing asks at once", () => {
    const table = new InDoubtTable(() => 0.5);
    const ref = newRef();
    table.found(ref, 0);
    expect(table.due(0, 10)).toEqual([ref]);
    expect(table.open(0)).toEqual([ref]);
  });

  test("asks a new leader at once, with fresh pauses, except while it is being decided", () => {
    const table = new InDoubtTable(() => 1);
    const [old, young] = [newRef(), newRef()];
    table.voted(old, 0);
    askTimes(table, 10_000);
    table.voted(young, 10_000);
    table.askSoon(10_100);
    expect(table.due(10_100, 10)).toEqual([old]);
    expect(table.due(10_200, 10)).toEqual([old]);
    expect(table.due(10_000 + FIRST_ASK_MS, 10)).toContainEqual(young);
  });

  test("is not listed for a new stream while it is being decided or settled", () => {
    const table = new InDoubtTable(() => 1);
    const [young, settling] = [newRef(), newRef()];
    table.voted(young, 0);
    table.found(settling, 0);
    table.settling(settling);
    expect(table.open(10)).toEqual([]);
    expect(table.open(FIRST_ASK_MS)).toEqual([young]);
  });

  test("stops asking when its outcome is known, asks again when carrying it out failed, and reports its time when done", () => {
    const table = new InDoubtTable(() => 1);
    const ref = newRef();
    table.voted(ref, 0);
    table.settling(ref);
    expect(table.due(1_000, 10)).toEqual([]);
    table.settleFailed(ref, 1_000);
    expect(table.due(1_099, 10)).toEqual([]);
    expect(table.due(1_100, 10)).toEqual([ref]);
    expect(table.settled(ref, 1_200)).toBe(1_200);
    expect(table.settled(ref, 1_300)).toBeUndefined();
    expect(table.size).toBe(0);
  });

  test("told to wait asks soon again, so that no back-off is added to the commit window", () => {
    const table = new InDoubtTable(() => 1);
    const ref = newRef();
    table.voted(ref, 0);
    askTimes(table, 9_000);
    table.answeredWait(ref, 9_000);
    expect(table.due(9_500, 10)).toEqual([ref]);
  });

  test("is dropped when a complete listing made well after its vote does not name it", () => {
    const table = new InDoubtTable(() => 1);
    const [gone, listed, young] = [newRef(), newRef(), newRef()];
    table.voted(gone, 0);
    table.voted(listed, 0);
    table.voted(young, 5_000);
    table.listed(new Set([branchKey(listed)]), 4_000);
    expect([table.has(gone), table.has(listed), table.has(young)]).toEqual([false, true, true]);
  });

  test("keeps its first time when it votes again", () => {
    const table = new InDoubtTable(() => 1);
    const ref = newRef();
    table.voted(ref, 0);
    table.voted(ref, 300);
    expect(table.oldestMs(400)).toBe(400);
    expect(table.settled(ref, 400)).toBe(400);
  });
});
