import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { gidTimeMs, nodeId, PRODUCT_VERSION } from "../../src/base/index.js";
import { backoffMs } from "../../src/client/backoff.js";
import { BranchList } from "../../src/client/branch-list.js";
import { ClusterClock, FOLLOWED_BACK_MS } from "../../src/client/cluster-clock.js";
import { DurationHistogram } from "../../src/client/duration-histogram.js";
import { newGid } from "../../src/client/index.js";
import { HELD_MAX, RENAME_AFTER_MS, RequestIds } from "../../src/client/request-ids.js";
import type { NodeView } from "../../src/wire/index.js";

function view(role: NodeView["role"], epoch: number, clusterTimeMs: number): NodeView {
  return {
    clusterId: "c",
    node: nodeId(1),
    role,
    established: true,
    epoch,
    leader: undefined,
    leaderAddress: "",
    clusterTimeMs,
    members: [],
    forgottenBelowMs: 0,
  };
}

const idsOf = (client = "c"): RequestIds =>
  new RequestIds(
    () => client,
    () => 0,
  );

describe("request ids", () => {
  test("count from 1, and acknowledge below the oldest that is open", () => {
    const ids = idsOf();
    expect(ids.next()).toEqual({ client: "c", seq: 1, ackBelow: 1 });
    expect(ids.next()).toEqual({ client: "c", seq: 2, ackBelow: 1 });
    ids.settled({ client: "c", seq: 1, ackBelow: 1 });
    expect(ids.next()).toEqual({ client: "c", seq: 3, ackBelow: 2 });
    ids.settled({ client: "c", seq: 3, ackBelow: 2 });
    expect(ids.next()).toEqual({ client: "c", seq: 4, ackBelow: 2 });
    ids.settled({ client: "other", seq: 2, ackBelow: 2 });
    expect(ids.next()).toEqual({ client: "c", seq: 5, ackBelow: 2 });
    for (const seq of [2, 4, 5]) ids.settled({ client: "c", seq, ackBelow: 1 });
    expect(ids.next()).toEqual({ client: "c", seq: 6, ackBelow: 6 });
  });

  test("never acknowledge a request that may still be sent, in any order of answers", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 20 }), { maxLength: 80, size: "max" }), (choices) => {
        const ids = idsOf();
        const open: number[] = [];
        for (const choice of choices) {
          if (choice < 12 || open.length === 0) {
            const id = ids.next();
            open.push(id.seq);
            if (id.ackBelow > Math.min(...open)) return false;
          } else ids.settled({ client: "c", seq: open.splice(choice % open.length, 1)[0] ?? 0, ackBelow: 0 });
        }
        return true;
      }),
    );
  });

  test("handed out to a user hold the acknowledgement back, but only so many of them", () => {
    const ids = idsOf();
    const first = ids.hold();
    expect(ids.isHeld(first)).toBe(true);
    for (let i = 0; i < HELD_MAX; i++) ids.hold();
    expect(ids.isHeld(first)).toBe(false);
    expect(ids.next().ackBelow).toBe(2);
  });

  test("take a new client name after a long pause, unless a request under the old one may still be repeated", () => {
    let now = 0;
    let names = 0;
    const ids = new RequestIds(
      () => `c${++names}`,
      () => now,
    );
    ids.settled(ids.next());
    now += RENAME_AFTER_MS + 1;
    const renamed = ids.next();
    expect(renamed).toEqual({ client: "c2", seq: 1, ackBelow: 1 });
    now += RENAME_AFTER_MS + 1;
    expect(ids.next()).toEqual({ client: "c2", seq: 2, ackBelow: 1 });
  });
});

describe("the cluster's clock", () => {
  test("is the wall clock until a node is heard, then that node's time plus monotonic time", () => {
    let monotonic = 1_000;
    const clock = new ClusterClock(
      () => monotonic,
      () => 50_000,
    );
    expect(clock.nowMs()).toBe(50_000);
    clock.observe(view("following", 1, 80_000));
    monotonic += 5;
    expect(clock.nowMs()).toBe(80_005);
  });

  test("gives up a wall clock that runs ahead as soon as a node is heard", () => {
    const clock = new ClusterClock(
      () => 0,
      () => 90_000,
    );
    expect(clock.nowMs()).toBe(90_000);
    clock.observe(view("following", 1, 50_000));
    expect(clock.nowMs()).toBe(50_000);
  });

  test("prefers the leader's time, the newest leader's most; others do not put it back", () => {
    const clock = new ClusterClock(
      () => 0,
      () => 0,
    );
    clock.observe(view("leading", 2, 90_000));
    expect(clock.nowMs()).toBe(90_000);
    clock.observe(view("following", 3, 10_000));
    clock.observe(view("leading", 1, 20_000));
    clock.observe(view("leading", 2, 20_000));
    expect(clock.nowMs()).toBe(90_000);
  });

  test("stands still until a newer leader that is a little behind has caught up", () => {
    let monotonic = 0;
    const clock = new ClusterClock(
      () => monotonic,
      () => 0,
    );
    clock.observe(view("leading", 2, 90_000));
    expect(clock.nowMs()).toBe(90_000);
    clock.observe(view("leading", 3, 90_000 - FOLLOWED_BACK_MS));
    monotonic = 10;
    expect(clock.nowMs()).toBe(90_000);
    monotonic = FOLLOWED_BACK_MS + 7;
    expect(clock.nowMs()).toBe(90_007);
  });

  // Else every id it makes would be refused as coming from the future, for as long as the leader before ran ahead.
  test("follows a newer leader back that is far behind the one before", () => {
    let monotonic = 0;
    const clock = new ClusterClock(
      () => monotonic,
      () => 0,
    );
    clock.observe(view("leading", 2, 9_000_000));
    expect(clock.nowMs()).toBe(9_000_000);
    clock.observe(view("leading", 3, 60_000));
    monotonic = 10;
    expect(clock.nowMs()).toBe(60_010);
    clock.observe(view("leading", 3, 50_000));
    expect(clock.nowMs()).toBe(60_010);
  });
});

describe("branches of a transaction", () => {
  const none = new Uint8Array();

  test("are named after their participant, and numbered when it has several", () => {
    const list = new BranchList();
    expect([1, 2, 3].map(() => list.add("bank", "asked", none, undefined).id)).toEqual(["bank", "bank-2", "bank-3"]);
    const long = "b".repeat(48);
    list.add(long, "asked", none, undefined);
    expect(list.add(long, "asked", none, undefined).id).toBe(`${"b".repeat(46)}-2`);
  });

  test.each([
    ["Bank", undefined, "participant"],
    ["bank", "no spaces", "branch"],
    ["bank", "taken", "exists in this transaction already"],
  ])("participant %j with id %j is refused", (participant, id, message) => {
    const list = new BranchList();
    list.add("bank", "asked", none, "taken");
    expect(() => list.add(participant, "asked", none, id)).toThrow(message);
  });

  test("carry bytes, not texts", () => {
    expect(() => new BranchList().add("bank", "asked", "work" as unknown as Uint8Array, undefined)).toThrow("Uint8Array");
  });
});

describe("durations", () => {
  test("have an exact maximum and quantiles at most 5 % too high", () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0.02, max: 100_000, noNaN: true }), { minLength: 1, maxLength: 200 }), (values) => {
        const histogram = new DurationHistogram();
        for (const value of values) histogram.record(value);
        const sorted = [...values].sort((a, b) => a - b);
        for (const quantile of [0.5, 0.99, 1]) {
          const exact = sorted[Math.ceil(sorted.length * quantile) - 1] ?? 0;
          const measured = histogram.quantileMs(quantile);
          if (measured < exact * 0.999 || measured > exact * 1.0501) return false;
        }
        return histogram.maxMs === sorted.at(-1) && histogram.count === values.length;
      }),
    );
  });

  test("are 0 when nothing was measured", () => {
    expect(new DurationHistogram().quantileMs(0.99)).toBe(0);
  });
});

test("back-off stays between its bounds and spreads over the whole range", () => {
  const options = { delayMsMin: 20, delayMsMax: 500 };
  for (let attempt = 0; attempt < 2_000; attempt++) {
    const ceiling = Math.min(500, 20 * 2 ** Math.min(attempt, 30));
    expect(backoffMs(attempt, options, () => 0)).toBe(20);
    expect(backoffMs(attempt, options, () => 1)).toBe(ceiling);
  }
});

test("a gid made without a cluster carries this machine's time", () => {
  expect(Math.abs(gidTimeMs(newGid()) - Date.now())).toBeLessThan(1_000);
});

test("hello names the version of the package", () => {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  expect((JSON.parse(text) as { version: string }).version).toBe(PRODUCT_VERSION);
});
