import { describe, expect, test } from "vitest";
import { zxid } from "../../src/base/index.js";
import type { SessionMessage } from "../../src/zab/index.js";
import { inOrder, kinds, Stage } from "./stage.js";

const SMALL = { historyEntriesKeep: 4, historyBytesKeep: 10_000 };

/** Three nodes; n1 has been away while the others committed `names` and compacted what they could. */
function laggard(names: readonly string[], options = SMALL): Stage {
  const stage = new Stage(3, options).start(1, 2, 3).settle();
  stage.crash(1).settle();
  for (const name of names) stage.propose(3, name).settle();
  return stage.checkpoint(2).checkpoint(3).settle();
}

const many = Array.from({ length: 12 }, (_, i) => `e${i + 1}`);

describe("history, then epoch, then acknowledgement (ZOOKEEPER-4643, 4646, 3911, 4785)", () => {
  /** n1 is about to synchronize "a" and its disk does nothing by itself. */
  function joining(): Stage {
    const stage = new Stage(3).start(2, 3).link(2, 1, false).link(3, 1, false).settle();
    stage.propose(3, "a").settle().start(1).freezeDisk(1).settle();
    // The promise of epoch 1.
    return stage.sync(1, 1).settle();
  }

  test("each step waits until the one before is durable", () => {
    const stage = joining();
    const { disk, ledger } = stage.actor(1);
    expect(disk.pendingSeqs).toHaveLength(1);
    expect(ledger.filter((line) => line.startsWith("persist epochs"))).toHaveLength(1);
    expect(stage.messages("ACKNEWLEADER", 1)).toEqual([]);
    stage.sync(1, 1).settle();
    expect(stage.onDisk(1)).toEqual(["a"]);
    expect([disk.epochs.currentEpoch, stage.messages("ACKNEWLEADER", 1)]).toEqual([0, []]);
    stage.sync(1, 1).settle();
    expect(disk.epochs.currentEpoch).toBe(1);
    expect(stage.messages("ACKNEWLEADER", 1)).toEqual([{ kind: "ACKNEWLEADER", epoch: 1, last: zxid(1, 1) }]);
    expect(inOrder(ledger, /persist append/, /durable/, /persist epochs/, /durable/, /send ACKNEWLEADER/)).toBe(true);
  });

  test("power lost before the epoch leaves a node that claims nothing of it", () => {
    const stage = joining();
    stage.sync(1, 1).crash(1).settle();
    expect([stage.onDisk(1), stage.actor(1).disk.epochs.currentEpoch]).toEqual([["a"], 0]);
  });

  test("an acknowledgement that overtakes ACKNEWLEADER moves no commit (ZOOKEEPER-4685)", () => {
    const stage = joining();
    stage.crash(2).settle().propose(3, "b").settle();
    stage.sync(1, 1).settle();
    // "b" is durable at n1 and n3, but n1 has not made the epoch its own.
    stage.sync(1, 1).settle();
    const acked = stage.messages("ACK", 1).map(({ durable }) => durable);
    if (stage.messages("ACKNEWLEADER", 1).length === 0) expect(stage.delivered(3)).toEqual(["a"]);
    expect(acked.length).toBeGreaterThan(0);
    stage.sync(1).settle();
    expect(stage.delivered(3)).toEqual(["a", "b"]);
  });
});

describe("cut point (ZOOKEEPER-962, 1551)", () => {
  test("what is proposed while a follower installs a snapshot reaches it behind the snapshot, in order", () => {
    const stage = laggard(many);
    stage.actor(1).installsHeld = true;
    stage.start(1).settle();
    expect(stage.saw(3, "snap-sent")).toBe(true);
    stage.propose(3, "during").settle();
    expect(stage.delivered(1)).toEqual([]);
    stage.finishInstalls().settle();
    expect(stage.delivered(1)).toEqual([...many, "during"]);
  });

  test("nothing overtakes SNAP on the session (ZOOKEEPER-3104)", () => {
    const stage = laggard(many);
    stage.start(1).settle();
    const order = stage.sent
      .filter(
        ({ from, to, message }) => from === 3 && to === 1 && ["SNAP", "DIFF", "PROPOSE", "NEWLEADER", "UPTODATE"].includes(message.kind),
      )
      .map(({ message }) => message.kind);
    expect(order.slice(order.indexOf("SNAP"))).toEqual(["SNAP", "DIFF", "NEWLEADER", "UPTODATE"]);
  });

  test("what is proposed between DIFF and UPTODATE is not lost, nor sent twice", () => {
    const stage = new Stage(3).start(2, 3).link(2, 1, false).link(3, 1, false).settle();
    stage.propose(3, "a").settle().start(1).freezeDisk(1).settle().sync(1, 1).settle();
    stage.propose(3, "b").settle().propose(3, "c");
    stage.sync(1).settle();
    expect(stage.delivered(1)).toEqual(["a", "b", "c"]);
    expect(stage.messages("PROPOSE", 3, 1).flatMap(({ entries }) => entries.map(({ zxid: z }) => z.counter))).toEqual([1, 2, 3]);
    expect(stage.saw(1, "duplicate-propose")).toBe(false);
  });

  test("UPTODATE carries the latest commit, so an idle leader leaves nobody behind", () => {
    const stage = new Stage(3).start(2, 3).link(2, 1, false).link(3, 1, false).settle();
    stage.propose(3, "a").settle().start(1).freezeDisk(1).settle().sync(1, 1).settle();
    stage.propose(3, "b").settle().sync(1);
    expect(stage.settle().messages("UPTODATE", 3, 1)).toEqual([{ kind: "UPTODATE", epoch: 1, commit: zxid(1, 2) }]);
  });
});

describe("truncation", () => {
  /** n2 leads and commits "a" with n1; "b" is only on n2's disk. n1 then leads with n3. */
  function diverged(): Stage {
    const stage = new Stage(3).start(1, 2).link(1, 3, false).link(2, 3, false).settle();
    stage.propose(2, "a").settle();
    const release = stage.hold((message, from) => message.kind === "PROPOSE" && from === 2);
    stage.propose(2, "b").settle().crash(2);
    release();
    return stage.start(3).pass(30);
  }

  test("cuts exactly the entries the leader does not have", () => {
    const stage = diverged();
    expect([stage.leader, stage.onDisk(2)]).toEqual([1, ["a", "b"]]);
    stage.start(2).settle();
    expect(stage.onDisk(2)).toEqual(["a"]);
    stage.propose(1, "c").settle();
    expect([1, 2, 3].map((id) => stage.delivered(id))).toEqual([
      ["a", "c"],
      ["a", "c"],
      ["a", "c"],
    ]);
  });

  test("never cuts below the common prefix: interrupted right after it, the node still holds what was committed", () => {
    const stage = diverged();
    // n3 has not got "a" yet when n2 is cut, so n2's copy is one of two.
    stage.freezeDisk(2).start(2).freezeDisk(2).settle();
    for (let ops = stage.actor(2).disk.pendingSeqs.length; ops > 0; ops = stage.actor(2).disk.pendingSeqs.length) {
      stage.sync(2, 1);
      expect(stage.onDisk(2)[0]).toBe("a");
      stage.settle();
    }
    expect(stage.onDisk(2)).toEqual(["a"]);
  });

  test("an interrupted synchronization leaves a log the next leader can continue from (ZOOKEEPER-2872, 3642, 5094)", () => {
    const stage = diverged();
    const hold = stage.hold((message, from, to) => message.kind === "NEWLEADER" && from === 1 && to === 2);
    stage.propose(1, "c", "d").settle().start(2).settle();
    expect(stage.inMemory(2)).toEqual(["a", "c", "d"]);
    stage.crash(1).settle();
    hold();
    stage.pass(30);
    expect(stage.leader).toBe(3);
    stage.propose(3, "e").settle().start(1).settle();
    expect([1, 2, 3].map((id) => stage.delivered(id))).toEqual(Array<string[]>(3).fill(["a", "c", "d", "e"]));
  });

  test("a truncation below the commit is a broken cluster: the node stops", () => {
    const stage = new Stage(3).start(1, 2, 3).settle().propose(3, "a").settle();
    stage.crash(3).settle();
    const follower = [1, 2].find((id) => stage.actor(id).role.kind === "following") ?? 1;
    stage.disconnect(1, 2);
    const hold = stage.hold(kinds("DIFF"));
    stage.settle();
    const session = (stage.actor(follower).ledger.filter((line) => line === "send CEPOCH").length - 1) * 2 + 1;
    expect(() => stage.input(follower, { kind: "session", session, message: { kind: "TRUNC", to: zxid(0, 0) } })).toThrow(
      "below the commit",
    );
    hold();
  });
});

describe("a follower checks where it stands", () => {
  /** n1 follows n3 and waits for the first message of synchronization on session 1. */
  function waiting(): Stage {
    const stage = new Stage(3).start(2, 3).link(2, 1, false).link(3, 1, false).settle();
    stage.propose(3, "a").settle();
    stage.hold(kinds("DIFF", "TRUNC", "SNAP"));
    return stage.start(1).settle();
  }
  const left = (stage: Stage): unknown => stage.actor(1).events.find(({ name }) => name === "leader-left")?.fields.reason;
  const tell = (stage: Stage, message: SessionMessage): Stage => stage.input(1, { kind: "session", session: 1, message });

  test.each<[string, SessionMessage]>([
    ["DIFF from an entry it does not end with", { kind: "DIFF", from: zxid(1, 1) }],
    ["TRUNC to an entry it does not have", { kind: "TRUNC", to: zxid(1, 9) }],
    ["a proposal before DIFF", { kind: "PROPOSE", epoch: 1, previous: zxid(0, 0), entries: [], commit: zxid(0, 0) }],
    [
      "NEWLEADER before DIFF",
      { kind: "NEWLEADER", epoch: 1, last: zxid(0, 0), configuration: new Stage(3).actor(1).disk.epochs.configuration },
    ],
    ["UPTODATE before NEWLEADER", { kind: "UPTODATE", epoch: 1, commit: zxid(0, 0) }],
    ["a snapshot that is not newer than its state", { kind: "SNAP", at: zxid(0, 0), snapshotId: "old" }],
  ])("%s ends the session", (_name, message) => {
    const stage = tell(waiting(), message);
    expect(left(stage)).toBe("sync-mismatch");
  });

  test("NEWLEADER that does not name the end of what was sent ends the session", () => {
    const stage = tell(waiting(), { kind: "DIFF", from: zxid(0, 0) });
    const { configuration } = stage.actor(1).disk.epochs;
    tell(stage, { kind: "NEWLEADER", epoch: 1, last: zxid(1, 1), configuration });
    expect(left(stage)).toBe("sync-mismatch");
  });

  test("a leader whose log does not hold the follower's compacted prefix refuses it and says so", () => {
    const stage = new Stage(3).start(2, 3).link(2, 1, false).link(3, 1, false).settle();
    const { disk } = stage.actor(1);
    disk.epochs = { ...disk.epochs, acceptedEpoch: 1 };
    disk.checkpoint = zxid(1, 7);
    disk.log.base = zxid(1, 7);
    stage.start(1).settle();
    expect(stage.saw(3, "foreign-history")).toBe(true);
    expect(stage.messages("DIFF", 3, 1)).toEqual([]);
  });
});

describe("snapshots", () => {
  test("a follower that parted below the leader's log gets a snapshot and then the rest", () => {
    const stage = laggard(many);
    expect(stage.peer(3).status().historyBase.counter).toBeGreaterThan(0);
    stage.propose(3, "after").settle().start(1).settle();
    expect(stage.saw(1, "snap-installed")).toBe(true);
    expect(stage.delivered(1)).toEqual([...many, "after"]);
    expect(stage.onDisk(1)).toEqual(["after"]);
  });

  test("power lost between the new state and the log's reset: recovery finishes the reset", () => {
    const stage = laggard(many);
    stage.start(1).freezeDisk(1).settle();
    expect(stage.actor(1).disk.checkpoint).toEqual(zxid(1, 12));
    stage.crash(1).settle();
    expect([stage.actor(1).disk.log.base, stage.actor(1).disk.checkpoint]).toEqual([zxid(0, 0), zxid(1, 12)]);
    stage.start(1).settle();
    expect(stage.peer(1).status().historyBase).toEqual(zxid(1, 12));
    expect(stage.delivered(1)).toEqual(many);
  });

  test("an install that ends after its leader is gone still counts: the log follows the state", () => {
    const stage = laggard(many);
    stage.actor(1).installsHeld = true;
    stage.start(1).settle().crash(3).settle();
    // Until storage answers nobody knows what n1's state is, so n1 says nothing.
    expect(stage.actor(1).role.kind).toBe("looking");
    expect(stage.actor(2).role.kind).toBe("looking");
    stage.finishInstalls().pass(30);
    expect(stage.leader).toBe(2);
    expect(stage.delivered(1)).toEqual(many);
  });

  test("a failed install is tried again", () => {
    const stage = laggard(many);
    stage.actor(1).installsHeld = true;
    stage.start(1).settle().finishInstalls(false).pass(20);
    stage.finishInstalls().pass(20);
    expect(stage.delivered(1)).toEqual(many);
  });

  test("the log is not compacted past a snapshot that is being fetched", () => {
    const stage = laggard(many);
    stage.actor(1).installsHeld = true;
    stage.start(1).settle();
    for (const name of many) stage.propose(3, `more-${name}`).settle();
    stage.checkpoint(3).settle();
    expect(stage.peer(3).status().historyBase).toEqual(zxid(1, 12));
    stage.finishInstalls().pass(20);
    stage.checkpoint(3).settle();
    expect(stage.peer(3).status().historyBase).toEqual(zxid(1, 20));
    expect(stage.delivered(1)).toHaveLength(24);
  });
});

describe("establishment", () => {
  test("needs a quorum that holds the initial history as its current epoch, not one that promised", () => {
    const stage = new Stage(3).start(1, 2).link(1, 3, false).link(2, 3, false);
    const release = stage.hold(kinds("ACKNEWLEADER"));
    stage.settle();
    expect(stage.actor(2).role).toEqual({ kind: "leading", epoch: 1, phase: "synchronization" });
    expect(stage.peer(2).propose([new Uint8Array(1)], stage.nowMs)).toEqual({ ok: false, refusal: "not-established" });
    release();
    expect(stage.settle().leader).toBe(2);
  });

  test("the leader counts itself only once its own epoch is durable", () => {
    const stage = new Stage(3).start(1, 2).link(1, 3, false).link(2, 3, false).freezeDisk(2).settle();
    stage.sync(2, 1).settle();
    expect(stage.actor(2).role).toMatchObject({ phase: "synchronization" });
    expect(stage.messages("ACKNEWLEADER", 1)).toHaveLength(1);
    stage.sync(2).settle();
    expect(stage.leader).toBe(2);
  });

  test("the initial history is committed by establishment, though nothing new is proposed", () => {
    const stage = new Stage(3).start(1, 2, 3).settle();
    const hold = stage.hold(kinds("ACK"));
    stage.propose(3, "a").settle();
    expect(stage.delivered(3)).toEqual([]);
    stage.crash(3);
    hold();
    stage.settle();
    expect([1, 2].map((id) => stage.delivered(id))).toEqual([["a"], ["a"]]);
  });
});
