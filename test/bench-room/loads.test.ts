import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { zxid, type Gid } from "../../src/base/index.js";
import { endOf, isIntendedAbort } from "../../src/bench/loads.js";
import { PutAccount, REGISTERS } from "../../src/bench/put-load.js";
import { spread } from "../../src/bench/spread.js";
import type { Answer } from "../../src/coordinator/index.js";

test("a share of aborts is met exactly in the long run and evenly in the short one", () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 1, noNaN: true }), fc.integer({ min: 0, max: 1000 }), (share, from) => {
      const meant = Array.from({ length: 1000 }, (_, i) => isIntendedAbort(from + i, share)).filter(Boolean).length;
      expect(Math.abs(meant - 1000 * share)).toBeLessThanOrEqual(1);
    }),
  );
  expect(Array.from({ length: 8 }, (_, n) => isIntendedAbort(n, 0.25))).toEqual([false, false, false, true, false, false, false, true]);
});

describe("how a transaction ended", () => {
  const decided = (decision: "commit" | "abort", reason?: string): Answer => ({
    kind: "decided",
    gid: "q-0" as Gid,
    decision,
    reason: reason as never,
    detail: "",
    zxid: zxid(1, 1),
  });

  test("an abort for the no that was meant is no error, any other abort is counted as such", () => {
    expect(endOf(decided("commit"), false)).toBe("ok");
    expect(endOf(decided("abort", "vote-no"), true)).toBe("intended-abort");
    expect(endOf(decided("abort", "timeout"), true)).toEqual({ abort: "timeout" });
    expect(endOf(decided("abort", "vote-no"), false)).toEqual({ abort: "vote-no" });
  });

  test("a commit although a branch was to vote no is an error", () => {
    expect(endOf(decided("commit"), true)).toEqual({ error: "committed-against-a-no" });
  });
});

describe("the account of what was acknowledged", () => {
  const found = (account: PutAccount, n: number, counter: number) => ({ value: account.valueOf(n), version: zxid(1, counter) });

  test("a register's next value is another one", () => {
    const account = new PutAccount(32);
    expect(Buffer.compare(account.valueOf(0), account.valueOf(REGISTERS))).not.toBe(0);
    expect(account.valueOf(7)).toHaveLength(32);
  });

  test("a register holds the acknowledged write with the highest version, whatever the order of the answers", () => {
    const account = new PutAccount(32);
    account.acknowledged(REGISTERS, zxid(1, 9));
    account.acknowledged(0, zxid(1, 5));
    expect(account.sample(1000)).toEqual([0]);
    expect(account.matches(0, found(account, REGISTERS, 9))).toBe(true);
    expect(account.matches(0, found(account, 0, 9))).toBe(false);
    expect(account.matches(0, found(account, 0, 5))).toBe(false);
    expect(account.matches(0, found(account, REGISTERS, 10))).toBe(false);
    expect(account.matches(0, undefined)).toBe(false);
  });

  test("a write whose outcome stayed unknown may be there instead, also when it failed before the other was acknowledged", () => {
    const account = new PutAccount(32);
    account.failed(REGISTERS);
    account.acknowledged(0, zxid(1, 5));
    expect(account.matches(0, found(account, 0, 5))).toBe(true);
    expect(account.matches(0, found(account, REGISTERS, 8))).toBe(true);
    expect(account.matches(0, found(account, REGISTERS, 4))).toBe(false);
    expect(account.matches(0, { value: Buffer.alloc(32), version: zxid(1, 8) })).toBe(false);
  });

  test("a register of which nothing was acknowledged is not asked for; the sample is spread over the others", () => {
    const account = new PutAccount(8);
    account.failed(1);
    for (let n = 2; n < 3000; n++) account.acknowledged(n, zxid(1, n));
    const sample = account.sample(1000);
    expect(new Set(sample).size).toBe(1000);
    expect(sample).not.toContain(1);
    expect(Math.max(...sample)).toBeGreaterThan(2900);
  });
});

test("a spread is the least, the middle and the most; of nothing there is none", () => {
  expect(spread([3, 1, 2])).toEqual({ min: 1, median: 2, max: 3 });
  expect(spread([4, 1, 2, 3])).toEqual({ min: 1, median: 2.5, max: 4 });
  expect(spread([7.26])).toEqual({ min: 7.3, median: 7.3, max: 7.3 });
  expect(spread([])).toBeUndefined();
});
