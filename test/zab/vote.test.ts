import fc from "fast-check";
import { expect, test } from "vitest";
import { nodeId, zxid } from "../../src/base/index.js";
import type { ElectionVote } from "../../src/zab/index.js";
import { compareVotes } from "../../src/zab/vote.js";

const votes: fc.Arbitrary<ElectionVote> = fc
  .record({ leader: fc.integer({ min: 1, max: 4 }), epoch: fc.nat(3), e: fc.nat(3), c: fc.nat(3) })
  .map(({ leader, epoch, e, c }) => ({ leader: nodeId(leader), epoch, zxid: zxid(e, c) }));
const sign = (n: number): number => Math.sign(n);

test("the order of votes is total: antisymmetric, transitive, and equal only for the same vote", () => {
  fc.assert(
    fc.property(votes, votes, votes, (a, b, c) => {
      expect(sign(compareVotes(a, b)) + sign(compareVotes(b, a))).toBe(0);
      if (compareVotes(a, b) >= 0 && compareVotes(b, c) >= 0) expect(compareVotes(a, c)).toBeGreaterThanOrEqual(0);
      expect(compareVotes(a, b) === 0).toBe(JSON.stringify(a) === JSON.stringify(b));
    }),
    { numRuns: 3000 },
  );
});

test("currentEpoch outranks the zxid, and the zxid outranks the id", () => {
  const vote = (leader: number, epoch: number, z: readonly [number, number]): ElectionVote => ({
    leader: nodeId(leader),
    epoch,
    zxid: zxid(...z),
  });
  expect(compareVotes(vote(1, 3, [1, 5]), vote(3, 2, [2, 9]))).toBeGreaterThan(0);
  expect(compareVotes(vote(1, 3, [3, 6]), vote(3, 3, [3, 5]))).toBeGreaterThan(0);
  expect(compareVotes(vote(1, 3, [3, 1]), vote(3, 3, [2, 900]))).toBeGreaterThan(0);
  expect(compareVotes(vote(3, 3, [3, 5]), vote(1, 3, [3, 5]))).toBeGreaterThan(0);
});

test("an empty epoch gives no zxid: the node with real entries of an older epoch wins at equal currentEpoch (ZOOKEEPER-2832)", () => {
  const led: ElectionVote = { leader: nodeId(3), epoch: 2, zxid: zxid(1, 4) };
  const tail: ElectionVote = { leader: nodeId(1), epoch: 2, zxid: zxid(1, 5) };
  expect(compareVotes(tail, led)).toBeGreaterThan(0);
});
