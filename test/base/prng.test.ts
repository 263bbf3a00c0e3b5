import { expect, test } from "vitest";
import { Prng } from "../../src/base/index.js";

test("the same seed gives the same stream, close seeds do not", () => {
  const stream = (seed: number): number[] => {
    const prng = new Prng(seed);
    return Array.from({ length: 50 }, () => prng.uint32());
  };
  expect(stream(7)).toEqual(stream(7));
  expect(stream(7)).not.toEqual(stream(8));
});

test("integers stay inside their bounds and reach both ends; a shuffle loses nothing", () => {
  const prng = new Prng("bounds");
  const seen = new Set(Array.from({ length: 1000 }, () => prng.int(3, 6)));
  expect([...seen].sort()).toEqual([3, 4, 5, 6]);
  expect(prng.shuffle([1, 2, 3, 4, 5]).sort()).toEqual([1, 2, 3, 4, 5]);
});

test("bits are balanced", () => {
  const prng = new Prng("balance");
  let ones = 0;
  for (let i = 0; i < 10_000; i++) for (let word = prng.uint32(); word !== 0; word &= word - 1) ones++;
  // 320,000 fair bits: six standard deviations are 1,697.
  expect(Math.abs(ones - 160_000)).toBeLessThan(1_700);
});
