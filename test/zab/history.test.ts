import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { equalZxid, formatZxid, parseZxid, zxid, type Zxid } from "../../src/base/index.js";
import { commonPrefix, History, isSuccessor, type RemoteLog } from "../../src/zab/history.js";
import type { Entry } from "../../src/zab/index.js";
import { planSync } from "../../src/zab/synchronization.js";

const at = (text: string): Zxid => parseZxid(text) ?? zxid(0, 0);
const entry = (z: Zxid, bytes = 1): Entry => ({ zxid: z, payload: new Uint8Array(bytes) });
const log = (base: string, ...zxids: readonly string[]): History =>
  new History(
    at(base),
    zxids.map((z) => entry(at(z))),
  );
const remote = (history: History): RemoteLog => ({ base: history.base, last: history.last, lineage: history.lineage() });

/**
 * Logs as ZAB makes them: every epoch begins from some earlier epoch's log, cut anywhere, so two logs that share an entry share what comes
 * before it. A log is a path from the root of that tree.
 */
const trees = fc.array(fc.record({ parent: fc.nat(5), cut: fc.nat(6), length: fc.integer({ min: 0, max: 4 }) }), {
  minLength: 1,
  maxLength: 6,
});

function logsOf(tree: readonly { readonly parent: number; readonly cut: number; readonly length: number }[]): Zxid[][] {
  const logs: Zxid[][] = [[]];
  tree.forEach(({ parent, cut, length }, i) => {
    const initial = (logs[parent % logs.length] ?? []).slice(0, cut);
    logs.push([...initial, ...Array.from({ length }, (_, k) => zxid(i + 1, k + 1))]);
  });
  return logs;
}

/** The log compacted up to its first `n` entries. */
function compacted(zxids: readonly Zxid[], n: number): History {
  const history = new History(
    zxid(0, 0),
    zxids.map((z) => entry(z)),
  );
  history.compact(Math.min(n, zxids.length));
  return history;
}

describe("common prefix", () => {
  test("lineage and base name the whole log: the common prefix found is the true one", () => {
    fc.assert(
      fc.property(trees, fc.nat(), fc.nat(), fc.nat(8), fc.nat(8), (tree, i, j, dropA, dropB) => {
        const logs = logsOf(tree);
        const a = logs[i % logs.length] ?? [];
        const b = logs[j % logs.length] ?? [];
        let shared = 0;
        while (shared < Math.min(a.length, b.length) && equalZxid(a[shared] as Zxid, b[shared] as Zxid)) shared++;
        // Only committed entries are compacted, and committed entries are shared.
        const local = compacted(a, Math.min(dropA, shared));
        const found = commonPrefix(local, remote(compacted(b, Math.min(dropB, shared))));
        expect(found).toBe(shared);
        const end = shared === 0 ? zxid(0, 0) : (a[shared - 1] as Zxid);
        expect(formatZxid(local.zxidAt(shared))).toBe(formatZxid(end));
      }),
      { numRuns: 5000 },
    );
  });

  test("a follower that parted below this window needs a snapshot, whatever its own base", () => {
    fc.assert(
      fc.property(trees, fc.nat(), fc.nat(), fc.nat(8), fc.nat(8), (tree, i, j, dropA, dropB) => {
        const logs = logsOf(tree);
        const a = logs[i % logs.length] ?? [];
        const b = logs[j % logs.length] ?? [];
        let shared = 0;
        while (shared < Math.min(a.length, b.length) && equalZxid(a[shared] as Zxid, b[shared] as Zxid)) shared++;
        fc.pre(dropA > shared && dropA <= a.length);
        expect(planSync(compacted(a, dropA), remote(compacted(b, Math.min(dropB, shared))))).toEqual({ kind: "SNAP" });
      }),
      { numRuns: 5000 },
    );
  });

  test("a follower whose compacted prefix is not ours is never synchronized", () => {
    expect(planSync(log("0:0", "1:1"), remote(log("2:3", "2:4")))).toEqual({ kind: "FOREIGN" });
    expect(planSync(log("1:1", "1:2"), remote(log("1:3")))).toEqual({ kind: "FOREIGN" });
    expect(planSync(log("0:0", "1:1", "1:2"), remote(log("1:3", "1:4")))).toEqual({ kind: "FOREIGN" });
  });
});

describe("the exact truncation boundary (ZOOKEEPER-1154, 1156)", () => {
  const leader = log("0:0", "1:1", "1:2", "1:3", "3:1");
  test.each([
    ["equal logs", log("0:0", "1:1", "1:2", "1:3", "3:1"), { kind: "DIFF", from: 4 }],
    ["a proper prefix", log("0:0", "1:1", "1:2"), { kind: "DIFF", from: 2 }],
    ["an empty log", log("0:0"), { kind: "DIFF", from: 0 }],
    ["one entry too many of a shared epoch", log("0:0", "1:1", "1:2", "1:3", "1:4"), { kind: "TRUNC", from: 3 }],
    ["a higher zxid than the leader ever had", log("0:0", "1:1", "1:2", "1:3", "4:1"), { kind: "TRUNC", from: 3 }],
    ["a tail of an epoch the leader skipped", log("0:0", "1:1", "1:2", "2:1", "2:2"), { kind: "TRUNC", from: 2 }],
    ["more of the leader's own epoch", log("0:0", "1:1", "1:2", "1:3", "3:1", "3:2"), { kind: "TRUNC", from: 4 }],
    ["everything differs", log("0:0", "2:1"), { kind: "TRUNC", from: 0 }],
    ["compacted to the cut", log("1:3", "1:4"), { kind: "TRUNC", from: 3 }],
    ["compacted, a prefix", log("1:2", "1:3"), { kind: "DIFF", from: 3 }],
  ] as const)("%s", (_name, follower, plan) => {
    expect(planSync(leader, remote(follower))).toEqual(plan);
  });

  test("a window that begins inside an epoch still finds the boundary inside it", () => {
    const windowed = log("1:2", "1:3", "3:1");
    expect(planSync(windowed, remote(log("0:0", "1:1", "1:2", "1:3", "1:4")))).toEqual({ kind: "TRUNC", from: 1 });
    expect(planSync(windowed, remote(log("0:0", "1:1", "1:2")))).toEqual({ kind: "DIFF", from: 0 });
    expect(planSync(windowed, remote(log("0:0", "1:1")))).toEqual({ kind: "SNAP" });
    expect(planSync(windowed, remote(log("0:0", "1:1", "2:1")))).toEqual({ kind: "SNAP" });
  });
});

describe("log window", () => {
  type Op = { readonly kind: "append" | "truncate" | "compact"; readonly n: number };
  const ops = fc.array(
    fc.record({ kind: fc.constantFrom("append" as const, "append" as const, "truncate" as const, "compact" as const), n: fc.nat(7) }),
    { maxLength: 40 },
  );

  test("agrees with a plain list under appends, truncations and compactions", () => {
    fc.assert(
      fc.property(ops, (script: readonly Op[]) => {
        const history = new History(zxid(0, 0), []);
        const all: { z: Zxid; bytes: number }[] = [];
        let base = 0;
        let epoch = 1;
        for (const { kind, n } of script) {
          if (kind === "append") {
            const last = all[all.length - 1]?.z ?? zxid(0, 0);
            if (n === 0) epoch++;
            const next = last.epoch === epoch ? zxid(epoch, last.counter + 1) : zxid(epoch, 1);
            history.append(entry(next, n));
            all.push({ z: next, bytes: n });
          } else if (kind === "truncate") {
            const to = Math.max(base, all.length - n);
            history.truncate(to);
            all.length = to;
            epoch++;
          } else {
            base = Math.min(base + n, all.length);
            history.compact(base);
          }
          expect(history.lastIndex).toBe(all.length);
          expect(history.baseIndex).toBe(base);
          expect(history.last).toEqual(all[all.length - 1]?.z ?? zxid(0, 0));
          all.forEach(({ z }, i) => expect(history.indexOf(z)).toBe(i + 1 >= base ? i + 1 : undefined));
          const sum = (from: number, to: number): number => all.slice(from, to).reduce((total, { bytes }) => total + bytes, 0);
          for (let i = base; i <= all.length; i++) expect(history.bytesBetween(base, i)).toBe(sum(base, i));
          const lineage = all.slice(base).filter(({ z }, i, rest) => rest[i + 1]?.z.epoch !== z.epoch);
          expect(history.lineage()).toEqual(lineage.map(({ z }) => z));
        }
      }),
      { numRuns: 300 },
    );
  });

  test("a batch is cut at its byte bound, and one entry above the bound is a batch of its own", () => {
    const history = new History(
      zxid(0, 0),
      [10, 10, 10, 50, 10].map((bytes, i) => entry(zxid(1, i + 1), bytes)),
    );
    expect(history.cut(0, 25)).toBe(2);
    expect(history.cut(0, 30)).toBe(3);
    expect(history.cut(3, 25)).toBe(4);
    expect(history.cut(4, 25)).toBe(5);
    expect(history.cut(5, 25)).toBe(5);
    expect(history.cut(0, 1000)).toBe(5);
  });

  test("counters run on inside an epoch and start at 1 in the next; anything else is refused", () => {
    expect(isSuccessor(zxid(0, 0), zxid(1, 1))).toBe(true);
    expect(isSuccessor(zxid(1, 1), zxid(1, 2))).toBe(true);
    expect(isSuccessor(zxid(1, 7), zxid(4, 1))).toBe(true);
    for (const z of [zxid(1, 7), zxid(1, 9), zxid(0, 8), zxid(2, 2), zxid(2, 0)]) expect(isSuccessor(zxid(1, 7), z)).toBe(false);
    expect(() => log("0:0", "1:1", "1:3")).toThrow("does not follow");
  });

  test("after a snapshot the log continues above every earlier index", () => {
    const history = log("0:0", "1:1", "1:2", "1:3");
    history.reset(zxid(2, 9));
    expect(history.baseIndex).toBe(4);
    expect(history.indexOf(zxid(1, 2))).toBeUndefined();
    history.append(entry(zxid(2, 10)));
    expect(history.indexOf(zxid(2, 10))).toBe(5);
    expect(history.lineage()).toEqual([zxid(2, 10)]);
  });

  test("a rewound log gives entries that come back their old index", () => {
    const history = log("0:0", "1:1", "1:2", "1:3", "1:4");
    history.rewind(2);
    expect([history.base, history.last, history.baseIndex]).toEqual([zxid(1, 2), zxid(1, 2), 2]);
    history.append(entry(zxid(1, 3)));
    expect(history.indexOf(zxid(1, 3))).toBe(3);
  });
});
