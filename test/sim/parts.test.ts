import { describe, expect, test } from "vitest";
import { gid, zxid, ZXID_ZERO, type Gid } from "../../src/base/index.js";
import { bootstrapConfiguration, parseMembers } from "../../src/config/index.js";
import { Disk } from "../../src/sim/disk.js";
import { EventQueue } from "../../src/sim/event-queue.js";
import { Network, type NetworkOptions } from "../../src/sim/network.js";
import { KvResource } from "../../src/sim/resource.js";
import type { Stream } from "../../src/sim/stream.js";
import { World } from "../../src/sim/world.js";

test("events come out by time, and by order of scheduling at equal times", () => {
  const queue = new EventQueue();
  const seen: string[] = [];
  const times = [5, 1, 3, 3, 9, 1, 7, 3, 0, 2];
  times.forEach((at, index) => queue.push(at, () => seen.push(`${at}/${index}`)));
  for (let event = queue.pop(); event !== undefined; event = queue.pop()) event.run();
  expect(seen).toEqual(["0/8", "1/1", "1/5", "2/9", "3/2", "3/3", "3/7", "5/0", "7/6", "9/4"]);
});

const CALM: NetworkOptions = {
  delayMsMin: 1,
  delayMsMean: 2,
  loss: 0,
  duplicate: 0,
  reorder: 0,
  keepaliveMs: 500,
  resetChance: 0,
  silentCrashChance: 0,
};

describe("a stream", () => {
  function pair(): {
    readonly world: World;
    readonly network: Network;
    readonly got: number[];
    readonly down: string[];
    readonly send: (n: number) => void;
  } {
    const world = new World(1, false);
    const network = new Network(world, CALM);
    const [a, b] = [network.addHost(), network.addHost()];
    network.start(a);
    network.start(b);
    const got: number[] = [];
    const down: string[] = [];
    let stream: Stream | undefined;
    network.connect(
      a,
      b,
      { onFrame: () => undefined, onDown: () => down.push("near") },
      () => ({ onFrame: (frame) => got.push(frame as number), onDown: () => down.push("far") }),
      (opened) => (stream = opened),
    );
    world.runUntil(100);
    return { world, network, got, down, send: (n) => stream?.send(0, n) };
  }
  test("delivers everything in order", () => {
    const { world, got, send } = pair();
    for (let i = 0; i < 100; i++) send(i);
    world.runUntil(1000);
    expect(got).toEqual(Array.from({ length: 100 }, (_, i) => i));
  });
  test("holds frames back while a direction is blocked, and delivers them in order afterwards", () => {
    const { world, network, got, send } = pair();
    network.setBlocked([[0, 1]]);
    for (let i = 0; i < 10; i++) send(i);
    world.runUntil(150);
    expect(got).toEqual([]);
    network.setBlocked([]);
    world.runUntil(1000);
    expect(got).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });
  test("breaks at both ends when the silence lasts", () => {
    const { world, network, down } = pair();
    network.setBlocked([[0, 1]]);
    world.runUntil(5000);
    expect(down.sort()).toEqual(["far", "near"]);
  });
  test("delivers a prefix when its sender dies, then ends", () => {
    const { world, network, got, down, send } = pair();
    for (let i = 0; i < 50; i++) send(i);
    network.stop(0);
    world.runUntil(1000);
    expect(got).toEqual(Array.from({ length: got.length }, (_, i) => i));
    expect(down).toEqual(["far"]);
  });
});

describe("a disk", () => {
  const configuration = bootstrapConfiguration(parseMembers("1=a:1/a:2,2=b:1/b:2,3=c:1/c:2"));
  const options = { syncMsMin: 1, syncMsMean: 1, stallChance: 0, stallMs: 0, checkpointMsMean: 1, loseAllChance: 0, tornChance: 1 };
  const entry = (counter: number) => ({ zxid: zxid(1, counter), payload: new Uint8Array(1) });
  const make = (seed: number): { readonly world: World; readonly disk: Disk } => {
    const world = new World(seed, false);
    return { world, disk: new Disk(world, "n1", configuration, options, { truncated: () => undefined, madeCurrent: () => undefined }) };
  };
  test("keeps what it reported, and a prefix of the rest, over a crash", () => {
    const kept = new Set<number>();
    for (let seed = 0; seed < 40; seed++) {
      const { world, disk } = make(seed);
      let durable = 0;
      disk.submit([{ seq: 1, op: { kind: "append", previous: ZXID_ZERO, entries: [entry(1), entry(2)] } }], (seq) => (durable = seq));
      world.runUntil(100);
      expect(durable).toBe(1);
      disk.submit([{ seq: 2, op: { kind: "append", previous: zxid(1, 2), entries: [entry(3), entry(4)] } }], () => undefined);
      disk.crash();
      const { entries } = disk.recover().log;
      expect(entries.length).toBeGreaterThanOrEqual(2);
      expect(entries.map(({ zxid: z }) => z.counter)).toEqual(Array.from({ length: entries.length }, (_, i) => i + 1));
      kept.add(entries.length);
    }
    expect([...kept].sort()).toEqual([2, 3, 4]);
  });
  test("starts with an empty log behind an installed snapshot that the log does not hold", () => {
    const { world, disk } = make(1);
    disk.submit([{ seq: 1, op: { kind: "append", previous: ZXID_ZERO, entries: [entry(1), entry(2)] } }], () => undefined);
    world.runUntil(100);
    disk.install(zxid(3, 7), new Map([["k", new Uint8Array(1)]]), () => undefined);
    world.runUntil(200);
    disk.crash();
    expect(disk.recover().log).toMatchObject({ applied: zxid(3, 7), base: zxid(3, 7), entries: [] });
  });
  test.each(["full", "failing"] as const)("says once that a write failed when it is %s, and loses what was not synced", (how) => {
    const { world, disk } = make(1);
    let durable = 0;
    let failures = 0;
    disk.onFailed = () => (failures += 1);
    disk.submit([{ seq: 1, op: { kind: "append", previous: ZXID_ZERO, entries: [entry(1)] } }], (seq) => (durable = seq));
    world.runUntil(100);
    if (how === "full") disk.full = true;
    else disk.failNextSync = true;
    disk.submit([{ seq: 2, op: { kind: "append", previous: zxid(1, 1), entries: [entry(2), entry(3)] } }], (seq) => (durable = seq));
    world.runUntil(200);
    expect({ durable, failures }).toEqual({ durable: 1, failures: 1 });
    disk.crash();
    expect(disk.recover().log.entries.length).toBeLessThanOrEqual(3);
    expect(disk.holds(zxid(1, 1))).toBe(true);
  });
  test("refuses an append that leaves a gap", () => {
    const { world, disk } = make(1);
    disk.submit([{ seq: 1, op: { kind: "append", previous: zxid(1, 4), entries: [entry(5)] } }], () => undefined);
    world.runUntil(100);
    expect(world.violation?.invariant).toBe("assertion");
  });
});

describe("a simulated key-value store", () => {
  const GID: Gid = gid(`q-${"0".repeat(32)}`);
  const work = (amount: number) => ({ deltas: [["a1", amount] as const], reads: [] });
  const make = () =>
    new KvResource(new World(1, false), "p1", ["a1", "a2"], {
      committed: () => undefined,
      rolledBack: () => undefined,
      votedNo: () => undefined,
      refused: () => undefined,
    });
  test("keeps a prepared branch and its locks over a crash, and loses work that was not prepared", () => {
    const resource = make();
    expect(resource.prepare(GID, "b1", work(5), 1)).toMatchObject({ vote: "yes" });
    expect(resource.begin(GID, "b2", { deltas: [["a2", 1]], reads: [] }, "c1")).toBe(true);
    resource.crash();
    resource.restart();
    expect(resource.preparedCount).toBe(1);
    expect(resource.lockCount).toBe(1);
    expect(resource.prepareBrought(GID, "b2")).toMatchObject({ vote: "no" });
  });
  test("takes effect once however often it is told to commit", () => {
    const resource = make();
    resource.prepare(GID, "b1", work(5), 1);
    resource.commit(GID, "b1");
    resource.commit(GID, "b1");
    expect(resource.prepare(GID, "b1", work(5), 2)).toMatchObject({ vote: "yes" });
    expect(resource.total).toBe(5);
    expect(resource.preparedCount).toBe(0);
    expect(resource.effects()).toEqual([{ gid: GID, branch: "b1", effects: 1 }]);
  });
  test("remembers a roll back it never had a branch for", () => {
    const resource = make();
    resource.rollback(GID, "b1");
    expect(resource.prepare(GID, "b1", work(5), 1)).toMatchObject({ vote: "no" });
  });
  test("votes no for a branch it does not hold and for an epoch that is over", () => {
    const resource = make();
    expect(resource.prepare(GID, "b1", undefined, 5)).toMatchObject({ vote: "no" });
    expect(resource.prepare(GID, "b2", work(1), 4)).toMatchObject({ vote: "no" });
  });
  test("never commits what it did not prepare, nor rolls back what it committed", () => {
    const resource = make();
    expect(() => resource.commit(GID, "b1")).toThrow("never prepared");
    resource.prepare(GID, "b1", work(1), 1);
    resource.commit(GID, "b1");
    expect(() => resource.rollback(GID, "b1")).toThrow("committed");
  });
});
