/**
 * Work that waits for a prepared branch's lock, on a pool with as many connections as there are such waiters: the decision that frees the
 * lock must get through before the waiters give up.
 */
import { expect } from "vitest";
import { newGid, Prng } from "../../src/base/index.js";
import type { BranchRef, Participant } from "../../src/participant/index.js";

/** `payload` writes one row that all branches want; `waits` resolves with how many sessions of the server wait for a lock. */
export async function decisionsGetThrough(participant: Participant, payload: Uint8Array, waits: () => Promise<number>): Promise<void> {
  const random = new Prng("small-pool").uint32;
  const [holder, first, second] = [0, 1, 2].map((): BranchRef => ({ gid: newGid(Date.now(), random), branch: "b1" })) as [
    BranchRef,
    BranchRef,
    BranchRef,
  ];
  const prepare = (of: BranchRef) => participant.prepare({ ...of, payload, epoch: 1 });
  expect(await prepare(holder)).toMatchObject({ vote: "yes" });
  const votes = [first, second].map(prepare);
  await expect.poll(waits, { timeout: 5_000, interval: 10 }).toBeGreaterThan(0);
  // A new leader asks again: that must not wait for the work that waits for this very branch.
  expect(await prepare(holder)).toMatchObject({ vote: "yes" });
  expect(await participant.commit(holder)).toEqual({ kind: "done" });
  // In either order.
  const next = await Promise.race(votes.map((vote, i) => vote.then((result) => [i, result] as const)));
  expect(next[1]).toMatchObject({ vote: "yes" });
  const [now, later] = next[0] === 0 ? [first, second] : [second, first];
  expect(await participant.commit(now)).toEqual({ kind: "done" });
  expect(await Promise.all(votes)).toMatchObject([{ vote: "yes" }, { vote: "yes" }]);
  expect(await participant.rollback(later)).toEqual({ kind: "done" });
}
