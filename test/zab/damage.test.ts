import { describe, expect, test } from "vitest";
import { nodeId } from "../../src/base/index.js";
import { inOrder, kinds, Stage } from "./stage.js";

const trio = (options = {}): Stage => new Stage(3, options).start(1, 2, 3).settle();
const damageOf = (stage: Stage, id: number): string | undefined => stage.actor(id).disk.epochs.damage;

describe("a log with a hole", () => {
  test("is rebuilt from a leader that was established without it; then the node counts again", () => {
    const stage = trio().propose(3, "a", "b", "c").settle();
    stage.crash(1).lose(1, "log", 1).settle().start(1).settle();
    expect([damageOf(stage, 1), stage.onDisk(1), stage.delivered(1)]).toEqual([undefined, ["a", "b", "c"], ["a", "b", "c"]]);
    stage.crash(2).settle().propose(3, "d").settle();
    expect(stage.delivered(3)).toEqual(["a", "b", "c", "d"]);
  });

  test("is not offered the epoch before establishment, and its promise makes no quorum", () => {
    const stage = trio().propose(3, "a").settle();
    stage.crash(1).lose(1, "log").crash(2).crash(3).start(1, 2).pass(300);
    expect([stage.actor(1).role.kind, stage.actor(2).role.kind]).toEqual(["looking", "looking"]);
    expect(damageOf(stage, 1)).toBe("log");
    stage.start(3).pass(50);
    expect([1, 2, 3].map((id) => stage.delivered(id))).toEqual([["a"], ["a"], ["a"]]);
    expect(damageOf(stage, 1)).toBeUndefined();
  });

  test("joins a leader that is being made, and helps none of its three quorums", () => {
    const stage = trio().propose(3, "a").settle();
    stage.crash(1).lose(1, "log").crash(2).crash(3);
    const announced = stage.hold((message, from) => message.kind === "CEPOCH" && from === 2);
    const promised = stage.hold((message, from) => message.kind === "ACKEPOCH" && from === 2);
    const acknowledged = stage.hold((message, from) => message.kind === "ACKNEWLEADER" && from === 2);
    const leading = (): unknown => stage.actor(3).role;
    stage.start(1, 2, 3).settle();
    expect([stage.messages("CEPOCH", 1).at(-1)?.damage, leading()]).toEqual(["log", { kind: "leading", epoch: 0, phase: "discovery" }]);
    announced();
    stage.settle();
    expect([stage.messages("ACKEPOCH", 1).at(-1)?.epoch, leading()]).toEqual([2, { kind: "leading", epoch: 2, phase: "discovery" }]);
    promised();
    stage.settle();
    expect([stage.inMemory(1), leading()]).toEqual([["a"], { kind: "leading", epoch: 2, phase: "synchronization" }]);
    expect(stage.messages("NEWLEADER", 3, 1).filter(({ epoch }) => epoch === 2)).toEqual([]);
    acknowledged();
    stage.settle();
    expect([leading(), damageOf(stage, 1)]).toEqual([{ kind: "leading", epoch: 2, phase: "broadcast" }, undefined]);
  });

  test("loses nothing that it had helped to commit", () => {
    const stage = trio();
    const unsent = stage.hold((message, from, to) => from === 3 && to === 2 && message.kind === "PROPOSE");
    stage.propose(3, "a").settle();
    // "a" is committed by n3 and n1; n2 has never seen it.
    expect([stage.delivered(3), stage.inMemory(2)]).toEqual([["a"], []]);
    stage.crash(3).crash(1).lose(1, "log").settle().start(1).pass(300);
    expect([stage.actor(1).role.kind, stage.actor(2).role.kind]).toEqual(["looking", "looking"]);
    unsent();
    stage.start(3).pass(50);
    expect([stage.leader, stage.delivered(1)]).toEqual([3, ["a"]]);
  });

  test("is cleared by the very write that makes the rebuilt history current", () => {
    const stage = trio().propose(3, "a", "b").settle();
    stage.crash(1).lose(1, "log").settle().start(1).freezeDisk(1).settle();
    const steps: (string | undefined)[] = [];
    while (stage.actor(1).disk.pendingSeqs.length > 0) {
      stage.sync(1, 1).settle();
      steps.push(`${stage.onDisk(1).length} ${damageOf(stage, 1) ?? "whole"}`);
    }
    expect(steps).toEqual(["2 log", "2 whole"]);
  });

  test("is let in by a new epoch when it had promised a higher one than the leader's", () => {
    const stage = trio().propose(3, "a").settle();
    const { disk } = stage.crash(1).lose(1, "log").actor(1);
    disk.epochs = { ...disk.epochs, acceptedEpoch: 7 };
    stage.start(1).pass(100);
    expect([stage.leader, stage.actor(3).role, damageOf(stage, 1), stage.delivered(1)]).toEqual([
      3,
      { kind: "leading", epoch: 8, phase: "broadcast" },
      undefined,
      ["a"],
    ]);
  });

  test("a leader does not stay in office by its answers", () => {
    const stage = trio({ quorumLossMs: 100 }).propose(3, "a").settle();
    stage.hold(kinds("NEWLEADER"));
    stage.crash(1).lose(1, "log").settle().start(1).settle().crash(2).pass(90);
    expect([stage.actor(1).role.kind, stage.actor(3).role.kind]).toEqual(["following", "leading"]);
    stage.pass(30);
    expect(stage.actor(3).role.kind).toBe("looking");
  });
});

describe("a lost identity", () => {
  test("counts after one heartbeat of every other voter, without a new epoch", () => {
    const stage = trio().propose(3, "a").settle();
    stage.crash(1).lose(1, "identity").settle().start(1).settle();
    expect([stage.inMemory(1), damageOf(stage, 1)]).toEqual([["a"], "identity"]);
    expect(stage.messages("NEWLEADER", 3, 1)).toHaveLength(1);
    stage.pass(15);
    expect([damageOf(stage, 1), stage.actor(1).role]).toEqual([undefined, { kind: "following", leader: 3, epoch: 1, phase: "broadcast" }]);
    stage.crash(2).settle().propose(3, "b").settle();
    expect(stage.delivered(3)).toEqual(["a", "b"]);
  });

  test("replicates but does not count while another voter has not confirmed the leader", () => {
    const stage = new Stage(5).start(1, 2, 3, 4, 5).settle().propose(5, "a").settle();
    stage.crash(2).crash(1).lose(1, "identity").settle().start(1).pass(100);
    expect([damageOf(stage, 1), stage.delivered(1)]).toEqual(["identity", ["a"]]);
    stage.crash(3).settle().propose(5, "b").settle();
    // n5 and n4 hold "b"; the third copy does not count.
    expect([stage.inMemory(1), stage.delivered(5)]).toEqual([["a", "b"], ["a"]]);
    stage.start(3, 2).pass(100);
    expect([damageOf(stage, 1), stage.delivered(1)]).toEqual([undefined, ["a", "b"]]);
  });

  test("a voter that answered before the node came back does not vouch for it", () => {
    const stage = trio().propose(3, "a").settle().pass(50);
    stage.hold((message, from) => message.kind === "PONG" && from === 2);
    stage.crash(1).lose(1, "identity").settle().start(1).pass(100);
    expect(damageOf(stage, 1)).toBe("identity");
  });

  test("a promise it gave and forgot, held by a slow candidate, costs no committed entry (Michael et al., DISC 2017)", () => {
    const [x, c, d, b, a] = [1, 2, 3, 4, 5] as const;
    const stage = new Stage(5, { initLimitMs: 1000, quorumLossMs: 60_000 }).start(x, c, d, b, a).settle().propose(a, "before").settle();
    expect(stage.leader).toBe(a);

    // b, with x and d, takes up a candidacy for epoch 2 that a and c know nothing of. d's promise never reaches it.
    stage.cut(a, b, d, x).cut(c, b, d, x);
    const unpromised = stage.hold((message, _from, to) => message.kind === "NEWEPOCH" && to === d);
    const since = stage.sent.length;
    for (const id of [b, d, x]) for (const gone of [a, c]) stage.input(id, { kind: "link", peer: nodeId(gone), up: false });
    stage.settle();
    expect(stage.actor(b).role).toEqual({ kind: "leading", epoch: 2, phase: "discovery" });
    expect(stage.messages("ACKEPOCH", x).at(-1)).toMatchObject({ epoch: 2, currentEpoch: 1 });
    const votes = stage.sent
      .slice(since)
      .filter(({ message }) => message.kind === "NOTIFY" && message.state === "looking" && message.vote.leader === b);

    // b is cut off with x's promise in its memory, and d goes back to a.
    stage.cut(b, x, d).drop(kinds("NEWEPOCH"));
    unpromised();
    stage
      .input(d, { kind: "session-down", session: 3, peer: nodeId(b), direction: "dialed" })
      .heal(d, a, c)
      .pass(70);
    expect(stage.actor(d).role).toEqual({ kind: "following", leader: a, epoch: 1, phase: "broadcast" });

    // x loses everything it knew and finds a, which is in office by c and d.
    stage.crash(x).lose(x, "identity").heal(x, a, c, d).start(x).pass(70);
    expect([stage.inMemory(x), stage.actor(x).role.kind]).toEqual([["before"], "following"]);

    // With x's new acknowledgement "z" would be committed by a, d and x.
    const unsent = stage.hold((message, from, to) => message.kind === "PROPOSE" && from === a && to === c);
    stage.propose(a, "z").settle();
    expect([stage.inMemory(d), stage.inMemory(x)]).toEqual([
      ["before", "z"],
      ["before", "z"],
    ]);
    expect(stage.delivered(a)).toEqual(["before"]);

    // Now a dies, and b completes its quorum of promises with x's old one and c's: "z" is not in its history.
    stage.cut(c, d, x).heal(b, c).crash(a);
    unsent();
    stage.settle();
    for (const { from, message } of votes) if (message.kind === "NOTIFY") stage.control(from, c, message);
    stage.pass(50);
    expect(stage.saw(b, "diff-sent")).toBe(true);
    stage.heal(d, b, c).heal(x, b, c).heal(a, x, c, d, b).start(a).pass(2000);
    expect(stage.propose(stage.leader, "after").pass(50).delivered(c)).toContain("after");
    const orders = [x, c, d, b, a].map((id) => stage.delivered(id).join(" "));
    expect(orders).toEqual(Array<string>(5).fill(orders[0] ?? ""));
  });
});

describe("damage found while running", () => {
  test("the node says so durably, forgets its log behind the checkpoint, fetches it again, and hands nothing out twice", () => {
    const stage = trio().propose(3, "a", "b").settle().checkpoint(1).propose(3, "c", "d").settle();
    const before = stage.actor(1).ledger.length;
    stage.input(1, { kind: "damaged" }).settle();
    expect(
      inOrder(
        stage.actor(1).ledger.slice(before),
        /persist epochs/,
        /persist reset/,
        /persist append/,
        /persist epochs/,
        /send ACKNEWLEADER/,
      ),
    ).toBe(true);
    expect([damageOf(stage, 1), stage.onDisk(1), stage.delivered(1)]).toEqual([undefined, ["c", "d"], ["a", "b", "c", "d"]]);
    expect(stage.propose(3, "e").settle().delivered(1)).toEqual(["a", "b", "c", "d", "e"]);
  });

  test("a leader that finds its own log damaged hands over to the follower that has most", () => {
    const stage = trio().propose(3, "a").settle();
    stage.input(3, { kind: "damaged" }).settle();
    expect(stage.messages("ABDICATE", 3)[0]?.successor).toBe(1);
    expect(stage.leader).not.toBe(3);
    expect([stage.delivered(3), stage.onDisk(3), damageOf(stage, 3)]).toEqual([["a"], ["a"], undefined]);
  });

  test("a snapshot is enough when the leader no longer holds what is missing", () => {
    const names = Array.from({ length: 12 }, (_, i) => `e${i}`);
    const stage = trio({ historyEntriesKeep: 4 });
    for (const name of names) stage.propose(3, name).settle();
    stage.checkpoint(2).checkpoint(3).input(1, { kind: "damaged" }).settle();
    expect([stage.saw(1, "snap-installed"), damageOf(stage, 1)]).toEqual([true, undefined]);
    expect(stage.propose(3, "more").settle().delivered(1)).toEqual([...names, "more"]);
  });

  test("found twice, before the first repair is done, it is repaired all the same", () => {
    const stage = trio().propose(3, "a", "b").settle();
    stage.hold((message, _from, to) => message.kind === "NEWLEADER" && to === 1);
    stage.input(1, { kind: "damaged" }).settle().input(1, { kind: "damaged" }).pass(20);
    expect([damageOf(stage, 1), stage.inMemory(1)]).toEqual(["log", ["a", "b"]]);
  });
});

test("what the log proves about promises is not forgotten with the record of them", () => {
  const stage = trio().propose(3, "a").settle().crash(3).settle();
  expect(stage.propose(stage.leader, "b").settle().onDisk(1)).toEqual(["a", "b"]);
  stage.crash(1);
  const { disk } = stage.actor(1);
  disk.epochs = { ...disk.epochs, acceptedEpoch: 0, currentEpoch: 0, damage: "identity" };
  const before = stage.messages("CEPOCH", 1).length;
  stage.start(1, 3).pass(100);
  expect(stage.messages("CEPOCH", 1)[before]).toMatchObject({ acceptedEpoch: 2, damage: "identity" });
});
