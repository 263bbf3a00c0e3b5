import { describe, expect, test } from "vitest";
import { zxid } from "../../src/base/index.js";
import { bootstrapConfiguration, parseMembers } from "../../src/config/index.js";
import { Disk } from "../../src/sim/disk.js";
import { EpochWatch } from "../../src/sim/epoch-watch.js";
import { World } from "../../src/sim/world.js";

const configuration = bootstrapConfiguration(parseMembers("1=a:1/a:2,2=b:1/b:2,3=c:1/c:2"));
const options = { syncMsMin: 1, syncMsMean: 1, stallChance: 0, stallMs: 0, checkpointMsMean: 1, loseAllChance: 0, tornChance: 0 };

function disk(name: string): Disk {
  return new Disk(new World(1, false), name, configuration, options, { truncated: () => undefined, madeCurrent: () => undefined });
}

describe("a promise", () => {
  test("is made once for an epoch; a repetition says that it does not count", () => {
    const watch = new EpochWatch();
    const node = disk("n1");
    expect(watch.promised(node, 5, 4, zxid(4, 9))).toBeUndefined();
    expect(watch.promised(node, 5, undefined, zxid(4, 9))).toBeUndefined();
    expect(watch.promised(node, 6, 4, zxid(4, 9))).toBeUndefined();
    expect(watch.promised(node, 5, 4, zxid(4, 9))).toMatchObject({ invariant: "promise-once" });
  });
  test("may be made again by a node that has forgotten it, and means nothing while it is damaged", () => {
    const watch = new EpochWatch();
    const node = disk("n1");
    expect(watch.promised(node, 5, 4, zxid(4, 9))).toBeUndefined();
    node.wipe();
    expect(watch.promised(node, 5, 4, zxid(4, 9))).toBeUndefined();
    watch.forgot("n1");
    expect(watch.promised(disk("n1"), 5, 4, zxid(4, 9))).toBeUndefined();
  });
});

describe("an initial history", () => {
  test("is that of a leader which a quorum promised to follow without being ahead", () => {
    const watch = new EpochWatch();
    watch.promised(disk("n2"), 5, 0, zxid(4, 9));
    expect(watch.historyFixed(disk("n1"), 5, zxid(4, 9), 3)).toBeUndefined();
  });
  test("is noticed when the promise it rests on is of a node with more, or of nobody", () => {
    const watch = new EpochWatch();
    expect(watch.historyFixed(disk("n1"), 5, zxid(4, 9), 3)).toMatchObject({ invariant: "initial-history" });
    watch.promised(disk("n2"), 5, 0, zxid(4, 10));
    expect(watch.historyFixed(disk("n1"), 5, zxid(4, 9), 3)?.message).toContain("ahead: n2 (0, 4:10)");
    watch.promised(disk("n3"), 5, 0, zxid(4, 9));
    expect(watch.historyFixed(disk("n1"), 5, zxid(4, 9), 3)).toBeUndefined();
  });
  test("of a later currentEpoch is ahead, however short", () => {
    const watch = new EpochWatch();
    watch.promised(disk("n2"), 5, 1, zxid(1, 1));
    expect(watch.historyFixed(disk("n1"), 5, zxid(4, 9), 3)).toMatchObject({ invariant: "initial-history" });
  });
});
