import { describe, expect, test } from "vitest";
import { nodeId, zxid } from "../../src/base/index.js";
import type { ControlMessage } from "../../src/zab/index.js";
import { kinds, Stage } from "./stage.js";

type Notify = Extract<ControlMessage, { readonly kind: "NOTIFY" }>;

function notify(change: Partial<Notify>): Notify {
  return {
    kind: "NOTIFY",
    round: 1,
    state: "looking",
    vote: { leader: nodeId(1), epoch: 0, zxid: zxid(0, 0) },
    settledEpoch: 0,
    nonVoting: false,
    configVersion: zxid(0, 0),
    wantsReply: false,
    ...change,
  };
}

describe("conclusion", () => {
  test("a lone voter leads at once", () => {
    const stage = new Stage(1).start(1).settle();
    expect(stage.actor(1).role).toEqual({ kind: "leading", epoch: 1, phase: "broadcast" });
  });

  test("three voters that agree wait for nothing", () => {
    const stage = new Stage(3).start(1, 2, 3).settle();
    expect(stage.leader).toBe(3);
    expect(stage.actor(1).role).toEqual({ kind: "following", leader: 3, epoch: 1, phase: "broadcast" });
  });

  test("a majority waits finalizeWait for a silent voter, and does not wait for one known to be dead", () => {
    const silent = new Stage(3, { finalizeWaitMs: 50 }).start(1, 2).pass(40);
    expect(silent.actor(2).role.kind).toBe("looking");
    expect(silent.pass(20).leader).toBe(2);

    const dead = new Stage(3, { finalizeWaitMs: 50 }).start(1, 2).link(1, 3, false).link(2, 3, false).settle();
    expect(dead.leader).toBe(2);
  });

  test("a minority elects nobody", () => {
    const stage = new Stage(5).start(1, 2).pass(1000);
    expect([stage.actor(1).role.kind, stage.actor(2).role.kind]).toEqual(["looking", "looking"]);
  });

  test("the node with the longest log leads, whatever its id", () => {
    const stage = new Stage(3).start(1, 2).link(1, 3, false).link(2, 3, false).settle();
    stage.propose(2, "a", "b").settle();
    stage.crash(1).crash(2).start(1, 3).settle().pass(30);
    expect(stage.leader).toBe(1);
    expect(stage.delivered(3)).toEqual(["a", "b"]);
  });

  test("a lost vote is sent again", () => {
    const stage = new Stage(3);
    const release = stage.hold(kinds("NOTIFY"));
    stage.start(1, 2, 3).settle().drop(kinds("NOTIFY"));
    release();
    expect(stage.settle().actor(3).role.kind).toBe("looking");
    expect(stage.pass(15).leader).toBe(3);
  });

  test("the candidate's connections closing makes everybody vote anew instead of following the dead", () => {
    const stage = new Stage(3, { finalizeWaitMs: 1000 });
    const release = stage.hold(
      (message, from) => message.kind === "NOTIFY" && from === 3 && message.vote.leader === 3 && message.wantsReply,
    );
    stage.start(1, 2, 3).settle();
    release();
    stage.settle();
    const voting = new Stage(3, { finalizeWaitMs: 1000 });
    const hold = voting.hold((_message, from) => from === 3);
    voting.start(1, 2, 3).settle();
    voting.control(3, 1, notify({ vote: { leader: nodeId(3), epoch: 0, zxid: zxid(0, 0) } }));
    hold();
    voting.crash(3).settle();
    expect(voting.leader).toBe(2);
  });
});

describe("rounds", () => {
  test("votes of an older round are not counted; the sender is told the present one", () => {
    const stage = new Stage(5).start(1);
    stage.hold(() => true);
    const forThree = (round: number): Notify => notify({ round, vote: { leader: nodeId(3), epoch: 0, zxid: zxid(0, 0) } });
    stage.control(2, 1, forThree(8));
    const sent = (): number => stage.actor(1).ledger.filter((line) => line === "send NOTIFY to 3").length;
    const before = sent();
    stage.control(3, 1, forThree(7));
    expect(sent()).toBe(before + 1);
    stage.pass(100);
    expect(stage.saw(1, "elected")).toBe(false);
    stage.control(3, 1, forThree(8)).pass(30);
    expect(stage.saw(1, "elected")).toBe(true);
  });

  test("inside a round a late copy of a worse vote does not replace the better one", () => {
    const stage = new Stage(3, { finalizeWaitMs: 40 }).start(1);
    const hold = stage.hold(() => true);
    stage.control(2, 1, notify({ vote: { leader: nodeId(3), epoch: 0, zxid: zxid(0, 0) } }));
    stage.control(2, 1, notify({ vote: { leader: nodeId(2), epoch: 0, zxid: zxid(0, 0) } }));
    stage.control(3, 1, notify({ vote: { leader: nodeId(3), epoch: 0, zxid: zxid(0, 0) } }));
    expect(stage.actor(1).events.find((event) => event.name === "elected")?.fields.leader).toBe(3);
    hold();
  });
});

describe("who counts", () => {
  test("candidates and senders outside the configuration are ignored, and answered", () => {
    const stage = new Stage(3).start(1);
    const hold = stage.hold(() => true);
    stage.control(2, 1, notify({ vote: { leader: nodeId(9), epoch: 9, zxid: zxid(9, 9) } }));
    stage.pass(5);
    expect(stage.peer(1).status().role.kind).toBe("looking");
    expect(stage.actor(1).ledger.filter((line) => line === "send NOTIFY to 9")).toEqual([]);
    hold();
  });

  test("a node with damage is neither tallied nor elected, though its log was the longest", () => {
    const stage = new Stage(3).start(1, 2, 3).settle();
    stage.propose(3, "a").settle();
    stage.crash(3).lose(3, "log", 1).settle();
    expect(stage.leader).toBe(2);
    // One voter and one damaged node are no majority.
    stage.crash(2).start(3).pass(500);
    expect([stage.actor(1).role.kind, stage.actor(3).role.kind]).toEqual(["looking", "looking"]);
    stage.start(2).pass(50);
    expect([stage.leader, stage.actor(3).role.kind, stage.delivered(3)]).toEqual([2, "following", ["a"]]);
  });

  test("votes gathered before a node found itself damaged are given back", () => {
    const stage = new Stage(3, { finalizeWaitMs: 1000 }).start(1, 2);
    stage.control(3, 1, notify({ vote: { leader: nodeId(3), epoch: 9, zxid: zxid(9, 9) } })).settle();
    expect(stage.actor(2).role.kind).toBe("looking");
    for (const to of [1, 2]) stage.control(3, to, notify({ round: 0, nonVoting: true }));
    expect(stage.settle().leader).toBe(2);
  });

  test("a node that may not vote follows what the voters agree on, while they disagree on the round too", () => {
    const stage = new Stage(3);
    stage.actor(3).disk.lose("identity", { int: () => 0 } as never);
    const hold = stage.hold(() => true);
    stage.start(3);
    const of = (leader: number): Notify["vote"] => ({ leader: nodeId(leader), epoch: 1, zxid: zxid(1, 4) });
    stage.control(1, 3, notify({ round: 8, vote: of(1) })).control(2, 3, notify({ round: 3, vote: of(2) }));
    stage.control(1, 3, notify({ round: 8, vote: of(1) })).pass(100);
    expect(stage.actor(3).role.kind).toBe("looking");
    stage.control(2, 3, notify({ round: 8, vote: of(1) })).pass(30);
    expect(stage.actor(3).events.find((event) => event.name === "elected")?.fields).toMatchObject({ leader: 1, round: 8 });
    hold();
  });
});

describe("finding a leader in office", () => {
  /** n1 hears settled peers while looking; nothing it sends goes anywhere. */
  function looker(): Stage {
    const stage = new Stage(5).start(1);
    stage.hold((_message, from) => from === 1);
    return stage;
  }
  const settled = (state: "leading" | "following", settledEpoch: number, change: Partial<Notify> = {}): Notify =>
    notify({ state, settledEpoch, round: 40, vote: { leader: nodeId(5), epoch: settledEpoch, zxid: zxid(settledEpoch, 7) }, ...change });

  test("settled peers whose votes differ in zxid, epoch and round are matched on leader and epoch (ZOOKEEPER-1732, 1805)", () => {
    const stage = looker();
    stage.control(5, 1, settled("leading", 6));
    stage.control(4, 1, settled("following", 6, { round: 38, vote: { leader: nodeId(5), epoch: 4, zxid: zxid(4, 1) } }));
    expect(stage.actor(1).role.kind).toBe("looking");
    stage.control(3, 1, settled("following", 6, { round: 2, vote: { leader: nodeId(5), epoch: 5, zxid: zxid(3, 9) } }));
    expect(stage.actor(1).role).toMatchObject({ kind: "following", leader: 5 });
    expect(stage.saw(1, "out-of-election-join")).toBe(true);
  });

  test("peers of another epoch of the same leader do not count", () => {
    const stage = looker();
    stage.control(5, 1, settled("leading", 6)).control(4, 1, settled("following", 5)).control(3, 1, settled("following", 6));
    expect(stage.actor(1).role.kind).toBe("looking");
  });

  test("the leader itself must say that it leads", () => {
    const stage = looker();
    for (const from of [2, 3, 4]) stage.control(from, 1, settled("following", 6));
    expect(stage.actor(1).role.kind).toBe("looking");
    stage.control(5, 1, settled("leading", 6));
    expect(stage.actor(1).role).toMatchObject({ kind: "following", leader: 5 });
  });

  test("a node that comes back is answered with the present epoch and joins without an election", () => {
    const stage = new Stage(3).start(1, 2, 3).settle();
    stage.crash(1).settle().propose(3, "a").settle();
    stage.start(1).settle();
    expect(stage.actor(1).role).toEqual({ kind: "following", leader: 3, epoch: 1, phase: "broadcast" });
    expect(stage.delivered(1)).toEqual(["a"]);
    expect(stage.actor(3).events.filter((event) => event.name === "established")).toHaveLength(1);
  });

  test("one that asks before the leader has an epoch is told when it has", () => {
    const stage = new Stage(3).start(1, 2).link(1, 3, false).link(2, 3, false).freezeDisk(2).settle();
    expect(stage.actor(2).role).toMatchObject({ kind: "leading", phase: "discovery" });
    const release = stage.hold((message, _from, to) => message.kind === "NOTIFY" && to === 3 && message.settledEpoch === 0);
    stage.start(3).settle();
    expect(stage.actor(3).role.kind).toBe("looking");
    stage.drop((message) => message.kind === "NOTIFY");
    release();
    stage.sync(2).settle();
    expect(stage.actor(3).role).toMatchObject({ kind: "following", leader: 2, phase: "broadcast" });
  });
});

describe("hints", () => {
  test("closed connections of a killed leader start an election at once, without a timeout", () => {
    const stage = new Stage(3).start(1, 2, 3).settle();
    stage.crash(3).settle();
    expect(stage.leader).toBe(2);
  });

  test("a follower that merely lost its connection is back after one exchange, while the others stay", () => {
    const stage = new Stage(3).start(1, 2, 3).settle();
    stage.disconnect(1, 3).settle();
    expect(stage.actor(1).role).toEqual({ kind: "following", leader: 3, epoch: 1, phase: "broadcast" });
    expect(stage.actor(3).role).toEqual({ kind: "leading", epoch: 1, phase: "broadcast" });
    expect(stage.actor(2).events.some((event) => event.name === "leader-left")).toBe(false);
  });

  test("with one node dead, a follower that lost its connection still needs no election: it vouches for its leader itself", () => {
    const stage = new Stage(3).start(1, 2, 3).settle();
    stage.crash(2).settle().disconnect(1, 3).settle();
    expect(stage.actor(1).role).toEqual({ kind: "following", leader: 3, epoch: 1, phase: "broadcast" });
  });

  test("an elector that looks again makes a leader that waits for it give up at once (ZOOKEEPER-3109)", () => {
    const stage = new Stage(3).start(1, 2).link(1, 3, false).link(2, 3, false);
    stage.hold(kinds("CEPOCH"));
    stage.settle();
    expect(stage.actor(2).role).toMatchObject({ kind: "leading", phase: "discovery" });
    stage.disconnect(1, 2).settle();
    expect(stage.actor(2).events.some((event) => event.name === "abdicated" && event.fields.reason === "electors-gone")).toBe(true);
  });

  test("a leader without followers that sees a voter look for one does not wait for the quorum-loss limit", () => {
    const stage = new Stage(3, { quorumLossMs: 5000, redialGraceMs: 30 }).start(2, 3).link(2, 1, false).link(3, 1, false).settle();
    expect(stage.leader).toBe(3);
    // n1 never held this epoch, so it cannot vouch for n3 itself.
    stage.crash(2).start(1).pass(60);
    expect(stage.leader).toBe(3);
    expect(stage.actor(3).role).toMatchObject({ epoch: 2 });
  });

  test("a follower that restarted rejoins its leader though the third node is dead: it holds that very epoch", () => {
    const stage = new Stage(3).start(1, 2, 3).settle();
    stage.crash(2).crash(1).settle().start(1).settle();
    expect(stage.actor(1).role).toEqual({ kind: "following", leader: 3, epoch: 1, phase: "broadcast" });
  });

  test("a silent leader is left after the detector's limit, and a host that stalled reads its queue before it suspects", () => {
    const stage = new Stage(3, { followerSilenceMsMin: 100, followerSilenceMsMax: 100, quorumLossMs: 300 }).start(1, 2, 3).settle();
    stage.cut(3, 1, 2).pass(90);
    expect(stage.actor(1).role.kind).toBe("following");
    stage.pass(60);
    expect([1, 2].map((id) => stage.actor(id).role.kind).sort()).toEqual(["following", "leading"]);

    const stalled = new Stage(3, { followerSilenceMsMin: 100, followerSilenceMsMax: 100 }).start(1, 2, 3).settle();
    stalled.nowMs += 500;
    stalled.input(1, { kind: "tick" });
    expect(stalled.actor(1).role.kind).toBe("following");
  });

  test("nothing is voted before the disk holds what was submitted (ZOOKEEPER-975)", () => {
    const stage = new Stage(3).start(1, 2, 3).settle();
    stage.freezeDisk(1).propose(3, "a").settle();
    const before = stage.actor(1).ledger.length;
    stage.crash(3).settle();
    expect(stage.actor(1).role.kind).toBe("looking");
    expect(stage.actor(1).ledger.slice(before)).toEqual([]);
    stage.sync(1).settle();
    expect(stage.delivered(stage.leader)).toEqual(["a"]);
  });

  test("after many failed attempts followers still dial within the time their leader has to gather them", () => {
    const stage = new Stage(3, { initLimitMs: 60, notifyResendMsMin: 10, notifyResendMsMax: 500 });
    const hold = stage.hold(kinds("CEPOCH"));
    stage.start(1, 2, 3).pass(2000).drop(kinds("CEPOCH"));
    hold();
    expect([1, 2, 3]).toContain(stage.pass(200).leader);
  });
});
