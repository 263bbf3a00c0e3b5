/**
 * Branches of kind tcc where a scenario cannot look: feature levels, words for people, instances that come and go.
 */
import { describe, expect, test } from "vitest";
import type { BranchSpec } from "../../src/txn/index.js";
import { asked, brought, Desk } from "./desk.js";

const TCC = { onePhase: false, afterBegin: false, kinds: ["tcc"] } as const;

const tried = (id: string, participant = "orders"): BranchSpec => ({ ...asked(id, participant), kind: "tcc" });

/** `orders` is served by instance 5, which takes branches of kind tcc only. */
function deskOfTries(): Desk {
  const desk = new Desk();
  desk.coordinator.instanceDown(1, desk.nowMs);
  desk.coordinator.instanceUp(5, "orders", "tcc", desk.nowMs, TCC);
  desk.drain();
  desk.takeAnswers();
  return desk;
}

function phasesOf(desk: Desk, gid: ReturnType<Desk["gid"]>): string[] {
  desk.request({ kind: "outcome", gid, wait: false });
  const answer = desk.takeAnswers().find(({ kind }) => kind === "transaction");
  return answer?.kind === "transaction" ? answer.transaction.branches.map(({ id, kind, phase }) => `${id} ${kind} ${phase}`) : [];
}

test("a state that began below feature level 3 takes none", () => {
  const desk = deskOfTries();
  const meta = { ...desk.state.meta(), featureLevel: 2 };
  const participant = { name: "orders", participantKind: "tcc" };
  desk.state.restore([
    { kind: "meta", key: "meta", value: meta },
    { kind: "participant", key: "orders", value: participant },
  ]);
  desk.commit(desk.gid(), [tried("r1")]);
  desk.request({ kind: "open", gid: desk.gid(), client: "", timeoutMs: 0, branches: [{ ...brought("r1"), kind: "tcc" }] });
  const refused = { kind: "error", code: "QUORATE_INVALID_ARGUMENT", message: expect.stringContaining("feature level 3") };
  expect(desk.takeAnswers()).toMatchObject([refused, refused]);
  expect([desk.kinds, desk.takeCalls()]).toEqual([[], []]);
});

test("people see what is being done with it, in its own words", () => {
  const desk = deskOfTries();
  const gid = desk.gid();
  desk.commit(gid, [asked("b1", "stock"), tried("r1"), tried("r2")]);
  desk.commitAll();
  desk.vote(gid, "r1", "yes", 5);
  expect(phasesOf(desk, gid)).toEqual(["b1 2pc waiting for the tries", "r1 tcc tried", "r2 tcc trying"]);
  desk.vote(gid, "r2", "yes", 5);
  desk.vote(gid, "b1", "yes", 2);
  desk.commitAll();
  expect(phasesOf(desk, gid)).toEqual(["b1 2pc committing", "r1 tcc confirming", "r2 tcc confirming"]);
  desk.done(gid, "r1", "commit", 5);
  desk.done(gid, "r2", "commit", 5);
  desk.done(gid, "b1", "commit", 2);
  desk.pass(25);
  desk.commitAll();
  expect(phasesOf(desk, gid)).toEqual(["b1 2pc done", "r1 tcc done", "r2 tcc done"]);
});

test("an abort for want of a try names the try, not a branch that waited for it", () => {
  const desk = deskOfTries();
  const gid = desk.gid();
  desk.commit(gid, [asked("b1", "stock"), tried("r1")]);
  desk.commitAll();
  desk.pass(10_001);
  expect(desk.proposed).toMatchObject([{ kind: "DECIDE", decision: "abort", reason: "timeout" }]);
  expect(desk.proposed[0]).toHaveProperty("detail", expect.stringContaining('no vote of branch "r1"'));
});

describe("an instance that does not take the kind", () => {
  test("is no reason for a no when another one was tried: what it reserved is cancelled there", () => {
    const desk = deskOfTries();
    const gid = desk.gid();
    desk.commit(gid, [tried("r1")]);
    desk.commitAll();
    expect(desk.takeCalls()).toEqual(["5 prepare r1"]);
    desk.coordinator.instanceUp(6, "orders", "kv", desk.nowMs);
    desk.coordinator.instanceDown(5, desk.nowMs);
    desk.drain();
    expect([desk.kinds, desk.takeCalls()]).toEqual([[], []]);
    desk.pass(10_001);
    desk.commitAll();
    expect(desk.takeCalls()).toEqual([]);
    desk.coordinator.instanceUp(7, "orders", "tcc", desk.nowMs, TCC);
    desk.drain();
    expect(desk.takeCalls()).toEqual(["7 rollback r1"]);
  });

  test("is a no for it, and whoever attaches before the abort is applied is asked for nothing", () => {
    const desk = new Desk();
    const gid = desk.gid();
    desk.commit(gid, [tried("r1")]);
    desk.commitOne();
    expect(desk.kinds).toEqual(["DECIDE abort vote-no"]);
    desk.coordinator.instanceUp(5, "orders", "tcc", desk.nowMs, TCC);
    desk.drain();
    desk.pass(2_000);
    desk.commitAll();
    desk.pass(2_000);
    desk.commitAll();
    expect(desk.takeCalls()).toEqual([]);
    expect(phasesOf(desk, gid)).toEqual(["r1 tcc done"]);
  });

  test("of a decided branch is said once, and the branch waits for one that does", () => {
    const desk = deskOfTries();
    const gid = desk.gid();
    desk.commit(gid, [tried("r1")]);
    desk.commitAll();
    desk.vote(gid, "r1", "no", 5);
    desk.commitAll();
    desk.resign();
    desk.coordinator.instanceDown(5, desk.nowMs);
    desk.coordinator.instanceUp(6, "orders", "kv", desk.nowMs);
    desk.establish();
    desk.pass(60_000);
    expect(desk.alarms.map(({ name, branch }) => `${name} ${branch}`)).toEqual(["branch-unsuited r1"]);
    expect(desk.alarms[0]?.message).toContain("no attached instance takes that kind; attach one, or settle the branch");
    desk.takeCalls();
    desk.coordinator.instanceUp(7, "orders", "tcc", desk.nowMs, TCC);
    desk.drain();
    expect(desk.takeCalls()).toEqual(["7 rollback r1"]);
  });

  test("is none after a failover either: an earlier leader may have known another one", () => {
    const desk = deskOfTries();
    const gid = desk.gid();
    desk.commit(gid, [tried("r1")]);
    desk.commitAll();
    desk.resign();
    desk.coordinator.instanceDown(5, desk.nowMs);
    desk.coordinator.instanceUp(6, "orders", "kv", desk.nowMs);
    desk.establish();
    desk.takeCalls();
    expect(desk.kinds.filter((kind) => kind.startsWith("DECIDE"))).toEqual([]);
    desk.coordinator.instanceUp(7, "orders", "tcc", desk.nowMs, TCC);
    desk.drain();
    expect(desk.takeCalls()).toEqual(["7 prepare r1"]);
  });

  test("calls carry the kind, also those that answer a stray vote", () => {
    const desk = deskOfTries();
    const gid = desk.gid();
    desk.commit(gid, [tried("r1"), tried("r2")]);
    desk.commitAll();
    desk.vote(gid, "r1", "no", 5);
    desk.commitAll();
    desk.vote(gid, "r2", "yes", 5);
    expect(desk.calls.map(({ kind, phase, branch }) => `${kind} ${phase} ${branch}`)).toEqual([
      ...["tcc prepare r1", "tcc prepare r2", "tcc rollback r1", "tcc rollback r2", "tcc rollback r2"],
    ]);
  });
});
