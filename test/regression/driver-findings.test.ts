/** Mistakes of the leader's driver, each by the interleaving that showed it. */
import { expect, test } from "vitest";
import { asked, Desk } from "../coordinator/desk.js";

const WAITERS_MAX = 1024;

test("a Commit that finds no place to wait is not proposed: its answer says that nothing was", () => {
  const desk = new Desk();
  const gid = desk.gid();
  desk.open(gid, [asked("a")]);
  for (let i = 0; i < WAITERS_MAX; i++) desk.request({ kind: "outcome", gid, wait: true }, 8, 100 + i);
  desk.takeAnswers();
  desk.takeCalls();
  desk.commit(gid, [asked("a")]);
  expect(desk.takeAnswers()).toMatchObject([{ kind: "error", code: "QUORATE_OVERLOADED", retry: "safe" }]);
  expect(desk.kinds).toEqual([]);
  expect(desk.takeCalls()).toEqual([]);
});

test("an abort that finds no place to wait is not proposed either", () => {
  const desk = new Desk();
  const gid = desk.gid();
  desk.open(gid, [asked("a")]);
  for (let i = 0; i < WAITERS_MAX; i++) desk.request({ kind: "outcome", gid, wait: true }, 8, 100 + i);
  desk.takeAnswers();
  desk.request({ kind: "abort", gid });
  expect(desk.takeAnswers()).toMatchObject([{ kind: "error", code: "QUORATE_OVERLOADED" }]);
  expect(desk.kinds).toEqual([]);
});

test("contents that a corrected Commit replaced before anybody was asked are never sent to the participant", () => {
  const desk = new Desk();
  const gid = desk.gid();
  desk.coordinator.instanceDown(1, desk.nowMs);
  desk.commit(gid, [asked("a")]);
  desk.refuseAll();
  const corrected = { ...asked("a"), payload: Uint8Array.of(9) };
  desk.commit(gid, [corrected], {}, 2);
  desk.commitAll();
  desk.coordinator.instanceUp(5, "orders", "kv", desk.nowMs);
  desk.drain();
  expect(desk.calls.map(({ phase, payload }) => [phase, ...payload])).toEqual([["prepare", 9]]);
  desk.vote(gid, "a", "yes", 5);
  expect(desk.kinds).toEqual(["DECIDE commit"]);
});

test("the reason of an abort is never cut through a character: replicas would keep different texts", () => {
  for (const before of [400, 401]) {
    const desk = new Desk();
    const gid = desk.gid();
    desk.commit(gid, [asked("a")]);
    desk.commitAll();
    desk.vote(gid, "a", "no", 1, "x".repeat(before) + "\u{1F4A5}".repeat(60));
    const [decide] = desk.proposed;
    const detail = decide?.kind === "DECIDE" ? decide.detail : "";
    expect(detail.length).toBeGreaterThan(490);
    expect(Buffer.from(detail, "utf8").toString("utf8")).toBe(detail);
  }
});

test("a health probe that was not taken answers itself, not the one before it whose record is still under way", () => {
  const desk = new Desk();
  desk.request({ kind: "noop" }, 7, 1);
  const [first, ...none] = desk.proposed;
  expect([first?.kind, none]).toEqual(["NOOP", []]);
  desk.proposed = [];
  desk.request({ kind: "noop" }, 7, 2);
  desk.refuseAll();
  expect(desk.answers.map(({ request, answer }) => [request, answer.kind])).toEqual([[2, "error"]]);
  desk.answers = [];
  desk.inject({ kind: "NOOP" });
  expect(desk.answers.map(({ request, answer }) => [request, answer.kind])).toEqual([[1, "ok"]]);
  expect(desk.coordinator.counts().waiting).toBe(0);
});
