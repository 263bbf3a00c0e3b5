import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { chartSvg, shortNumber, yScale, yTicks } from "../../src/bench/svg-chart.js";

const chart = {
  title: 'Rate & "load" <1>',
  xTitle: "requests in flight",
  panels: [
    {
      title: "operations a second",
      series: [
        {
          name: "writes",
          points: [
            { x: 1, y: 1000 },
            { x: 64, y: 20_000 },
            { x: 1024, y: 80_000 },
          ],
        },
        {
          name: "transactions",
          points: [
            { x: 1, y: 245 },
            { x: 64, y: undefined },
            { x: 1024, y: 8700 },
          ],
        },
      ],
    },
    { title: "99th percentile, ms", series: [{ name: "writes", points: [{ x: 1, y: 2.3 }] }] },
  ],
};

/** Every element is closed, in order: what a browser insists on. */
function assertWellFormed(svg: string): void {
  const open: string[] = [];
  for (const [, closing, name = "", empty] of svg.matchAll(/<(\/?)([a-zA-Z]+)(?:\s+[\w:-]+="[^"<]*")*\s*(\/?)>/g)) {
    if (closing === "/") expect(open.pop()).toBe(name);
    else if (empty !== "/") open.push(name);
  }
  expect(open).toEqual([]);
  expect(svg.replace(/<[^<>]*>/g, "")).not.toMatch(/[<>]/);
}

describe("a chart", () => {
  const svg = chartSvg(chart);

  test("is one well-formed SVG that needs nothing from elsewhere", () => {
    assertWellFormed(svg);
    expect(svg.startsWith('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ')).toBe(true);
    expect(svg).not.toMatch(/href|url\(|<style|<script/);
    expect(svg).toContain("Rate &amp; &quot;load&quot; &lt;1&gt;");
  });

  test("names its axes and series, and draws every measured point once", () => {
    for (const text of ["requests in flight", "operations a second (logarithmic)", "99th percentile, ms", "writes", "transactions"])
      expect(svg).toContain(`>${text}<`);
    expect(svg.match(/<circle/g)).toHaveLength(6);
    expect(svg).toContain("<title>writes: 1024, 80k</title>");
    expect(svg).not.toMatch(/NaN|undefined|Infinity/);
  });

  test("higher values are drawn higher, larger x further right", () => {
    const circles = [...svg.matchAll(/<circle cx="([\d.]+)" cy="([\d.]+)"/g)].map((match) => [Number(match[1]), Number(match[2])] as const);
    const [a, b, c] = circles;
    expect(a?.[0]).toBeLessThan(b?.[0] ?? 0);
    expect(b?.[0]).toBeLessThan(c?.[0] ?? 0);
    expect(a?.[1]).toBeGreaterThan(b?.[1] ?? 0);
    expect(b?.[1]).toBeGreaterThan(c?.[1] ?? 0);
  });

  test("stays whole with one point, with none, and with nothing above zero", () => {
    const panel = (points: readonly { readonly x: number; readonly y: number | undefined }[]) => ({
      title: "y",
      series: [{ name: "s", points }],
    });
    for (const points of [[], [{ x: 5, y: 0 }], [{ x: 5, y: undefined }]]) {
      const drawn = chartSvg({ title: "t", xTitle: "x", panels: [panel(points)] });
      assertWellFormed(drawn);
      expect(drawn).not.toMatch(/NaN|undefined|Infinity/);
    }
  });
});

test("marks of the y axis are few, even, begin at 0 and reach the highest value", () => {
  fc.assert(
    fc.property(fc.double({ min: 0.001, max: 1e7, noNaN: true }), (max) => {
      const marks = yTicks(max);
      expect(marks[0]).toBe(0);
      expect(marks.at(-1)).toBeGreaterThanOrEqual(max * (1 - 1e-5));
      expect(marks.length).toBeLessThanOrEqual(6);
      expect(marks.length).toBeGreaterThanOrEqual(2);
    }),
  );
});

describe("the y axis", () => {
  test("begins at 0 while the values are of one size", () => {
    const { marks, logarithmic, share } = yScale([20, 100, 400]);
    expect({ marks, logarithmic }).toEqual({ marks: [0, 100, 200, 300, 400], logarithmic: false });
    expect([0, 100, 400].map(share)).toEqual([0, 0.25, 1]);
  });

  test("is logarithmic, and says so, when they are orders of magnitude apart", () => {
    const { marks, logarithmic, share } = yScale([0, 245, 80_000]);
    expect({ marks, logarithmic }).toEqual({ marks: [100, 1000, 10_000, 100_000], logarithmic: true });
    expect([0, 100, 100_000].map(share)).toEqual([0, 0, 1]);
    expect(share(1000)).toBeCloseTo(1 / 3);
    const drawn = chartSvg(chart);
    expect(drawn).toContain(">operations a second (logarithmic)<");
    expect(drawn).toContain(">99th percentile, ms<");
  });
});

test("numbers of an axis are short", () => {
  expect([0, 0.25, 17, 999, 1000, 1024, 15_500, 1_000_000].map(shortNumber)).toEqual([
    "0",
    "0.25",
    "17",
    "999",
    "1k",
    "1.02k",
    "15.5k",
    "1M",
  ]);
});
