import { expect, test } from "vitest";
import { inOrder, kinds, Stage } from "./stage.js";

/** n1 and n2 without n3; n2 is elected. */
function pair(stage: Stage): Stage {
  return stage.start(1, 2).link(1, 3, false).link(2, 3, false);
}

function promise(stage: Stage, id: number, acceptedEpoch: number): Stage {
  const { disk } = stage.actor(id);
  disk.epochs = { ...disk.epochs, acceptedEpoch };
  return stage;
}

test("the leader's own promise is durable before NEWEPOCH leaves", () => {
  const stage = pair(new Stage(3)).freezeDisk(2).settle();
  expect(stage.actor(2).role).toEqual({ kind: "leading", epoch: 1, phase: "discovery" });
  expect(stage.messages("NEWEPOCH", 2)).toEqual([]);
  stage.sync(2).settle();
  expect(inOrder(stage.actor(2).ledger, /persist epochs 1/, /durable 1/, /send NEWEPOCH/)).toBe(true);
  expect(stage.leader).toBe(2);
});

test("a follower's promise is durable before ACKEPOCH leaves", () => {
  const stage = pair(new Stage(3)).freezeDisk(1).settle();
  expect(stage.messages("ACKEPOCH", 1)).toEqual([]);
  stage.sync(1, 1).settle();
  expect(inOrder(stage.actor(1).ledger, /persist epochs 1/, /durable 1/, /send ACKEPOCH/)).toBe(true);
});

test("a promise that was lost with the power was never given", () => {
  const stage = pair(new Stage(3)).freezeDisk(1).settle().crash(1).settle();
  expect(stage.actor(1).disk.epochs.acceptedEpoch).toBe(0);
  expect(stage.messages("ACKEPOCH", 1)).toEqual([]);
});

test("the epoch is one above everything a quorum has promised", () => {
  const stage = pair(promise(new Stage(3), 1, 6)).settle();
  expect(stage.actor(2).role).toEqual({ kind: "leading", epoch: 7, phase: "broadcast" });
});

test("a node supports an epoch once: promised again, it synchronizes but says nothing that could be counted", () => {
  const stage = pair(new Stage(3));
  const release = stage.hold(kinds("ACKEPOCH"));
  stage.settle().disconnect(1, 2).drop(kinds("ACKEPOCH"));
  release();
  stage.settle().start(3).settle();
  const answers = stage.messages("ACKEPOCH", 1);
  expect(answers.map(({ epoch, currentEpoch }) => [epoch, currentEpoch]).slice(0, 1)).toEqual([[1, 0]]);
  for (const { epoch, currentEpoch } of answers.slice(1)) expect(currentEpoch === undefined).toBe(epoch === 1);
});

test("a follower that reconnects to the leader of its epoch is counted again once it acknowledged the history", () => {
  const stage = pair(new Stage(3)).settle();
  stage.disconnect(1, 2).settle().propose(2, "a").settle();
  expect(stage.messages("ACKEPOCH", 1).at(-1)?.currentEpoch).toBeUndefined();
  expect(stage.delivered(1)).toEqual(["a"]);
});

test("a follower ahead of the leader is not counted: the leader abdicates and names it, and nothing is lost", () => {
  const stage = new Stage(3).start(1, 2, 3).settle();
  const unsent = stage.hold((message, from) => from === 3 && message.kind === "PROPOSE");
  stage.propose(3, "a").settle();
  expect(stage.onDisk(3)).toEqual(["a"]);
  stage.crash(1).crash(2).crash(3);
  unsent();
  const release = stage.hold((message, from) => message.kind === "CEPOCH" && from === 1);
  pair(stage).settle();
  expect(stage.actor(2).role).toMatchObject({ kind: "leading", phase: "discovery" });
  stage.start(3).settle();
  expect(stage.saw(2, "ahead-follower")).toBe(true);
  expect(stage.messages("ABDICATE", 2).at(-1)?.successor).toBe(3);
  release();
  expect(stage.settle().leader).toBe(3);
  expect([1, 2, 3].map((id) => stage.delivered(id))).toEqual([["a"], ["a"], ["a"]]);
});

test("once a quorum has promised, a late follower that is ahead loses its tail: it was never committed", () => {
  const stage = new Stage(3).start(1, 2, 3).settle();
  stage.hold((message, from) => from === 3 && message.kind === "PROPOSE");
  stage.propose(3, "lost").settle().crash(3).settle();
  expect(stage.leader).toBe(2);
  stage.propose(2, "kept").settle().start(3).settle();
  expect([1, 2, 3].map((id) => stage.onDisk(id))).toEqual([["kept"], ["kept"], ["kept"]]);
  expect(stage.saw(3, "trunc-applied")).toBe(true);
});

test("a voter that promised a higher epoch makes an attempt that is not established start again above it", () => {
  const stage = new Stage(3);
  promise(stage, 1, 9);
  const release = stage.hold((message, from) => from === 1 && message.kind === "CEPOCH");
  const hold = stage.hold(kinds("ACKEPOCH"));
  stage.start(1, 2, 3).settle();
  expect(stage.actor(3).role).toEqual({ kind: "leading", epoch: 1, phase: "discovery" });
  release();
  hold();
  // After a failed attempt followers pause for a moment.
  stage.pass(50);
  expect(stage.leader).toBe(3);
  expect(stage.actor(3).role).toMatchObject({ epoch: 10 });
});

test("an established leader lets such a voter in by a new epoch, in good order: what was proposed stays", () => {
  const stage = new Stage(3).start(2, 3).link(2, 1, false).link(3, 1, false).settle();
  stage.propose(3, "a").settle();
  promise(stage, 1, 9).start(1).pass(100);
  expect(stage.leader).toBe(3);
  expect(stage.actor(3).role).toEqual({ kind: "leading", epoch: 10, phase: "broadcast" });
  expect(stage.delivered(1)).toEqual(["a"]);
  expect(stage.saw(3, "transfer-done")).toBe(true);
});

test("a follower that promised more between its announcement and NEWEPOCH refuses, and says what it promised", () => {
  const stage = pair(new Stage(3));
  const release = stage.hold(kinds("NEWEPOCH"));
  stage.settle();
  const session = 1;
  release();
  stage
    .drop(kinds("NEWEPOCH"))
    .input(1, { kind: "session", session, message: { kind: "NEWEPOCH", epoch: 5 } })
    .settle();
  expect(stage.actor(1).disk.epochs.acceptedEpoch).toBe(5);
  const again = new Stage(3);
  promise(again, 1, 4);
  pair(again);
  again.hold(kinds("NEWEPOCH"));
  again.settle().input(1, { kind: "session", session, message: { kind: "NEWEPOCH", epoch: 3 } });
  expect(again.messages("REFUSE", 1)).toEqual([{ kind: "REFUSE", acceptedEpoch: 4, reason: "promised a higher epoch" }]);
});

test("a leader refuses a follower that knows a newer configuration than its own", () => {
  const stage = new Stage(3).start(2, 3).link(2, 1, false).link(3, 1, false).settle();
  const { disk } = stage.actor(1);
  const { configuration } = disk.epochs;
  disk.epochs = {
    ...disk.epochs,
    configuration: { ...configuration, current: { ...configuration.current, version: { epoch: 1, counter: 1 } } },
  };
  stage.start(1).settle();
  expect(stage.actor(3).events.some(({ name, fields }) => name === "learner-dropped" && fields.why === "newer-configuration")).toBe(true);
});
