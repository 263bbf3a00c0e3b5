import { describe, expect, test } from "vitest";
import { nodeId, zxid } from "../../src/base/index.js";
import type { SessionMessage } from "../../src/zab/index.js";
import { kinds, Stage } from "./stage.js";

const bytes = (n: number): Uint8Array => new Uint8Array(n);
/** n3 leads n1 and n2. */
const trio = (options = {}): Stage => new Stage(3, options).start(1, 2, 3).settle();
const pair = (options = {}): Stage => new Stage(3, options).start(1, 2).link(1, 3, false).link(2, 3, false).settle();

describe("commit", () => {
  test("an entry is committed once a quorum holds it durably", () => {
    const stage = trio().freezeDisk(1).freezeDisk(2).propose(3, "a").settle();
    expect([stage.onDisk(3), stage.delivered(3)]).toEqual([["a"], []]);
    stage.sync(1).settle();
    expect(stage.delivered(3)).toEqual(["a"]);
    expect(stage.delivered(2)).toEqual([]);
    stage.sync(2).settle();
    expect(stage.delivered(2)).toEqual(["a"]);
  });

  test("the leader counts itself only after its own sync (etcd #14370)", () => {
    const stage = trio().freezeDisk(3).freezeDisk(2).propose(3, "a").settle();
    expect([stage.onDisk(1), stage.peer(3).status().committed]).toEqual([["a"], zxid(0, 0)]);
    stage.sync(2).settle();
    // Two followers are a quorum without the leader; it hands out nothing that its own disk lacks.
    expect([stage.peer(3).status().committed, stage.delivered(3)]).toEqual([zxid(1, 1), []]);
    stage.sync(3).settle();
    expect(stage.delivered(3)).toEqual(["a"]);
  });

  test("a single node is no exception", () => {
    const stage = new Stage(1).start(1).settle().freezeDisk(1);
    stage.propose(1, "a").settle();
    expect(stage.delivered(1)).toEqual([]);
    stage.sync(1).settle();
    expect(stage.delivered(1)).toEqual(["a"]);
  });

  test("followers commit no further than what they verified with this leader (scylla #9965)", () => {
    // n2 holds "x" of epoch 1, which nobody else has; n1 and n3 go on without it and commit "b" and "c".
    const stage = new Stage(3).start(1, 2).link(1, 3, false).link(2, 3, false).settle();
    const hold = stage.hold((message, from) => from === 2 && message.kind === "PROPOSE");
    stage.propose(2, "x").settle().crash(2);
    hold();
    stage.start(3).pass(30).propose(stage.leader, "b", "c").settle();
    const release = stage.hold(kinds("DIFF", "TRUNC"));
    stage.start(2).settle();
    expect(stage.onDisk(2)).toEqual(["x"]);
    const { epoch } = stage.peer(stage.leader).status().epochs.acceptedEpoch === 2 ? { epoch: 2 } : { epoch: 0 };
    stage.control(stage.leader, 2, { kind: "PING", epoch, seq: 1, commit: zxid(2, 2) }).settle();
    expect(stage.delivered(2)).toEqual([]);
    release();
    expect(stage.settle().delivered(2)).toEqual(["b", "c"]);
  });

  test("a follower hands out what is committed only as far as its own disk has it", () => {
    const stage = trio().freezeDisk(1).propose(3, "a").settle();
    expect([stage.peer(1).status().committed, stage.delivered(1)]).toEqual([zxid(1, 1), []]);
    stage.sync(1).settle();
    expect(stage.delivered(1)).toEqual(["a"]);
  });

  test("a restarted node hands out entries from its checkpoint on, each once, over changes of the leader", () => {
    const stage = trio().propose(3, "a", "b").settle().checkpoint(1).propose(3, "c").settle();
    stage.crash(1).settle().start(1).settle();
    expect(stage.delivered(1)).toEqual(["a", "b", "c"]);
    stage.crash(3).settle().propose(stage.leader, "d").settle().start(3).settle();
    for (const id of [1, 2, 3]) expect(stage.delivered(id)).toEqual(["a", "b", "c", "d"]);
  });
});

describe("messages", () => {
  test("proposals of one turn are one PROPOSE, one object for followers at the same position", () => {
    const stage = trio();
    for (let i = 0; i < 5; i++) stage.peer(3).propose([bytes(4)], stage.nowMs);
    stage.drain(3);
    const proposals = stage.messages("PROPOSE", 3);
    expect(proposals.map(({ entries }) => entries.length)).toEqual([5, 5]);
    expect(proposals[0]).toBe(proposals[1]);
    expect(stage.actor(3).ledger.filter((line) => line.startsWith("persist append"))).toHaveLength(1);
  });

  test("a PROPOSE is cut at the byte bound, and one entry above it goes alone", () => {
    const stage = trio({ batchBytesMax: 100, uncommittedBytesMax: 10_000 });
    stage.peer(3).propose([bytes(60), bytes(60), bytes(40), bytes(300), bytes(1)], stage.nowMs);
    stage.drain(3);
    expect(stage.messages("PROPOSE", 3, 1).map(({ entries }) => entries.map(({ payload }) => payload.length))).toEqual([
      [60],
      [60, 40],
      [300],
      [1],
    ]);
  });

  test("COMMIT is cumulative, and sent only when no proposal carries it", () => {
    const stage = trio();
    const hold = stage.hold((message, from) => message.kind === "ACK" && from !== 3);
    stage.propose(3, "a").settle().propose(3, "b").settle();
    hold();
    stage.settle();
    expect(stage.messages("COMMIT", 3, 1).map(({ commit }) => commit)).toEqual([zxid(1, 1), zxid(1, 2)]);
    const before = stage.messages("COMMIT", 3, 1).length;
    const again = stage.hold(kinds("ACK"));
    stage.propose(3, "c").settle();
    again();
    // The acknowledgement of "c" and the proposal of "d" fall into one turn.
    stage.peer(3).propose([bytes(1)], stage.nowMs);
    stage.settle();
    const carried = stage.messages("PROPOSE", 3, 1).at(-1);
    expect([carried?.commit, stage.messages("COMMIT", 3, 1).length - before]).toEqual([zxid(1, 3), 1]);
  });

  test("acknowledgements are cumulative: one for everything a sync covered", () => {
    const stage = trio().freezeDisk(1);
    for (const name of ["a", "b", "c"]) stage.propose(3, name).settle();
    stage.sync(1).settle();
    expect(stage.messages("ACK", 1)).toEqual([{ kind: "ACK", epoch: 1, durable: zxid(1, 3) }]);
  });

  test("a slow follower is sent no more than the window, and the rest in order when it acknowledges", () => {
    const stage = trio({ uncommittedEntriesMax: 5 }).freezeDisk(1);
    const names = Array.from({ length: 12 }, (_, i) => `e${i}`);
    for (const name of names) stage.propose(3, name).settle();
    expect(stage.delivered(3)).toEqual(names);
    const sent = (): number => stage.messages("PROPOSE", 3, 1).reduce((sum, { entries }) => sum + entries.length, 0);
    expect(sent()).toBe(5);
    stage.sync(1).settle();
    expect([sent(), stage.delivered(1)]).toEqual([12, names]);
  });
});

describe("sessions", () => {
  const tell = (stage: Stage, message: SessionMessage, session = 1): Stage => stage.input(1, { kind: "session", session, message });
  const entry = (epoch: number, counter: number) => ({ zxid: zxid(epoch, counter), payload: bytes(1) });

  test("a gap ends the session; the follower comes back and gets what it missed (ZOOKEEPER-2355, 4925)", () => {
    const stage = trio().propose(3, "a").settle();
    const hold = stage.hold((message, _from, to) => message.kind === "PROPOSE" && to === 1);
    stage.propose(3, "b").settle().drop(kinds("PROPOSE"));
    hold();
    stage.propose(3, "c").settle();
    expect(stage.saw(1, "session-gap")).toBe(true);
    expect(stage.pass(20).delivered(1)).toEqual(["a", "b", "c"]);
  });

  test("a repeated PROPOSE is dropped silently", () => {
    const stage = trio().propose(3, "a").settle();
    tell(stage, { kind: "PROPOSE", epoch: 1, previous: zxid(0, 0), entries: [entry(1, 1)], commit: zxid(1, 1) });
    expect(stage.saw(1, "duplicate-propose")).toBe(true);
    expect([stage.actor(1).role.kind, stage.inMemory(1)]).toEqual(["following", ["a"]]);
  });

  test("entries that do not follow each other are not logged", () => {
    const stage = trio().propose(3, "a").settle();
    tell(stage, { kind: "PROPOSE", epoch: 1, previous: zxid(1, 1), entries: [entry(1, 2), entry(1, 4)], commit: zxid(1, 1) });
    expect(stage.saw(1, "session-gap")).toBe(true);
  });

  test("a proposal of another epoch ends the session", () => {
    const stage = trio().propose(3, "a").settle();
    tell(stage, { kind: "PROPOSE", epoch: 2, previous: zxid(1, 1), entries: [entry(2, 1)], commit: zxid(1, 1) });
    expect(stage.inMemory(1)).toEqual(["a"]);
    expect(stage.actor(1).events.some(({ name, fields }) => name === "leader-left" && fields.reason === "sync-mismatch")).toBe(true);
  });

  test("messages of an older session are ignored (ZOOKEEPER-4541, 4712)", () => {
    const stage = trio().propose(3, "a").settle().disconnect(1, 3).settle();
    tell(stage, { kind: "PROPOSE", epoch: 1, previous: zxid(1, 1), entries: [entry(1, 2)], commit: zxid(1, 2) }, 1);
    expect([stage.actor(1).role.kind, stage.inMemory(1)]).toEqual(["following", ["a"]]);
  });

  test("an acknowledgement of something never sent ends the session", () => {
    const stage = trio().propose(3, "a").settle();
    const session = 2;
    stage.input(3, { kind: "session", session, message: { kind: "ACK", epoch: 9, durable: zxid(9, 9) } });
    expect(stage.actor(3).events.some(({ name, fields }) => name === "learner-dropped" && fields.why === "protocol")).toBe(true);
  });
});

describe("acceptance", () => {
  test("a follower, a looking node and a leader that is not established refuse with their reason", () => {
    const stage = trio();
    expect(stage.peer(1).propose([bytes(1)], stage.nowMs)).toEqual({ ok: false, refusal: "not-leader" });
    expect(
      new Stage(3)
        .start(1)
        .peer(1)
        .propose([bytes(1)], 1000),
    ).toEqual({ ok: false, refusal: "not-leader" });
    const early = new Stage(3).start(1, 2).link(1, 3, false).link(2, 3, false).freezeDisk(2).settle();
    expect(early.peer(2).propose([bytes(1)], early.nowMs)).toEqual({ ok: false, refusal: "not-established" });
  });

  test("what is outstanding is bounded by number and by bytes; the refusal says that nothing was proposed", () => {
    const stage = trio({ uncommittedEntriesMax: 3, uncommittedBytesMax: 100 }).freezeDisk(1).freezeDisk(2);
    const propose = (...sizes: readonly number[]) => stage.peer(3).propose(sizes.map(bytes), stage.nowMs);
    expect(propose(1, 1)).toEqual({ ok: true, first: zxid(1, 1) });
    expect(propose(1, 1)).toEqual({ ok: false, refusal: "overloaded" });
    expect(propose(98)).toEqual({ ok: true, first: zxid(1, 3) });
    expect(propose(1)).toEqual({ ok: false, refusal: "overloaded" });
    stage.drain(3).settle();
    stage.sync(1).settle();
    expect(propose(1)).toEqual({ ok: true, first: zxid(1, 4) });
    expect(stage.peer(3).status()).toMatchObject({ uncommittedEntries: 1, uncommittedBytes: 1 });
  });

  test("a batch above the bounds is taken when nothing is outstanding", () => {
    const stage = trio({ uncommittedEntriesMax: 3, uncommittedBytesMax: 100 });
    expect(
      stage.peer(3).propose(
        Array.from({ length: 7 }, () => bytes(50)),
        stage.nowMs,
      ),
    ).toMatchObject({ ok: true });
    stage.drain(3).settle();
    for (const id of [1, 2, 3]) expect(stage.delivered(id)).toHaveLength(7);
  });

  test("counters begin at 1 in each epoch and run on inside it", () => {
    const stage = trio().propose(3, "a", "b").settle().crash(3).settle();
    expect(stage.peer(stage.leader).propose([bytes(1), bytes(1)], stage.nowMs)).toEqual({ ok: true, first: zxid(2, 1) });
    expect(stage.peer(stage.leader).propose([bytes(1)], stage.nowMs)).toEqual({ ok: true, first: zxid(2, 3) });
  });
});

describe("giving up", () => {
  test("a leader that no quorum answers abdicates after the limit", () => {
    const stage = trio({ quorumLossMs: 100, followerSilenceMsMin: 60, followerSilenceMsMax: 60 });
    stage.cut(3, 1, 2).pass(80);
    expect(stage.actor(3).role.kind).toBe("leading");
    stage.pass(60);
    expect(stage.actor(3).role.kind).toBe("looking");
    expect(stage.leader).toBe(2);
  });

  test("one follower is enough to stay in office", () => {
    const stage = trio({ quorumLossMs: 100, followerSilenceMsMin: 60, followerSilenceMsMax: 60 });
    stage.cut(3, 1).cut(1, 2).pass(1000);
    expect([stage.leader, stage.actor(3).role]).toEqual([3, { kind: "leading", epoch: 1, phase: "broadcast" }]);
  });

  test("a leader whose own disk hangs hands over to a follower that has everything", () => {
    const stage = trio({ quorumLossMs: 100 }).freezeDisk(3).propose(3, "a").settle();
    expect(stage.peer(3).status().committed).toEqual(zxid(1, 1));
    stage.pass(150);
    expect(stage.messages("ABDICATE", 3).at(-1)?.successor).toBeDefined();
    const next = stage.leader;
    expect([1, 2]).toContain(next);
    expect(stage.propose(next, "b").settle().delivered(next)).toEqual(["a", "b"]);
  });

  test("a message that no follower sends costs its sender the session, not the leader its office", () => {
    const stage = trio();
    stage.input(3, { kind: "session", session: 2, message: { kind: "UPTODATE", epoch: 1, commit: zxid(0, 0) } }).settle();
    stage.control(1, 3, { kind: "PONG", epoch: 1, seq: 9_999, durable: zxid(0, 0) });
    stage.control(2, 3, { kind: "ABDICATE", epoch: 1, successor: nodeId(2) }).pass(30);
    expect(stage.leader).toBe(3);
    expect(stage.propose(3, "a").settle().delivered(1)).toEqual(["a"]);
  });
});

test("a pair without the third node commits", () => {
  expect(pair().propose(2, "a").settle().delivered(1)).toEqual(["a"]);
});
