import { expect, test } from "vitest";
import { zxid } from "../../src/base/index.js";
import { kinds, Stage } from "./stage.js";

const trio = (options = {}): Stage => new Stage(3, options).start(1, 2, 3).settle();

test("a read is served at the commit it found, once a quorum answered a heartbeat sent after it", () => {
  const stage = trio().propose(3, "a").settle();
  const hold = stage.hold(kinds("PONG"));
  const read = stage.read(3);
  stage.propose(3, "b").settle();
  expect(stage.actor(3).reads.size).toBe(0);
  hold();
  stage.settle();
  expect(stage.actor(3).reads.get(read)).toEqual({ ok: true, index: zxid(1, 1) });
});

test("answers to heartbeats sent before the read confirm nothing (etcd #20418)", () => {
  const stage = trio();
  const hold = stage.hold(kinds("PONG"));
  stage.pass(15);
  const pings = stage.messages("PING", 3, 1);
  const before = pings.at(-1)?.seq ?? 0;
  const lost = stage.hold((message) => message.kind === "PING" && message.seq > before);
  const read = stage.read(3);
  hold();
  stage.settle();
  expect(stage.messages("PONG", 1).at(-1)?.seq).toBe(before);
  expect(stage.actor(3).reads.has(read)).toBe(false);
  lost();
  stage.settle();
  expect(stage.actor(3).reads.get(read)?.ok).toBe(true);
});

test("a lost round is made good by the next heartbeat", () => {
  const stage = trio();
  const read = stage.read(3);
  stage.drop(kinds("PING")).pass(15);
  expect(stage.actor(3).reads.get(read)?.ok).toBe(true);
});

test("reads of one turn share a round", () => {
  const stage = trio();
  const before = stage.messages("PING", 3, 1).length;
  for (let id = 1000; id < 1010; id++) stage.peer(3).step({ kind: "read", id }, stage.nowMs);
  stage.drain(3).settle();
  expect(stage.messages("PING", 3, 1).length).toBe(before + 1);
  expect(stage.actor(3).reads.size).toBe(10);
});

test("a deposed leader serves nothing, however late the answers come (ZOOKEEPER-1675)", () => {
  const stage = trio({ quorumLossMs: 300, followerSilenceMsMin: 60, followerSilenceMsMax: 60 }).propose(3, "a").settle();
  stage.cut(3, 1, 2).pass(100);
  stage.propose(2, "b").settle();
  expect(stage.delivered(1)).toEqual(["a", "b"]);
  expect(stage.actor(3).role.kind).toBe("leading");
  const read = stage.read(3);
  stage.pass(100);
  expect(stage.actor(3).reads.has(read)).toBe(false);
  stage.pass(200);
  expect(stage.actor(3).reads.get(read)?.ok).toBe(false);
});

test("a follower that promised a newer epoch answers no heartbeat of the old one", () => {
  const stage = trio();
  stage.hold((message, from) => from === 3 && message.kind === "PING");
  stage.link(1, 3, false).link(2, 3, false).settle();
  const read = stage.read(3);
  stage.control(3, 1, { kind: "PING", epoch: 1, seq: 999, commit: zxid(0, 0) }).settle();
  expect(stage.messages("PONG", 1).some(({ seq }) => seq === 999)).toBe(false);
  expect(stage.actor(3).reads.get(read)?.ok).not.toBe(true);
});

test("a read that comes before establishment is served as of the established history", () => {
  const stage = trio().propose(3, "a").settle().crash(1).crash(2).crash(3);
  const hold = stage.hold(kinds("ACKNEWLEADER"));
  stage.start(1, 2).pass(30);
  const leader = stage.actor(1).role.kind === "leading" ? 1 : 2;
  const read = stage.read(leader);
  stage.pass(30);
  expect(stage.actor(leader).reads.has(read)).toBe(false);
  hold();
  stage.pass(15);
  expect(stage.actor(leader).reads.get(read)).toEqual({ ok: true, index: zxid(1, 1) });
});

test("a single node confirms itself; a node that does not lead refuses at once", () => {
  const alone = new Stage(1).start(1).settle();
  const read = alone.read(1);
  expect(alone.actor(1).reads.get(read)?.ok).toBe(true);
  const stage = trio();
  expect(stage.actor(1).reads.get(stage.read(1))?.ok).toBe(false);
});

test("a node with damage confirms nothing", () => {
  const stage = trio().propose(3, "a").settle();
  const hold = stage.hold(kinds("NEWLEADER"));
  stage.crash(1).lose(1, "log").settle().start(1).settle().crash(2).settle();
  const read = stage.read(3);
  stage.pass(20);
  expect(stage.messages("PONG", 1).at(-1)?.seq).toBe(stage.messages("PING", 3, 1).at(-1)?.seq);
  expect(stage.actor(3).reads.has(read)).toBe(false);
  hold();
  stage.pass(20);
  expect(stage.actor(3).reads.get(read)?.ok).toBe(true);
});
