/** The rules of docs/participants.md, "Barrier", as a suite that every kind of barrier passes. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BarrierHazard, type BarrierCall, type BarrierPhase } from "../../src/barrier/index.js";
import { INSTANCES, nameOf, newCall, SCOPE, settled, type BarrierFixture } from "./fixture.js";
import { describeInterleavings } from "./interleavings.js";

const done = { kind: "done" };
const duplicate = { kind: "duplicate" };

/** Effects of a branch's try, confirm and cancel. */
function countsOf(at: BarrierFixture, call: BarrierCall): Promise<number[]> {
  return Promise.all((["try", "confirm", "cancel"] as const).map((phase) => at.count(nameOf({ ...call, phase }))));
}

/**
 * `crashes: false`: nothing is killed, barriers are only made anew; for further forms of a store that is crashed in another suite.
 * `oneStep`: the function only says what is to be done, and the store does that and the mark in one step afterwards.
 */
export function describeBarrier(
  name: string,
  make: () => Promise<BarrierFixture>,
  { crashes = true, oneStep = false }: { readonly crashes?: boolean; readonly oneStep?: boolean } = {},
): void {
  describe(`${name} keeps the rules of a barrier`, () => {
    let at: BarrierFixture;
    beforeAll(async () => {
      at = await make();
    });
    afterAll(async () => {
      await at?.dispose();
    });
    const phase = (call: BarrierCall, next: BarrierPhase, more: Partial<BarrierCall> = {}): BarrierCall => ({
      ...call,
      phase: next,
      ...more,
    });
    const reopen = (): Promise<void> => (crashes ? at.crash() : at.reopen());
    const counts = (call: BarrierCall): Promise<number[]> => countsOf(at, call);
    const hazard = (heuristic: string, words: RegExp): unknown =>
      expect.objectContaining({ code: "QUORATE_HAZARD", retry: "never", heuristic, message: expect.stringMatching(words) as string });

    test("a try runs once, its confirm runs once, repetitions are told apart and run nothing", async () => {
      const call = newCall("try");
      expect(await at.call(call)).toMatchObject(done);
      expect(await at.call(call, { instance: 1 })).toEqual(duplicate);
      expect(await at.call(phase(call, "confirm"), { instance: 2 })).toMatchObject(done);
      expect(await at.call(phase(call, "confirm"))).toEqual(duplicate);
      expect(await at.call(call)).toEqual(duplicate);
      expect(await counts(call)).toEqual([1, 1, 0]);
    });

    test("a try is cancelled once, and is refused from then on", async () => {
      const call = newCall("try");
      expect(await at.call(call)).toMatchObject(done);
      expect(await at.call(phase(call, "cancel"), { instance: 1 })).toMatchObject(done);
      expect(await at.call(phase(call, "cancel"))).toEqual(duplicate);
      expect(await at.call(call)).toMatchObject({ kind: "refused", detail: expect.stringMatching(/too late/) as string });
      expect(await counts(call)).toEqual([1, 0, 1]);
    });

    test("a cancel without a try does nothing and is remembered: the try that comes late is refused, also after a crash", async () => {
      const call = newCall("try");
      expect(await at.call(phase(call, "cancel"))).toEqual(done);
      expect(await at.call(phase(call, "cancel"))).toEqual(duplicate);
      await reopen();
      expect(await at.call(call)).toMatchObject({ kind: "refused" });
      expect(await counts(call)).toEqual([0, 0, 0]);
    });

    test("a confirm without a try is a hazard, runs nothing, leaves nothing", async () => {
      const call = newCall("try");
      await expect(at.call(phase(call, "confirm"))).rejects.toEqual(hazard("hazard", /there is no try here/));
      expect(await at.call(call)).toMatchObject(done);
      expect(await at.call(phase(call, "confirm"))).toMatchObject(done);
      expect(await counts(call)).toEqual([1, 1, 0]);
    });

    test("a confirm after a cancel, and a cancel after a confirm, are hazards and run nothing", async () => {
      const [cancelled, confirmed, empty] = [newCall("try"), newCall("try"), newCall("try")] as const;
      await at.call(cancelled);
      await at.call(phase(cancelled, "cancel"));
      await expect(at.call(phase(cancelled, "confirm"))).rejects.toEqual(
        hazard("rolled-back", /confirm came after the branch was cancelled/),
      );
      await at.call(phase(empty, "cancel"));
      await expect(at.call(phase(empty, "confirm"))).rejects.toEqual(hazard("rolled-back", /confirm came after/));
      await at.call(confirmed);
      await at.call(phase(confirmed, "confirm"));
      const error: unknown = await at.call(phase(confirmed, "cancel")).catch((thrown: unknown) => thrown);
      expect(error).toEqual(hazard("committed", /cancel came after the branch was confirmed/));
      expect(error).toBeInstanceOf(BarrierHazard);
      expect([await counts(cancelled), await counts(confirmed), await counts(empty)]).toEqual([
        [1, 0, 1],
        [1, 1, 0],
        [0, 0, 0],
      ]);
    });

    test("prepare, commit and rollback are the same by other names; once is a step of its own", async () => {
      const call = newCall("prepare");
      expect(await at.call(call)).toMatchObject(done);
      expect(await at.call(phase(call, "try"))).toEqual(duplicate);
      expect(await at.call(phase(call, "once"))).toMatchObject(done);
      expect(await at.call(phase(call, "once"), { instance: 3 })).toEqual(duplicate);
      expect(await at.call(phase(call, "commit"))).toMatchObject(done);
      expect(await at.call(phase(call, "confirm"))).toEqual(duplicate);
      const other = newCall("prepare");
      expect(await at.call(phase(other, "rollback"))).toEqual(done);
      expect(await at.call(phase(other, "cancel"))).toEqual(duplicate);
      expect(await at.call(other)).toMatchObject({ kind: "refused" });
    });

    test("the function's error comes out unchanged, and nothing is left of its try, confirm or cancel", async () => {
      const own = new Error("no funds");
      const inside = (): never => {
        throw own;
      };
      const [call, other] = [newCall("try"), newCall("try")] as const;
      const before = await at.total();
      expect(await at.call(call, { inside }).catch((error: unknown) => error)).toBe(own);
      expect([await counts(call), await at.total()]).toEqual([[0, 0, 0], before]);
      expect(await at.call(call)).toMatchObject(done);
      expect(await at.call(phase(call, "confirm"), { inside }).catch((error: unknown) => error)).toBe(own);
      expect(await at.call(phase(call, "confirm"))).toMatchObject(done);
      await at.call(other);
      expect(await at.call(phase(other, "cancel"), { inside }).catch((error: unknown) => error)).toBe(own);
      expect(await at.call(phase(other, "cancel"))).toMatchObject(done);
      expect([await counts(call), await counts(other)]).toEqual([
        [1, 1, 0],
        [1, 0, 1],
      ]);
    });

    test("new work of a deposed leader is not taken, by whichever instance; a decision and a repetition are", async () => {
      const scope = { ...SCOPE, participant: "fenced" };
      const [early, late] = [newCall("try", scope), newCall("try", scope)] as const;
      await at.call(early);
      await at.call(newCall("try", { ...scope, epoch: 7 }));
      const fenced = { code: "QUORATE_PARTICIPANT", retry: "safe", message: expect.stringMatching(/fenced.*epoch 5.*epoch 7/) as string };
      for (let instance = 0; instance < INSTANCES; instance++) {
        await expect(at.call(late, { instance })).rejects.toMatchObject(fenced);
        await expect(at.call(phase(late, "once"), { instance })).rejects.toMatchObject(fenced);
      }
      await reopen();
      await expect(at.call(late)).rejects.toMatchObject(fenced);
      expect(await at.call(early)).toEqual(duplicate);
      expect(await at.call(phase(early, "confirm", { epoch: 4 }))).toMatchObject(done);
      expect(await at.call(phase(late, "cancel", { epoch: 4 }))).toEqual(done);
      expect(await at.call({ ...late, epoch: 8 })).toMatchObject({ kind: "refused" });
      expect([await counts(early), await counts(late)]).toEqual([
        [1, 1, 0],
        [0, 0, 0],
      ]);
    });

    test("below the floor no new work begins, decisions are done, and the marks go; above it nothing changes", async () => {
      const scope = { ...SCOPE, participant: "floor" };
      const old = Date.now() - 60_000;
      const of = (timeMs: number): BarrierCall => {
        const call = newCall("try", scope);
        return { ...call, gid: `q-${timeMs.toString(16).padStart(12, "0")}${call.gid.slice(14)}` };
      };
      const [kept, finished, dropped, unseen, emptied] = [of(old + 5_000), of(old), of(old + 1), of(old + 2), of(old + 3)] as const;
      for (const call of [kept, finished, dropped]) await at.call(call);
      await at.call(phase(finished, "confirm"));
      await at.call(phase(dropped, "cancel"));
      await at.call(phase(emptied, "cancel"));
      expect(await at.marks(scope)).toBe(6);
      await at.forgetBelow(old + 1_000, scope);
      expect(await at.marks(scope)).toBe(1);
      for (const call of [finished, dropped, unseen, emptied])
        expect(await at.call(call)).toMatchObject({ kind: "refused", detail: expect.stringMatching(/^expired/) as string });
      expect(await at.call(phase(finished, "confirm"))).toEqual(duplicate);
      expect(await at.call(phase(unseen, "once"))).toMatchObject({ kind: "refused" });
      await at.forgetBelow(old, scope);
      await reopen();
      expect(await at.call(unseen)).toMatchObject({ kind: "refused" });
      expect(await at.call(kept)).toEqual(duplicate);
      expect(await at.call(phase(kept, "confirm"))).toMatchObject(done);
      // Another participant has a floor of its own.
      expect(await at.call({ ...unseen, participant: "floor-2" })).toMatchObject(done);
      expect([await counts(finished), await counts(emptied), await counts(kept)]).toEqual([
        [1, 1, 0],
        [0, 0, 0],
        [1, 1, 0],
      ]);
    });

    test("branches, participants and clusters are apart", async () => {
      const call = newCall("try");
      for (const more of [{}, { branch: "b2" }, { participant: "other" }, { cluster: "other" }])
        expect(await at.call({ ...call, ...more })).toMatchObject(done);
      expect(await at.call(phase(call, "confirm", { branch: "b2" }))).toMatchObject(done);
      expect(await at.call(phase(call, "cancel"))).toMatchObject(done);
    });

    test("a malformed call is refused by field before anything is sent", async () => {
      const bad: readonly (readonly [Partial<BarrierCall>, RegExp])[] = [
        [{ gid: "x'; drop table account; --" }, /gid/],
        [{ branch: "B 1" }, /branch/],
        [{ phase: "tries" as BarrierPhase }, /phase "tries" must be one of try, confirm/],
        [{ epoch: 1.5 }, /epoch 1.5/],
        [{ cluster: "Other cluster" }, /cluster/],
        [{ participant: "" }, /participant/],
      ];
      for (const [field, message] of bad)
        await expect(at.call(newCall("try", field))).rejects.toMatchObject({
          code: "QUORATE_INVALID_ARGUMENT",
          message: expect.stringMatching(message) as string,
        });
    });

    test("of many tries at once one runs", async () => {
      const call = newCall("try");
      const results = await Promise.all(
        Array.from({ length: 2 * INSTANCES }, (_, i) => settled(() => at.call(call, { instance: i % INSTANCES }))),
      );
      expect(results.filter(({ kind }) => kind === "done")).toHaveLength(1);
      expect(results.filter(({ kind }) => kind === "duplicate")).toHaveLength(2 * INSTANCES - 1);
      expect(await counts(call)).toEqual([1, 0, 0]);
    });

    test("of a try and a cancel at once one comes first, and both know which", async () => {
      for (let round = 0; round < 10; round++) {
        const call = newCall("try");
        const [tried, cancelled] = await Promise.all([
          settled(() => at.call(call, { instance: round % INSTANCES })),
          settled(() => at.call(phase(call, "cancel"), { instance: (round + 1) % INSTANCES })),
        ]);
        expect(cancelled.kind).toBe("done");
        expect(await counts(call)).toEqual(tried.kind === "done" ? [1, 0, 1] : [0, 0, 0]);
        expect(["done", "refused"]).toContain(tried.kind);
      }
    });

    if (!oneStep) describeWaiting(() => at);
    if (crashes) describeCrashes(() => at, oneStep);
    describeInterleavings(() => at);
  });
}

function describeWaiting(fixture: () => BarrierFixture): void {
  const counts = (call: BarrierCall): Promise<number[]> => countsOf(fixture(), call);

  test("a cancel that comes while the try is at work waits for what becomes of it", async () => {
    const at = fixture();
    for (const fails of [false, true]) {
      const call = newCall("try");
      let cancelled: Promise<unknown> | undefined;
      let early = true;
      const trying = at.call(call, {
        inside: async () => {
          cancelled = settled(() => at.call({ ...call, phase: "cancel" }, { instance: 1 })).finally(() => (early = false));
          await new Promise((resolve) => setTimeout(resolve, 60));
          expect(early).toBe(true);
          if (fails) throw new Error("no funds");
        },
      });
      if (fails) await expect(trying).rejects.toThrow("no funds");
      else expect(await trying).toMatchObject(done);
      expect(await cancelled).toMatchObject(done);
      expect(await counts(call)).toEqual(fails ? [0, 0, 0] : [1, 0, 1]);
      expect(await at.call(call)).toMatchObject({ kind: "refused" });
    }
  });
}

function describeCrashes(fixture: () => BarrierFixture, oneStep: boolean): void {
  const counts = (call: BarrierCall): Promise<number[]> => countsOf(fixture(), call);

  test("killed between the work and its commit: nothing of both; killed after the answer: both", async () => {
    const at = fixture();
    const [lost, kept] = [newCall("try"), newCall("try")] as const;
    await at.call(kept);
    const before = await at.total();
    // The function ends well; what it did is in a transaction of a server that is no more.
    const attempt = await at.call(lost, { inside: () => at.crash() }).then(
      () => 1,
      () => 0,
    );
    // Only a store that does all of it in one step after the function can still do so.
    if (!oneStep) expect(attempt).toBe(0);
    expect([await counts(lost), await counts(kept), await at.total()]).toEqual([[attempt, 0, 0], [1, 0, 0], before + attempt]);
    if (attempt === 1) return;
    expect(await settled(() => at.call(lost))).toMatchObject(done);
    expect(await at.call(kept)).toEqual(duplicate);
  });

  test("killed at any moment under load: every try is there as a whole or not at all", async () => {
    const at = fixture();
    for (let round = 0; round < 2; round++) {
      const before = await at.total();
      const calls = Array.from({ length: 24 }, () => newCall("try"));
      const running = Promise.allSettled(calls.map((call, i) => at.call(call, { instance: i % INSTANCES })));
      await new Promise((resolve) => setTimeout(resolve, 4 + 9 * round));
      await at.crash();
      const first = await running;
      let there = 0;
      for (const call of calls) there += (await counts(call))[0] ?? 0;
      expect(await at.total()).toBe(before + there);
      for (const [i, call] of calls.entries()) {
        const had = (await counts(call))[0];
        if (first[i]?.status === "fulfilled") expect(had).toBe(1);
        expect((await settled(() => at.call(call))).kind).toBe(had === 1 ? "duplicate" : "done");
        expect(await counts(call)).toEqual([1, 0, 0]);
      }
    }
  });
}
