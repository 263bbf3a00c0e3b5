import fc from "fast-check";
import { expect, test } from "vitest";
import { compareZxid, equalZxid, formatZxid, maxZxid, minZxid, parseZxid, zxid, type Zxid } from "../../src/base/index.js";

const anyZxid: fc.Arbitrary<Zxid> = fc
  .tuple(fc.integer({ min: 0, max: 0xffffffff }), fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }))
  .map(([epoch, counter]) => zxid(epoch, counter));

test("the order is total, and the epoch outweighs any counter", () => {
  fc.assert(
    fc.property(anyZxid, anyZxid, anyZxid, (a, b, c) => {
      expect(Math.sign(compareZxid(a, b))).toBe(-Math.sign(compareZxid(b, a)) + 0);
      if (compareZxid(a, b) <= 0 && compareZxid(b, c) <= 0) expect(compareZxid(a, c)).toBeLessThanOrEqual(0);
      expect(compareZxid(a, b) === 0).toBe(equalZxid(a, b));
      expect(compareZxid(minZxid(a, b), maxZxid(a, b))).toBeLessThanOrEqual(0);
    }),
  );
  expect(compareZxid(zxid(2, 1), zxid(1, Number.MAX_SAFE_INTEGER))).toBeGreaterThan(0);
});

test("text and value are the same thing", () => {
  fc.assert(
    fc.property(anyZxid, (z) => {
      expect(parseZxid(formatZxid(z))).toEqual(z);
    }),
  );
  for (const bad of ["", "1", "1:", ":1", "-1:2", "1:2:3", "4294967296:1", "1:9007199254740993"]) expect(parseZxid(bad)).toBeUndefined();
});
