import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { judgeMarks, MARKS, MARKS_SEEDS_MIN, missingMarks, simCommand } from "../../src/sim/index.js";

describe("the marks of a long batch", () => {
  test("are a list of distinct names, each explained", () => {
    expect(MARKS.length).toBeGreaterThanOrEqual(30);
    expect(new Set(MARKS.map(({ name }) => name)).size).toBe(MARKS.length);
    expect(new Set(MARKS.map(({ what }) => what)).size).toBe(MARKS.length);
  });

  test("a situation that was never counted is missing, whatever else was", () => {
    const all = new Map(MARKS.map(({ name }) => [name, 1]));
    expect(missingMarks(all)).toEqual([]);
    all.delete("trunc-sent");
    all.set("commit", 0);
    all.set("something-else", 9);
    expect(missingMarks(all)).toEqual(["trunc-sent", "commit"]);
  });

  test("a batch of a thousand seeds fails for one that was never reached, a shorter one does not", () => {
    const all = new Map(MARKS.map(({ name }) => [name, 1]));
    expect(judgeMarks(MARKS_SEEDS_MIN, all).ok).toBe(true);
    all.delete("abort inquiry");
    expect(judgeMarks(MARKS_SEEDS_MIN, all)).toMatchObject({ ok: false, words: expect.stringContaining("never: abort inquiry") as string });
    expect(judgeMarks(MARKS_SEEDS_MIN - 1, all).ok).toBe(true);
  });

  test("a short batch says what it missed and is not failed for it", async () => {
    let said = "";
    const status = await simCommand({
      from: 1,
      seeds: 2,
      reduction: { without: [], safetySeconds: 5 },
      marks: true,
      write: (text) => (said += text),
    });
    expect(status).toBe(0);
    expect(said).toMatch(/\d+ of \d+ marks reached; never: /);
    expect(said).toContain(`judged from ${MARKS_SEEDS_MIN} seeds on`);
    expect(said).toMatch(/simulated hours per real minute/);
  });

  test("docs/coverage.md lists exactly these, and each was reached", () => {
    const table = readFileSync(new URL("../../docs/coverage.md", import.meta.url), "utf8");
    const rows = [...table.matchAll(/^\| `([^`]+)` \| (.+) \| ([\d,]+) \|$/gm)].map(([, name, what, times]) => ({ name, what, times }));
    expect(rows.map(({ name, what }) => ({ name, what }))).toEqual([...MARKS]);
    expect(rows.filter(({ times }) => times === "0")).toEqual([]);
  });
});
