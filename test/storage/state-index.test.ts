import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PackedEntries } from "../../src/storage/packed-entries.js";
import { StateDigest, StateIndex } from "../../src/storage/state-index.js";

const key = fc.oneof(
  fc.integer({ min: 0, max: 60 }).map((n) => `k${n}`),
  fc.string({ maxLength: 12 }),
);
const step = fc.record({ key, value: fc.option(fc.uint8Array({ maxLength: 20 }), { nil: undefined }) });

/** The digest of exactly these entries, from nothing. */
function digestOf(entries: Iterable<readonly [string, Uint8Array]>): { count: number; digest: string } {
  const digest = new StateDigest();
  for (const [each, value] of entries) digest.include(each, value);
  return { count: digest.count, digest: digest.digest };
}

describe("the state's index", () => {
  test("after any sets and deletes has the count and digest of what is left, in any order", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
        const index = new StateIndex();
        const model = new Map<string, Uint8Array>();
        for (const { key: each, value } of steps) {
          if (value === undefined) {
            index.delete(each);
            model.delete(each);
          } else {
            index.set(each, value);
            model.set(each, value);
          }
        }
        expect({ count: index.count, digest: index.digest }).toEqual(digestOf([...model].reverse()));
      }),
      { numRuns: 300 },
    );
  });

  test("returns to the empty digest when everything is removed again, through growth and shrinking", () => {
    const index = new StateIndex();
    const empty = index.digest;
    for (let i = 0; i < 50_000; i++) index.set(`key ${i}`, Uint8Array.of(i & 255));
    expect(index.count).toBe(50_000);
    for (let i = 49_999; i >= 0; i--) index.delete(`key ${i}`);
    expect({ count: index.count, digest: index.digest }).toEqual({ count: 0, digest: empty });
  });

  test("tells apart any two states that differ in one key, value or pairing", () => {
    fc.assert(
      fc.property(key, key, fc.uint8Array({ maxLength: 20 }), fc.uint8Array({ maxLength: 20 }), (a, b, v, w) => {
        const different = a !== b && Buffer.compare(v, w) !== 0;
        fc.pre(different);
        const states = [
          [
            [a, v],
            [b, w],
          ],
          [
            [a, w],
            [b, v],
          ],
          [[a, v]],
          [[b, v]],
          [[a, w]],
          [],
        ] as [string, Uint8Array][][];
        expect(new Set(states.map((state) => JSON.stringify(digestOf(state)))).size).toBe(states.length);
      }),
    );
  });
});

test("packed entries come back as they went in", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.string(), fc.oneof(fc.uint8Array({ maxLength: 50 }), fc.constantFrom(new Uint8Array(1_100_000))))),
      (pairs) => {
        const packed = new PackedEntries();
        for (const [each, value] of pairs) packed.add(each, value);
        const out = [...packed];
        expect(out.length).toBe(pairs.length);
        for (const [i, { key: each, value }] of out.entries()) {
          expect(each).toBe(pairs[i]?.[0]);
          expect(Buffer.compare(value ?? new Uint8Array(1), pairs[i]?.[1] ?? new Uint8Array(2))).toBe(0);
        }
      },
    ),
    { numRuns: 50 },
  );
});
