import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { majorityConnected } from "../../jepsen-like/analysis/majority.js";

const FIVE = [1, 2, 3, 4, 5];

describe("a majority is connected", () => {
  test("when all are up and reach each other, and not when more than a minority is down", () => {
    expect(majorityConnected(FIVE, FIVE, () => true)).toBe(true);
    expect(majorityConnected(FIVE, [1, 3, 5], () => true)).toBe(true);
    expect(majorityConnected(FIVE, [1, 5], () => true)).toBe(false);
    expect(majorityConnected([1, 2, 3, 4], [1, 2], () => true)).toBe(false);
  });

  test("not in a ring of five, where everybody reaches a majority and no majority reaches itself", () => {
    const neighbours = (a: number, b: number): boolean => [1, 4].includes(Math.abs(a - b));
    expect(majorityConnected(FIVE, FIVE, neighbours)).toBe(false);
  });

  test("exactly when some subset of more than half is a clique", () => {
    const edges = fc.array(fc.boolean(), { minLength: 25, maxLength: 25 });
    fc.assert(
      fc.property(edges, fc.subarray(FIVE), (matrix, up) => {
        const connected = (a: number, b: number): boolean => matrix[Math.min(a, b) * 5 + Math.max(a, b) - 6] === true;
        let found = false;
        for (let bits = 0; bits < 32; bits++) {
          const group = FIVE.filter((node, i) => ((bits >> i) & 1) === 1 && up.includes(node));
          if (group.length >= 3 && group.every((a) => group.every((b) => a === b || connected(a, b)))) found = true;
        }
        expect(majorityConnected(FIVE, up, connected)).toBe(found);
      }),
    );
  });
});
