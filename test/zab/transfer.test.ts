import { expect, test } from "vitest";
import { nodeId } from "../../src/base/index.js";
import { kinds, Stage } from "./stage.js";

const trio = (options = {}): Stage => new Stage(3, options).start(1, 2, 3).settle();
const transfer = (stage: Stage, to: number | undefined): Stage =>
  stage.input(stage.leader, { kind: "transfer", to: to === undefined ? undefined : nodeId(to) });

test("the leadership moves to the named node without any timeout, and nothing proposed is lost", () => {
  const stage = trio().propose(3, "a", "b");
  transfer(stage, 1).settle();
  expect([stage.leader, stage.delivered(1), stage.delivered(3)]).toEqual([1, ["a", "b"], ["a", "b"]]);
  expect(stage.propose(1, "c").settle().delivered(3)).toEqual(["a", "b", "c"]);
});

test("without a name the most advanced follower takes over", () => {
  const stage = trio().freezeDisk(2).propose(3, "a").settle();
  transfer(stage, undefined).settle();
  expect(stage.leader).toBe(1);
});

test("proposals are refused while it is under way, and taken again when it failed", () => {
  const stage = trio({ transferTimeoutMs: 50 }).freezeDisk(1).propose(3, "a").settle();
  transfer(stage, 1).settle();
  expect(stage.peer(3).propose([new Uint8Array(1)], stage.nowMs)).toEqual({ ok: false, refusal: "transferring" });
  stage.pass(60);
  expect([stage.leader, stage.saw(3, "transfer-timeout")]).toEqual([3, true]);
  expect(stage.propose(3, "b").settle().delivered(2)).toEqual(["a", "b"]);
});

test("it waits until everything proposed is committed here and durable at the successor", () => {
  const stage = trio();
  const hold = stage.hold((message, from) => message.kind === "ACK" && from === 1);
  stage.propose(3, "a").settle();
  transfer(stage, 1).settle();
  expect(stage.messages("ABDICATE", 3)).toEqual([]);
  hold();
  stage.settle();
  expect([stage.leader, stage.delivered(3)]).toEqual([1, ["a"]]);
});

test("a lost farewell costs a round, not the leadership of somebody fit", () => {
  const stage = trio().propose(3, "a").settle();
  stage.hold((message, _from, to) => message.kind === "ABDICATE" && to === 2);
  transfer(stage, 1).pass(50);
  expect([1, 2, 3]).toContain(stage.leader);
  expect(stage.propose(stage.leader, "b").settle().delivered(2)).toEqual(["a", "b"]);
});

test("the old leader closes its connections only after its farewell had time to arrive, and then for certain", () => {
  const stage = trio({ finalizeWaitMs: 20 }).propose(3, "a").settle();
  const hold = stage.hold((message, from) => from === 3 && (message.kind === "ABDICATE" || message.kind === "NOTIFY"));
  transfer(stage, 1).settle();
  expect([1, 2].map((id) => stage.actor(id).role.kind)).toEqual(["following", "following"]);
  hold();
  expect(stage.settle().leader).toBe(1);

  const lost = trio({ finalizeWaitMs: 20 }).propose(3, "a").settle();
  lost.hold((message, from) => from === 3 && (message.kind === "ABDICATE" || message.kind === "NOTIFY"));
  transfer(lost, 1).pass(60);
  expect([1, 2]).toContain(lost.leader);
});

test("a successor that dies on the way is not waited for longer than finalizeWait", () => {
  const stage = trio({ finalizeWaitMs: 20 }).propose(3, "a").settle();
  stage.hold((_message, from) => from === 1);
  const hold = stage.hold(kinds("PONG"));
  transfer(stage, 1).settle();
  hold();
  stage.pass(200);
  expect(stage.leader).not.toBe(1);
  expect(stage.delivered(stage.leader)).toEqual(["a"]);
});

test("an abdication of another epoch, or of somebody else, is ignored", () => {
  const stage = trio();
  stage
    .control(3, 1, { kind: "ABDICATE", epoch: 9, successor: nodeId(2) })
    .control(2, 1, { kind: "ABDICATE", epoch: 1, successor: nodeId(2) })
    .settle();
  expect(stage.actor(1).role).toEqual({ kind: "following", leader: 3, epoch: 1, phase: "broadcast" });
});

test.each([
  ["to itself", 3],
  ["to a node outside the configuration", 9],
])("%s it is refused", (_name, to) => {
  const stage = trio();
  transfer(stage, to).settle();
  expect([stage.leader, stage.saw(3, "transfer-refused")]).toEqual([3, true]);
});

test("a single node has nobody to hand over to", () => {
  const stage = new Stage(1).start(1).settle();
  transfer(stage, undefined).settle();
  expect([stage.leader, stage.saw(1, "transfer-refused")]).toEqual([1, true]);
});
