/**
 * The conformance suite of participants: what docs/participants.md promises, tried on one adapter.
 *
 *   describeParticipant("kv", kvFixture);
 *
 * A fixture is a real resource that holds whole numbers under account names and can be crashed. Every test uses accounts of its own,
 * so one resource serves them all. Decides: whether an adapter keeps the contract. Whether it is quick is for a benchmark.
 */
import { afterAll, beforeAll, describe, expect, test, type TestContext } from "vitest";
import { newGid, Prng, type Gid } from "../../src/base/index.js";
import type { BranchRef, BroughtParticipant, Participant, PrepareRequest, VoteResult } from "../../src/participant/index.js";
import { describeOnePhase } from "./one-phase.js";

export interface ParticipantFixture<Handle = unknown> {
  /** Started and ready. After a crash: the new one. */
  readonly participant: Participant;
  /** The cluster it was started with. */
  readonly clusterId: string;
  /** No lock wait of this participant takes longer than this, ms. */
  readonly lockWaitMsMax: number;
  /** Work that adds `delta` to an account, which begins at 0 and must not fall below 0: such work cannot be done. Only where `asked`. */
  work(account: string, delta: number): Uint8Array;
  /** What is committed, read from outside any transaction. */
  balance(account: string): Promise<number>;
  /** The same work on the handle of a brought branch, and a read of the account. Only where `brought`. */
  readonly brought?: {
    add(handle: Handle, account: string, delta: number): Promise<void>;
    read(handle: Handle, account: string): Promise<number>;
  };
  /** Ends participant and resource as SIGKILL would, and starts them again on what was durable at this moment. */
  crash(): Promise<void>;
  /** Ends everything; nothing is left behind. */
  dispose(): Promise<void>;
}

export function describeParticipant<Handle>(name: string, make: () => Promise<ParticipantFixture<Handle>>): void {
  describe(`participant contract: ${name}`, () => {
    let fixture: ParticipantFixture<Handle>;
    const random = new Prng(`conformance/${name}`).uint32;
    let accounts = 0;
    const account = (): string => `account-${++accounts}`;
    const gid = (): Gid => newGid(Date.now(), random);
    const ref = (of: Gid = gid(), branch = "b1"): BranchRef => ({ gid: of, branch });
    const request = (of: BranchRef, work: Uint8Array, epoch = 1): PrepareRequest => ({ ...of, payload: work, epoch });
    const prepare = (of: BranchRef, to: string, delta: number, epoch = 1): Promise<VoteResult> =>
      fixture.participant.prepare(request(of, fixture.work(to, delta), epoch));
    const yes = { vote: "yes", detail: "" };
    const done = { kind: "done" };
    const expectNo = (result: VoteResult): void => {
      expect(result.vote).toBe("no");
      expect(result.detail).not.toBe("");
    };
    const inDoubt = async (of: BranchRef): Promise<boolean> =>
      (await fixture.participant.listInDoubt()).some((known) => known.gid === of.gid && known.branch === of.branch);
    /** An account with money in it. */
    const funded = async (amount: number): Promise<string> => {
      const to = account();
      const branch = ref();
      expect(await prepare(branch, to, amount)).toEqual(yes);
      expect(await fixture.participant.commit(branch)).toEqual(done);
      return to;
    };

    beforeAll(async () => {
      fixture = await make();
    });
    afterAll(async () => {
      await fixture?.dispose();
    });

    test("starting again with the same cluster changes nothing", async () => {
      await fixture.participant.start(fixture.clusterId);
      expect(await fixture.participant.listInDoubt()).toEqual([]);
    });

    test("a branch is invisible until it is committed, and there afterwards", async () => {
      const to = account();
      const branch = ref();
      expect(await prepare(branch, to, 5)).toEqual(yes);
      expect(await fixture.balance(to)).toBe(0);
      expect(await fixture.participant.commit(branch)).toEqual(done);
      expect(await fixture.balance(to)).toBe(5);
      expect(await inDoubt(branch)).toBe(false);
    });

    test("a rolled back branch leaves nothing", async () => {
      const to = await funded(7);
      const branch = ref();
      expect(await prepare(branch, to, 5)).toEqual(yes);
      expect(await fixture.participant.rollback(branch)).toEqual(done);
      expect(await fixture.balance(to)).toBe(7);
      expect(await inDoubt(branch)).toBe(false);
      const next = ref();
      expect(await prepare(next, to, -7)).toEqual(yes);
      expect(await fixture.participant.commit(next)).toEqual(done);
    });

    test("a repeated prepare gives the same vote and does the work once", async () => {
      const to = account();
      const branch = ref();
      expect(await Promise.all([prepare(branch, to, 5), prepare(branch, to, 5)])).toEqual([yes, yes]);
      expect(await prepare(branch, to, 5)).toEqual(yes);
      await fixture.participant.commit(branch);
      expect(await fixture.balance(to)).toBe(5);
    });

    test("a repeated commit is done again and has no further effect", async () => {
      const to = account();
      const branch = ref();
      await prepare(branch, to, 5);
      const first = await Promise.allSettled([fixture.participant.commit(branch), fixture.participant.commit(branch)]);
      // Of two commits at once one may be asked to come again; none may say anything but done.
      for (const result of first) if (result.status === "fulfilled") expect(result.value).toEqual(done);
      expect(first.some((result) => result.status === "fulfilled")).toBe(true);
      expect(await fixture.participant.commit(branch)).toEqual(done);
      expect(await fixture.balance(to)).toBe(5);
    });

    test("a repeated roll back is done again", async () => {
      const to = account();
      const branch = ref();
      await prepare(branch, to, 5);
      expect(await fixture.participant.rollback(branch)).toEqual(done);
      expect(await fixture.participant.rollback(branch)).toEqual(done);
      expect(await fixture.balance(to)).toBe(0);
    });

    test("a prepare that arrives after the commit is a yes again and does nothing", async () => {
      const to = account();
      const branch = ref();
      await prepare(branch, to, 5);
      await fixture.participant.commit(branch);
      expect(await prepare(branch, to, 5)).toEqual(yes);
      expect(await inDoubt(branch)).toBe(false);
      expect(await fixture.participant.commit(branch)).toEqual(done);
      expect(await fixture.balance(to)).toBe(5);
    });

    test("a prepare that arrives after the roll back is refused", async () => {
      const to = account();
      const branch = ref();
      await prepare(branch, to, 5);
      await fixture.participant.rollback(branch);
      expectNo(await prepare(branch, to, 5));
      expect(await inDoubt(branch)).toBe(false);
      expect(await fixture.balance(to)).toBe(0);
    });

    test("the roll back of a branch never seen is done, and its prepare is refused when it arrives later", async () => {
      const to = account();
      const branch = ref();
      expect(await fixture.participant.rollback(branch)).toEqual(done);
      expectNo(await prepare(branch, to, 5));
      expect(await fixture.participant.rollback(branch)).toEqual(done);
      expect(await inDoubt(branch)).toBe(false);
      expect(await fixture.balance(to)).toBe(0);
    });

    test("the commit of a branch that is not known is a hazard, never done", async () => {
      expect(await fixture.participant.commit(ref())).toMatchObject({ kind: "heuristic", outcome: "hazard" });
    });

    test("decisions against an outcome that is in force are heuristic and change nothing", async () => {
      const to = account();
      const committed = ref();
      await prepare(committed, to, 5);
      await fixture.participant.commit(committed);
      expect(await fixture.participant.rollback(committed)).toMatchObject({ kind: "heuristic", outcome: "committed" });
      expect(await fixture.balance(to)).toBe(5);
      const rolledBack = ref();
      await prepare(rolledBack, to, 5);
      await fixture.participant.rollback(rolledBack);
      expect(await fixture.participant.commit(rolledBack)).toMatchObject({ kind: "heuristic", outcome: "rolled-back" });
      expect(await fixture.balance(to)).toBe(5);
    });

    test("work that cannot be done votes no with the reason, and holds nothing", async () => {
      const to = await funded(3);
      const branch = ref();
      expectNo(await prepare(branch, to, -4));
      expect(await inDoubt(branch)).toBe(false);
      const next = ref();
      expect(await prepare(next, to, -3)).toEqual(yes);
      expect(await fixture.participant.commit(next)).toEqual(done);
      expect(await fixture.participant.rollback(branch)).toEqual(done);
      expect(await fixture.balance(to)).toBe(0);
    });

    test("a branch without work that is not held here votes no", async () => {
      expectNo(await fixture.participant.prepare(request(ref(), new Uint8Array())));
    });

    test("a payload that makes no sense votes no with the reason", async () => {
      for (const text of ["{", "[]", "{}", "[1]", "[{}]", "\u00ff", '[{"nonsense":1}]'])
        expectNo(await fixture.participant.prepare(request(ref(), Buffer.from(text, "latin1"))));
    });

    test("branches of one transaction are apart", async () => {
      const to = account();
      const other = account();
      const of = gid();
      expect(await prepare(ref(of, "b1"), to, 1)).toEqual(yes);
      expect(await prepare(ref(of, "b2"), other, 2)).toEqual(yes);
      expect(await fixture.participant.commit(ref(of, "b1"))).toEqual(done);
      expect(await inDoubt(ref(of, "b2"))).toBe(true);
      expect(await fixture.participant.commit(ref(of, "b2"))).toEqual(done);
      expect([await fixture.balance(to), await fixture.balance(other)]).toEqual([1, 2]);
    });

    test("many branches at once all commit", async () => {
      const of = Array.from({ length: 24 }, () => ({ branch: ref(), to: account() }));
      expect(await Promise.all(of.map(({ branch, to }) => prepare(branch, to, 1)))).toEqual(of.map(() => yes));
      expect(await Promise.all(of.map(({ branch }) => fixture.participant.commit(branch)))).toEqual(of.map(() => done));
      expect(await Promise.all(of.map(({ to }) => fixture.balance(to)))).toEqual(of.map(() => 1));
    });

    test("branches that race for one account are isolated: what is committed adds up", async () => {
      const to = await funded(4);
      const votes = await Promise.all(
        Array.from({ length: 12 }, async () => {
          const branch = ref();
          const { vote } = await prepare(branch, to, -1);
          expect(await (vote === "yes" ? fixture.participant.commit(branch) : fixture.participant.rollback(branch))).toEqual(done);
          return vote;
        }),
      );
      const committed = votes.filter((vote) => vote === "yes").length;
      expect(committed).toBeGreaterThan(0);
      expect(await fixture.balance(to)).toBe(4 - committed);
    });

    test("a lock conflict ends in a vote of no within the lock timeout, and not after the holder is settled", async () => {
      const to = await funded(10);
      const holder = ref();
      expect(await prepare(holder, to, -1)).toEqual(yes);
      const start = performance.now();
      expectNo(await prepare(ref(), to, -1));
      expect(performance.now() - start).toBeLessThan(fixture.lockWaitMsMax + 2000);
      await fixture.participant.commit(holder);
      const next = ref();
      expect(await prepare(next, to, -1)).toEqual(yes);
      await fixture.participant.commit(next);
      expect(await fixture.balance(to)).toBe(8);
    });

    test("a branch waits for a holder that is settled in time", async () => {
      const to = await funded(10);
      const waiter = ref();
      const holder = ref();
      expect(await prepare(holder, to, -1)).toEqual(yes);
      const waiting = prepare(waiter, to, -2);
      await fixture.participant.commit(holder);
      expect(await waiting).toEqual(yes);
      expect(await fixture.participant.commit(waiter)).toEqual(done);
      expect(await fixture.balance(to)).toBe(7);
    });

    test("a roll back that races with its prepare leaves nothing in doubt", async () => {
      for (let round = 0; round < 8; round++) {
        const to = account();
        const branch = ref();
        const preparing = prepare(branch, to, 5);
        const settled = await fixture.participant.rollback(branch).catch(() => undefined);
        const vote = await preparing;
        // Asked again, as the coordinator would, when it could not be done beside the prepare.
        if (settled === undefined) expect(await fixture.participant.rollback(branch)).toEqual(done);
        else expect(settled).toEqual(done);
        expect(["yes", "no"]).toContain(vote.vote);
        expect(await inDoubt(branch)).toBe(false);
        expectNo(await prepare(branch, to, 5));
        expect(await fixture.balance(to)).toBe(0);
      }
    });

    test("branches in doubt are listed until they are settled, and a filter leaves out the young ones", async () => {
      const branches = [ref(), ref(), ref()];
      for (const branch of branches) expect(await prepare(branch, account(), 1)).toEqual(yes);
      for (const branch of branches) expect(await inDoubt(branch)).toBe(true);
      expect(await fixture.participant.listInDoubt({ olderThanMs: 60_000 })).toEqual([]);
      const [first, second, third] = branches as [BranchRef, BranchRef, BranchRef];
      await fixture.participant.commit(first);
      await fixture.participant.rollback(second);
      expect([await inDoubt(first), await inDoubt(second), await inDoubt(third)]).toEqual([false, false, true]);
      await fixture.participant.rollback(third);
    });

    test("a yes survives a crash: the branch is in doubt, votes yes again, keeps its locks, and can be committed", async () => {
      const to = await funded(10);
      const branch = ref();
      expect(await prepare(branch, to, -4)).toEqual(yes);
      await fixture.crash();
      expect(await inDoubt(branch)).toBe(true);
      expect(await prepare(branch, to, -4)).toEqual(yes);
      expectNo(await prepare(ref(), to, -1));
      expect(await fixture.balance(to)).toBe(10);
      expect(await fixture.participant.commit(branch)).toEqual(done);
      expect(await fixture.balance(to)).toBe(6);
      expect(await inDoubt(branch)).toBe(false);
    });

    test("a branch in doubt after a crash can be rolled back", async () => {
      const to = await funded(10);
      const branch = ref();
      expect(await prepare(branch, to, -4)).toEqual(yes);
      await fixture.crash();
      expect(await fixture.participant.rollback(branch)).toEqual(done);
      expect(await fixture.balance(to)).toBe(10);
      const next = ref();
      expect(await prepare(next, to, -10)).toEqual(yes);
      await fixture.participant.rollback(next);
    });

    test("a commit and a roll back that were acknowledged survive a crash", async () => {
      const to = account();
      const committed = ref();
      const marked = ref();
      await prepare(committed, to, 5);
      expect(await fixture.participant.commit(committed)).toEqual(done);
      expect(await fixture.participant.rollback(marked)).toEqual(done);
      await fixture.crash();
      expect(await fixture.balance(to)).toBe(5);
      expect(await fixture.participant.commit(committed)).toEqual(done);
      expect(await prepare(committed, to, 5)).toEqual(yes);
      expectNo(await prepare(marked, to, 5));
      expect(await fixture.participant.listInDoubt()).toEqual([]);
      expect(await fixture.balance(to)).toBe(5);
    });

    test("a prepare of an epoch below the highest seen is refused, also after a crash; votes given and decisions are not", async () => {
      const to = account();
      const other = account();
      const branch = ref();
      const doomed = ref();
      expect(await prepare(branch, to, 5, 8)).toEqual(yes);
      expect(await prepare(doomed, other, 5, 9)).toEqual(yes);
      expectNo(await prepare(ref(), account(), 1, 8));
      expect(await prepare(branch, to, 5, 8)).toEqual(yes);
      await fixture.crash();
      expectNo(await prepare(ref(), account(), 1, 8));
      expect(await fixture.participant.commit(branch)).toEqual(done);
      expect(await fixture.participant.rollback(doomed)).toEqual(done);
      expect([await fixture.balance(to), await fixture.balance(other)]).toEqual([5, 0]);
    });
    // The epoch is 9 from here on.
    const later = 9;

    test("what the cluster forgot takes no new work, and what is held below the floor still obeys", async (context) => {
      const { forgetBelow } = fixture.participant;
      if (forgetBelow === undefined) return context.skip("it keeps its rows for ever");
      const forget = (floorMs: number): Promise<void> => forgetBelow.call(fixture.participant, floorMs);
      // Transactions of another time, so that the floor stays below those of the other tests.
      const at = (timeMs: number): BranchRef => ref(newGid(timeMs, random));
      const to = account();
      const held = account();
      const [committed, rolledBack, inDoubtStill, late, above] = [at(1000), at(1001), at(1002), at(1003), at(2000)];
      await prepare(committed, to, 5, later);
      await fixture.participant.commit(committed);
      await fixture.participant.rollback(rolledBack);
      expect(await prepare(inDoubtStill, held, 3, later)).toEqual(yes);
      await forget(2000);
      await forget(2000);
      await forget(1500);
      expectNo(await prepare(late, to, 5, later));
      expectNo(await prepare(rolledBack, to, 5, later));
      // Whether its row is gone or not: a late commit of a forgotten branch was acknowledged before.
      expect(await fixture.participant.commit(committed)).toEqual(done);
      expect(await fixture.participant.rollback(late)).toEqual(done);
      await fixture.crash();
      expectNo(await prepare(late, to, 5, later));
      expect(await fixture.participant.commit(inDoubtStill)).toEqual(done);
      expect(await prepare(above, to, 1, later)).toEqual(yes);
      expect(await fixture.participant.commit(above)).toEqual(done);
      expect([await fixture.balance(to), await fixture.balance(held)]).toEqual([6, 3]);
      await forget(2500);
      await forget(2501);
      expect(await fixture.participant.commit(inDoubtStill)).toEqual(done);
      expect([await fixture.balance(to), await fixture.balance(held)]).toEqual([6, 3]);
    });

    describe("brought branches", () => {
      type Opened = { readonly participant: BroughtParticipant<Handle>; readonly work: NonNullable<ParticipantFixture<Handle>["brought"]> };
      const opened = (context: TestContext): Opened => {
        const { participant, brought } = fixture;
        expect(brought !== undefined).toBe(participant.manifest.brought);
        if (brought === undefined) context.skip("it does not take brought branches");
        return { participant: participant as BroughtParticipant<Handle>, work: brought };
      };

      test("are prepared by the client, voted on again by the participant, and committed by it", async (context) => {
        const it = opened(context);
        const to = account();
        const branch = ref();
        const held = await it.participant.begin(branch);
        await it.work.add(held.handle, to, 5);
        expect(await it.work.read(held.handle, to)).toBe(5);
        expect(await held.prepare()).toEqual(yes);
        expect(await held.prepare()).toEqual(yes);
        expect(await inDoubt(branch)).toBe(true);
        expect(await it.participant.prepare(request(branch, new Uint8Array(), later))).toEqual(yes);
        await expect(it.work.read(held.handle, to)).rejects.toMatchObject({ code: "QUORATE_WRONG_STATE" });
        await fixture.crash();
        expect(await fixture.participant.commit(branch)).toEqual(done);
        expect(await fixture.participant.commit(branch)).toEqual(done);
        expect(await fixture.balance(to)).toBe(5);
      });

      test("are given up by the client before and after they are prepared", async (context) => {
        const it = opened(context);
        const to = account();
        const before = await it.participant.begin(ref());
        await it.work.add(before.handle, to, 5);
        await before.rollback();
        await before.rollback();
        expectNo(await before.prepare());
        const branch = ref();
        const after = await it.participant.begin(branch);
        await it.work.add(after.handle, to, 5);
        expect(await after.prepare()).toEqual(yes);
        await after.rollback();
        await after.rollback();
        expect(await inDoubt(branch)).toBe(false);
        expect(await it.participant.rollback(branch)).toEqual(done);
        expect(await fixture.balance(to)).toBe(0);
      });

      test("that were rolled back by the cluster can no longer be prepared", async (context) => {
        const it = opened(context);
        const to = account();
        const branch = ref();
        const held = await it.participant.begin(branch);
        await it.work.add(held.handle, to, 5);
        expect(await it.participant.rollback(branch)).toEqual(done);
        expectNo(await held.prepare());
        expect(await inDoubt(branch)).toBe(false);
        expect(await fixture.balance(to)).toBe(0);
      });

      test("that only read vote read-only and leave nothing to settle", async (context) => {
        const it = opened(context);
        if (!it.participant.manifest.readOnlyVote) context.skip("it does not vote read-only");
        const to = account();
        const branch = ref();
        const held = await it.participant.begin(branch);
        expect(await it.work.read(held.handle, to)).toBe(0);
        expect(await held.prepare()).toEqual({ vote: "read-only", detail: "" });
        expect(await inDoubt(branch)).toBe(false);
      });

      test("that were never prepared vote no when the cluster asks", async (context) => {
        const it = opened(context);
        const branch = ref();
        const held = await it.participant.begin(branch);
        await it.work.add(held.handle, account(), 5);
        expectNo(await it.participant.prepare(request(branch, new Uint8Array(), later)));
        await held.rollback();
      });
    });

    test("at the end nothing is in doubt, and a closed participant takes no calls", async () => {
      expect(await fixture.participant.listInDoubt()).toEqual([]);
      await fixture.participant.close();
      await fixture.participant.close();
      await expect(fixture.participant.commit(ref())).rejects.toMatchObject({ code: "QUORATE_CLOSED" });
      await expect(prepare(ref(), account(), 1)).rejects.toMatchObject({ code: "QUORATE_CLOSED" });
    });
  });
  describeOnePhase(name, make);
}
