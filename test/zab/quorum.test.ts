import fc from "fast-check";
import { expect, test } from "vitest";
import { nodeId, zxid, type NodeId } from "../../src/base/index.js";
import type { Configuration, Membership } from "../../src/zab/index.js";
import { isQuorum, isVoter, reachedByQuorum, sameConfiguration, votersOf } from "../../src/zab/quorum.js";

function membership(ids: readonly number[], observers: readonly number[] = [], version = zxid(0, 0)): Membership {
  const member = (id: number, role: "voter" | "observer") => ({ id: nodeId(id), peerAddress: "a:1", clientAddress: "a:2", role });
  return { version, members: [...ids.map((id) => member(id, "voter")), ...observers.map((id) => member(id, "observer"))] };
}

const someIds = fc.uniqueArray(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 7 });
const configurations: fc.Arbitrary<Configuration> = fc
  .record({ current: someIds, next: fc.option(someIds) })
  .map(({ current, next }) => ({ current: membership(current), next: next === null ? undefined : membership(next) }));
const subsets = fc.uniqueArray(fc.integer({ min: 1, max: 9 }));

test("any two quorums of one configuration share a voter, during a change of it too", () => {
  fc.assert(
    fc.property(configurations, subsets, subsets, (configuration, a, b) => {
      fc.pre(isQuorum(configuration, (id) => a.includes(id)) && isQuorum(configuration, (id) => b.includes(id)));
      expect(a.some((id) => b.includes(id) && isVoter(configuration, nodeId(id)))).toBe(true);
    }),
    { numRuns: 2000 },
  );
});

test("a quorum of one configuration shares a voter with every quorum of the joint one that follows it", () => {
  fc.assert(
    fc.property(someIds, someIds, subsets, subsets, (current, next, a, b) => {
      const before: Configuration = { current: membership(current), next: undefined };
      const joint: Configuration = { current: membership(current), next: membership(next) };
      fc.pre(isQuorum(before, (id) => a.includes(id)) && isQuorum(joint, (id) => b.includes(id)));
      expect(a.some((id) => b.includes(id))).toBe(true);
    }),
    { numRuns: 2000 },
  );
});

test("half is not a quorum", () => {
  const four: Configuration = { current: membership([1, 2, 3, 4]), next: undefined };
  expect(isQuorum(four, (id) => id <= 2)).toBe(false);
  expect(isQuorum(four, (id) => id <= 3)).toBe(true);
  const none: Configuration = { current: membership([]), next: undefined };
  expect(isQuorum(none, () => true)).toBe(false);
});

test("observers never count", () => {
  const configuration: Configuration = { current: membership([1, 2, 3], [4, 5, 6, 7]), next: undefined };
  expect(isQuorum(configuration, (id) => id !== 1 && id !== 2)).toBe(false);
  expect(votersOf(configuration)).toEqual([1, 2, 3]);
  expect(isVoter(configuration, nodeId(4))).toBe(false);
});

test("the value reached by a quorum is the highest that a quorum supports", () => {
  fc.assert(
    fc.property(configurations, fc.array(fc.integer({ min: 0, max: 20 }), { minLength: 10, maxLength: 10 }), (configuration, values) => {
      const valueOf = (id: NodeId): number => values[id] ?? 0;
      const reached = reachedByQuorum(configuration, valueOf);
      expect(isQuorum(configuration, (id) => valueOf(id) >= reached)).toBe(true);
      expect(isQuorum(configuration, (id) => valueOf(id) > reached)).toBe(false);
    }),
  );
});

test("a removed node's value does not count for the next membership", () => {
  const joint: Configuration = { current: membership([1, 2, 3]), next: membership([3, 4, 5]) };
  const values: Record<number, number> = { 1: 9, 2: 9, 3: 9, 4: 1, 5: 2 };
  expect(reachedByQuorum(joint, (id) => values[id] ?? 0)).toBe(2);
});

test("memberships are the same when the entries that introduced them are", () => {
  const a: Configuration = { current: membership([1], [], zxid(1, 5)), next: undefined };
  const b: Configuration = { current: membership([1], [], zxid(1, 6)), next: undefined };
  expect(sameConfiguration(a, { ...a })).toBe(true);
  expect(sameConfiguration(a, b)).toBe(false);
  expect(sameConfiguration(a, { ...a, next: b.current })).toBe(false);
});
