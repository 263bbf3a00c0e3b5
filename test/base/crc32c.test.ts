import fc from "fast-check";
import { expect, test } from "vitest";
import { crc32c } from "../../src/base/index.js";

/** Bit by bit from the polynomial: slow and obviously right. */
function reference(bytes: Uint8Array): number {
  let c = 0xffffffff;
  for (const byte of bytes) {
    c ^= byte;
    for (let k = 0; k < 8; k++) c = (c & 1) === 1 ? (c >>> 1) ^ 0x82f63b78 : c >>> 1;
  }
  return ~c >>> 0;
}

test("the published check value", () => {
  expect(crc32c(new TextEncoder().encode("123456789"))).toBe(0xe3069283);
});

test("agrees with the definition on any bytes, whole or continued at any cut", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(), (bytes, at) => {
      const cut = bytes.length === 0 ? 0 : at % bytes.length;
      expect(crc32c(bytes)).toBe(reference(bytes));
      expect(crc32c(bytes, cut, bytes.length, crc32c(bytes, 0, cut))).toBe(reference(bytes));
    }),
  );
});

test("every single flipped bit of a record is noticed", () => {
  const bytes = Uint8Array.from({ length: 64 }, (_, i) => (i * 37) & 0xff);
  const good = crc32c(bytes);
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const bad = bytes.slice();
    bad[bit >> 3] = (bad[bit >> 3] as number) ^ (1 << (bit & 7));
    expect(crc32c(bad)).not.toBe(good);
  }
});
