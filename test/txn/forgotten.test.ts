import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { gidTimeMs, newGid, Prng } from "../../src/base/index.js";
import type { Gid } from "../../src/base/index.js";
import { createStateMachine, FORGOTTEN_STEP_MS } from "../../src/txn/index.js";
import type { Command, StampedCommand } from "../../src/txn/index.js";
import { BUCKET_MS, BucketCounts, bucketOf } from "../../src/txn/time-buckets.js";
import { abort, asked, begin, Bench, commit, done, open, START_MS } from "./builders.js";

const STEP_MS = FORGOTTEN_STEP_MS;

/** Raises the floor to a whole step above everything made until now. */
function raiseFloor(bench: Bench): number {
  const timeMs = Math.ceil((bench.stampMs + 1) / STEP_MS) * STEP_MS;
  bench.later(timeMs - bench.stampMs + 6_000);
  expect(bench.outcome({ kind: "FLOOR", timeMs })).toBe("floor");
  return timeMs;
}

describe("what is forgotten", () => {
  test("is nothing before there is a floor, and everything below the floor when nothing is recorded", () => {
    const bench = new Bench();
    expect(bench.machine.forgottenBelowMs()).toBe(0);
    const floorMs = raiseFloor(bench);
    expect(bench.machine.forgottenBelowMs()).toBe(floorMs);
  });

  test.each(["open", "sealed", "decided", "finished"] as const)(
    "ends at an %s transaction below the floor until its record is gone",
    (state) => {
      const bench = new Bench();
      const gid = bench.gid();
      bench.apply(state === "open" ? open(gid, [asked("b1")]) : begin(gid, [asked("b1")]));
      if (state === "decided" || state === "finished") bench.apply(commit(gid, ["b1"]));
      if (state === "finished") bench.apply(done(gid, "b1"));
      const floorMs = raiseFloor(bench);
      const held = bucketOf(gidTimeMs(gid)) * BUCKET_MS;
      expect(bench.machine.forgottenBelowMs()).toBe(held);
      if (state !== "finished") {
        // Not even when somebody asks for it: it is not finished.
        expect(bench.apply({ kind: "FORGET", gids: [gid] })).toMatchObject({ gids: [], refused: [gid] });
        expect(bench.machine.forgottenBelowMs()).toBe(held);
        if (state !== "decided") bench.apply(abort(gid));
        bench.apply(done(gid, "b1"));
        expect(bench.machine.forgottenBelowMs()).toBe(held);
      }
      expect(bench.apply({ kind: "FORGET", gids: [gid] })).toMatchObject({ gids: [gid], refused: [] });
      expect(bench.machine.forgottenBelowMs()).toBe(floorMs);
    },
  );

  test("is no abort that a tried branch has not acknowledged, nor one of a service: nobody asks about those", () => {
    const bench = new Bench();
    const registered: Command = { kind: "REGISTER", participant: "hotel", participantKind: "http" };
    bench.apply(registered);
    const [tried, served, plain] = [bench.gid(), bench.gid(), bench.gid()];
    bench.apply(begin(tried, [{ ...asked("b1"), kind: "tcc" }, asked("b2")]));
    bench.apply(begin(served, [asked("b1", "hotel")]));
    bench.apply(begin(plain, [asked("b1")]));
    for (const gid of [tried, served, plain]) bench.apply(abort(gid));
    raiseFloor(bench);
    expect(bench.machine.forgettable(10)).toEqual([plain]);
    expect(bench.apply({ kind: "FORGET", gids: [tried, served, plain] })).toMatchObject({ gids: [plain], refused: [tried, served] });

    // The same after a restart, in whatever order the state is read.
    const restarted = createStateMachine();
    restarted.restore([...bench.machine.takeChanges()].reverse());
    expect(restarted.forgettable(10)).toEqual([]);

    bench.apply(done(tried, "b1"));
    bench.apply(done(served, "b1"));
    // The other branch of `tried` asks; the first one has been told.
    expect([...bench.machine.forgettable(10)].sort()).toEqual([tried, served].sort());
    expect(bench.apply({ kind: "FORGET", gids: [tried, served] })).toMatchObject({ gids: [tried, served], refused: [] });
  });

  test("stays forgotten: nothing brings a record of such a gid back", () => {
    const bench = new Bench();
    const gid = bench.committed([asked("b1")]);
    const never = bench.gid();
    bench.apply(done(gid, "b1"));
    const floorMs = raiseFloor(bench);
    bench.apply({ kind: "FORGET", gids: [gid] });
    for (const late of [gid, never]) {
      expect(bench.outcome(open(late))).toBe("expired");
      expect(bench.outcome({ kind: "ENLIST", gid: late, branch: asked("b1") })).toBe("expired");
      expect(bench.outcome(begin(late, [asked("b1")]))).toBe("expired");
      expect(bench.outcome(abort(late, "inquiry"))).toBe("expired");
      expect(bench.outcome(commit(late, ["b1"]))).toBe("incomplete-votes");
      expect(bench.outcome(done(late, "b1"))).toBe("done");
      expect(bench.machine.lookup(late).kind).toBe("expired");
    }
    expect(bench.machine.forgottenBelowMs()).toBe(floorMs);
  });

  test("is not held back by records above the floor", () => {
    const bench = new Bench();
    const floorMs = raiseFloor(bench);
    bench.apply(begin(bench.gid(), [asked("b1")]));
    bench.apply(abort(bench.gid()));
    expect(bench.machine.forgottenBelowMs()).toBe(floorMs);
  });
});

const random = new Prng("forgotten").uint32;
const GIDS: readonly Gid[] = Array.from({ length: 16 }, (_, i) => newGid(START_MS + i * 700, random));
const LIST = [asked("b1"), asked("b2", "stock")];

/** Records of lives that may end: the floor follows the stamp closely, and is often followed by a FORGET of everything. */
const log: fc.Arbitrary<readonly StampedCommand[]> = fc
  .array(
    fc.record({
      passedMs: fc.integer({ min: 0, max: 1_500 }),
      what: fc.constantFrom("open", "begin", "commit", "abort", "done", "half-done", "floor", "forget", "live", "live", "timeouts"),
      gid: fc.constantFrom(...GIDS),
      lagMs: fc.integer({ min: 4_900, max: 8_000 }),
    }),
    { maxLength: 80, size: "max" },
  )
  .map((steps) => {
    let stampMs = START_MS;
    const records: StampedCommand[] = ["orders", "stock"].map((participant) => ({
      stampMs,
      command: { kind: "REGISTER", participant, participantKind: "kv" },
    }));
    for (const { passedMs, what, gid, lagMs } of steps) {
      stampMs += passedMs;
      // The gid that was made last, so that whole lives pass and not only pieces.
      const young = GIDS.findLast((each) => gidTimeMs(each) <= stampMs) ?? gid;
      const commands: Readonly<Record<typeof what, readonly Command[]>> = {
        open: [open(gid, [asked("b1")])],
        begin: [begin(young, LIST)],
        commit: [commit(gid, ["b1", "b2"])],
        abort: [abort(gid)],
        done: [done(gid, "b1", "b2")],
        "half-done": [done(gid, "b1")],
        floor: [{ kind: "FLOOR", timeMs: stampMs - lagMs }],
        forget: [{ kind: "FORGET", gids: GIDS }],
        timeouts: GIDS.filter((each) => gidTimeMs(each) < stampMs - 5_000).map((each) => abort(each)),
        live: [begin(young, LIST), commit(young, ["b1", "b2"]), done(young, "b1", "b2")],
      };
      for (const command of commands[what]) records.push({ stampMs, command });
    }
    return records;
  });

describe("any log", () => {
  test("says of no gid with a record that it is forgotten, never takes it back, and says it as soon as it is so", () => {
    let passed = 0;
    fc.assert(
      fc.property(log, (entries) => {
        const machine = createStateMachine();
        const lived = new Set<Gid>();
        let before = 0;
        entries.forEach((entry, i) => {
          machine.apply(entry, { epoch: 1, counter: i + 1 });
          let oldestMs = machine.meta().floorMs;
          const below = machine.forgottenBelowMs();
          for (const gid of GIDS) {
            const { kind } = machine.lookup(gid);
            if (kind === "transaction" || kind === "outcome") {
              lived.add(gid);
              oldestMs = Math.min(oldestMs, gidTimeMs(gid));
            }
            if (gidTimeMs(gid) < below && kind !== "expired") expect.fail(`${gid} is said to be forgotten and has: ${kind}`);
          }
          expect(below).toBe(Math.floor(oldestMs / STEP_MS) * STEP_MS);
          expect(below).toBeGreaterThanOrEqual(before);
          before = below;
        });
        for (const gid of lived) if (gidTimeMs(gid) < before) passed++;
        const restored = createStateMachine();
        restored.restore(machine.takeChanges());
        expect(restored.forgottenBelowMs()).toBe(before);
      }),
      { numRuns: 150 },
    );
    // Gids that had a record and lost it to FORGET: the claim was put to the test.
    expect(passed).toBeGreaterThan(100);
  });
});

describe("times in buckets", () => {
  test("know the oldest bucket in use, whatever comes and goes in whatever order", () => {
    fc.assert(
      fc.property(fc.array(fc.record({ at: fc.nat(12_000), drop: fc.boolean() }), { maxLength: 300, size: "max" }), (steps) => {
        const counts = new BucketCounts();
        const held: number[] = [];
        for (const { at, drop } of steps) {
          const gone = drop ? held.splice(at % Math.max(1, held.length), 1)[0] : undefined;
          if (gone !== undefined) counts.remove(gone);
          else {
            counts.add(START_MS + at);
            held.push(START_MS + at);
          }
          expect(counts.oldestMs).toBe(held.length === 0 ? Infinity : bucketOf(Math.min(...held)) * BUCKET_MS);
        }
      }),
      { numRuns: 200 },
    );
  });

  test("stay in order over many buckets that are used once and left behind", () => {
    const counts = new BucketCounts();
    for (let i = 0; i < 5_000; i++) {
      counts.add(START_MS + i * BUCKET_MS);
      if (i >= 3) counts.remove(START_MS + (i - 3) * BUCKET_MS);
      expect(counts.oldestMs).toBe(START_MS + Math.max(0, i - 2) * BUCKET_MS);
    }
    counts.clear();
    expect(counts.oldestMs).toBe(Infinity);
  });
});
