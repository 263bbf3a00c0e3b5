/**
 * The part of the conformance suite about one-phase commit: the participant alone decides, durably, once and for ever. Part of
 * `describeParticipant`; skipped for an adapter whose manifest does not say `onePhase`.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { newGid, Prng } from "../../src/base/index.js";
import type { BranchRef, OnePhaseResult, VoteResult } from "../../src/participant/index.js";
import type { ParticipantFixture } from "./participant.js";

export function describeOnePhase<Handle>(name: string, make: () => Promise<ParticipantFixture<Handle>>): void {
  describe(`one-phase commit: ${name}`, () => {
    let fixture: ParticipantFixture<Handle>;
    const random = new Prng(`conformance/one-phase/${name}`).uint32;
    let accounts = 0;
    const account = (): string => `alone-${++accounts}`;
    const ref = (timeMs = Date.now()): BranchRef => ({ gid: newGid(timeMs, random), branch: "b1" });
    const run = async (of: BranchRef, payload: Uint8Array, epoch = 1): Promise<OnePhaseResult> => {
      const { participant } = fixture;
      if (participant.commitOnePhase === undefined) throw new Error("its manifest says onePhase, but there is no commitOnePhase");
      return participant.commitOnePhase({ ...of, payload, epoch });
    };
    const commitOnePhase = (of: BranchRef, to: string, delta: number, epoch = 1): Promise<OnePhaseResult> =>
      run(of, fixture.work(to, delta), epoch);
    const prepare = (of: BranchRef, to: string, delta: number, epoch = 1): Promise<VoteResult> =>
      fixture.participant.prepare({ ...of, payload: fixture.work(to, delta), epoch });
    /** As a coordinator does: what could not be told is asked again. */
    const untilTold = async (call: () => Promise<OnePhaseResult>): Promise<OnePhaseResult> => {
      for (let attempt = 1; ; attempt++) {
        try {
          return await call();
        } catch (error) {
          if (attempt === 40) throw error;
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
      }
    };
    const committed = { kind: "committed" };
    const expectRefused = (result: OnePhaseResult): void => {
      expect(result).toMatchObject({ kind: "refused" });
      expect(result.kind === "refused" && result.detail).not.toBe("");
    };

    beforeAll(async () => {
      fixture = await make();
    });
    afterAll(async () => {
      await fixture?.dispose();
    });
    beforeEach((context) => {
      if (fixture.participant.manifest.onePhase !== true) context.skip("its manifest does not say onePhase");
    });

    test("does the work, visible at once, and leaves nothing in doubt", async () => {
      const to = account();
      expect(await commitOnePhase(ref(), to, 5)).toEqual(committed);
      expect(await fixture.balance(to)).toBe(5);
      expect(await fixture.participant.listInDoubt()).toEqual([]);
      expect(await commitOnePhase(ref(), to, -5)).toEqual(committed);
      expect(await fixture.balance(to)).toBe(0);
    });

    test("repeated, at once or later, says committed again and does the work once", async () => {
      const to = account();
      const branch = ref();
      const results = await Promise.all([1, 2, 3].map(() => untilTold(() => commitOnePhase(branch, to, 5))));
      expect(results).toEqual([committed, committed, committed]);
      expect(await commitOnePhase(branch, to, 5)).toEqual(committed);
      expect(await fixture.balance(to)).toBe(5);
    });

    test("what cannot be done is refused with the reason, for ever, also when it could be done later", async () => {
      const to = account();
      const branch = ref();
      expect(await commitOnePhase(ref(), to, 1)).toEqual(committed);
      expectRefused(await commitOnePhase(branch, to, -2));
      expect(await commitOnePhase(ref(), to, 9)).toEqual(committed);
      expectRefused(await commitOnePhase(branch, to, -2));
      expect((await prepare(branch, to, -2)).vote).toBe("no");
      expect(await fixture.participant.rollback(branch)).toEqual({ kind: "done" });
      expect(await fixture.balance(to)).toBe(10);
    });

    test("a payload that makes no sense, and none, are refused for ever", async () => {
      const to = account();
      for (const payload of [Buffer.from("[{}]"), new Uint8Array()]) {
        const branch = ref();
        expectRefused(await run(branch, payload));
        expectRefused(await commitOnePhase(branch, to, 1));
      }
      expect(await fixture.balance(to)).toBe(0);
    });

    test("committed and refused survive a crash", async () => {
      const to = account();
      const done = ref();
      const refused = ref();
      expect(await commitOnePhase(done, to, 5)).toEqual(committed);
      expectRefused(await commitOnePhase(refused, to, -6));
      await fixture.crash();
      expect(await fixture.balance(to)).toBe(5);
      expect(await commitOnePhase(done, to, 5)).toEqual(committed);
      expectRefused(await commitOnePhase(refused, to, 1));
      expect(await fixture.balance(to)).toBe(5);
      expect(await fixture.participant.listInDoubt()).toEqual([]);
    });

    test("a crash in the middle: asked again, it is done once", async () => {
      const to = account();
      const branch = ref();
      const cut = commitOnePhase(branch, to, 5).catch(() => undefined);
      await new Promise((resolve) => setImmediate(resolve));
      await fixture.crash();
      await cut;
      expect(await untilTold(() => commitOnePhase(branch, to, 5))).toEqual(committed);
      expect(await fixture.balance(to)).toBe(5);
    });

    test("a branch that was rolled back here before is refused, one that was committed is committed", async () => {
      const to = account();
      const [rolledBack, done] = [ref(), ref()];
      await fixture.participant.rollback(rolledBack);
      expectRefused(await commitOnePhase(rolledBack, to, 5));
      await prepare(done, to, 3);
      await fixture.participant.commit(done);
      expect(await commitOnePhase(done, to, 3)).toEqual(committed);
      expect(await fixture.balance(to)).toBe(3);
    });

    test("a branch that a prepare of an earlier leader left prepared is committed, and a late commit of it is done", async () => {
      const to = account();
      const branch = ref();
      expect((await prepare(branch, to, 5)).vote).toBe("yes");
      expect(await untilTold(() => commitOnePhase(branch, to, 5))).toEqual(committed);
      expect(await fixture.balance(to)).toBe(5);
      expect(await fixture.participant.listInDoubt()).toEqual([]);
      expect(await fixture.participant.commit(branch)).toEqual({ kind: "done" });
      expect((await prepare(branch, to, 5)).vote).toBe("yes");
      expect(await fixture.balance(to)).toBe(5);
    });

    test("races with a prepare of the same branch: one effect, nothing in doubt", async () => {
      for (let round = 0; round < 6; round++) {
        const to = account();
        const branch = ref();
        const preparing = prepare(branch, to, 5).catch(() => undefined);
        expect(await untilTold(() => commitOnePhase(branch, to, 5))).toEqual(committed);
        await preparing;
        expect(await untilTold(() => commitOnePhase(branch, to, 5))).toEqual(committed);
        expect(await fixture.balance(to)).toBe(5);
        expect(await fixture.participant.listInDoubt()).toEqual([]);
      }
    });

    test("a lock conflict ends in a refusal within the lock timeout; once the holder is settled, the next one is done", async () => {
      const to = account();
      const holder = ref();
      const branch = ref();
      expect(await commitOnePhase(ref(), to, 10)).toEqual(committed);
      expect((await prepare(holder, to, -1)).vote).toBe("yes");
      expectRefused(await commitOnePhase(branch, to, -1));
      await fixture.participant.commit(holder);
      expectRefused(await commitOnePhase(branch, to, -1));
      expect(await commitOnePhase(ref(), to, -1)).toEqual(committed);
      expect(await fixture.balance(to)).toBe(8);
    });

    test("those that race for one account are isolated: what is committed adds up", async () => {
      const to = account();
      expect(await commitOnePhase(ref(), to, 4)).toEqual(committed);
      const ends = await Promise.all(
        Array.from({ length: 12 }, () => {
          const branch = ref();
          return untilTold(() => commitOnePhase(branch, to, -1));
        }),
      );
      const count = ends.filter(({ kind }) => kind === "committed").length;
      expect(count).toBeGreaterThan(0);
      expect(await fixture.balance(to)).toBe(4 - count);
    });

    test("of an epoch below the highest seen it is neither done nor refused, also after a crash; what is settled is said again", async () => {
      const to = account();
      const [done, refused, stale] = [ref(), ref(), ref()];
      expect(await commitOnePhase(done, to, 5, 7)).toEqual(committed);
      expectRefused(await commitOnePhase(refused, to, -6, 9));
      await expect(commitOnePhase(stale, to, 5, 8)).rejects.toThrow("fenced");
      expect(await commitOnePhase(done, to, 5, 8)).toEqual(committed);
      expectRefused(await commitOnePhase(refused, to, 1, 8));
      await fixture.crash();
      await expect(commitOnePhase(stale, to, 5, 8)).rejects.toThrow("fenced");
      expect(await commitOnePhase(stale, to, 5, 9)).toEqual(committed);
      expect(await fixture.balance(to)).toBe(10);
    });

    test("of a gid that the cluster forgot it is neither done nor refused", async (context) => {
      const { participant } = fixture;
      if (participant.forgetBelow === undefined) return context.skip("it keeps its rows for ever");
      const to = account();
      const [done, late] = [ref(1000), ref(1001)];
      expect(await commitOnePhase(done, to, 5, 9)).toEqual(committed);
      await participant.forgetBelow(2000);
      await participant.forgetBelow(2000);
      await expect(commitOnePhase(late, to, 5, 9)).rejects.toThrow("below the floor");
      // Its row may be gone or not; it must not happen a second time.
      await commitOnePhase(done, to, 5, 9).catch(() => undefined);
      expect(await fixture.balance(to)).toBe(5);
    });
  });
}
