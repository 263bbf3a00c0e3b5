import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Prng } from "../../src/base/index.js";
import { nodeId, type NodeId } from "../../src/index.js";
import { majorityConnected } from "../../jepsen-like/analysis/majority.js";
import { ruleset } from "../../jepsen-like/net/namespace-layout.js";
import { cutBetween, grudgesBetween, oneWay, type Grudge } from "../../jepsen-like/net/network.js";
import { SHAPES, type Shape } from "../../jepsen-like/net/shapes.js";
import { COMPOSITIONS, compositionNamed, SHAPES_ALONE } from "../../jepsen-like/run.js";

const nodesOf = (count: number): readonly NodeId[] => Array.from({ length: count }, (_, i) => nodeId(i + 1));
const shape = (name: string): Shape => SHAPES.find((each) => each.name === name) ?? expect.unreachable(name);
const links = (grudges: readonly Grudge[]): readonly string[] => grudges.map(({ from, to }) => `${from}>${to}`).sort();
const reaches =
  (grudges: readonly Grudge[]) =>
  (a: NodeId, b: NodeId): boolean =>
    !grudgesBetween(grudges, a, b);

const worlds = fc.record({
  count: fc.constantFrom(3, 5),
  leader: fc.integer({ min: 1, max: 3 }),
  seed: fc.string(),
});

/** Each shape with each world that it fits. */
function everywhere(check: (each: Shape, nodes: readonly NodeId[], leader: NodeId, grudges: readonly Grudge[]) => void): void {
  fc.assert(
    fc.property(worlds, ({ count, leader, seed }) => {
      for (const each of SHAPES.filter(({ nodesMin }) => nodesMin <= count)) {
        const nodes = nodesOf(count);
        check(each, nodes, nodeId(leader), each.cut(nodes, nodeId(leader), new Prng(seed)));
      }
    }),
  );
}

describe("every shape", () => {
  test("breaks something, names each direction once, and nobody's way to himself", () => {
    everywhere((each, _nodes, _leader, grudges) => {
      expect(grudges.length, each.name).toBeGreaterThan(0);
      expect(new Set(links(grudges)).size, each.name).toBe(grudges.length);
      for (const { from, to } of grudges) expect(from).not.toBe(to);
    });
  });

  test("leaves a majority connected, but the lossy one, which leaves nobody whole", () => {
    everywhere((each, nodes, _leader, grudges) => {
      // A ring of five is the shape in which each sees a majority and no three see each other.
      const expected = each.name !== "lossy" && each.name !== "majorities-ring";
      expect(majorityConnected(nodes, nodes, reaches(grudges)), each.name).toBe(expected);
    });
  });

  test("that is to move the leader leaves it without a majority in one direction at least", () => {
    everywhere((each, nodes, leader, grudges) => {
      if (!each.movesLeader) return;
      const whole = nodes.filter((node) => node === leader || reaches(grudges)(leader, node));
      expect(whole.length, each.name).toBeLessThanOrEqual(nodes.length / 2);
    });
  });

  test("has one line, and a run of its own under its name", () => {
    for (const { name, summary } of SHAPES) {
      expect(summary).not.toContain("\n");
      expect(compositionNamed(name)?.summary).toContain(summary);
    }
    const names = [...COMPOSITIONS, ...SHAPES_ALONE].map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
  });
});

test("one way is one way", () => {
  const nodes = nodesOf(3);
  expect(links(shape("one-way-out").cut(nodes, nodeId(2), new Prng(1)))).toEqual(["2>1", "2>3"]);
  expect(links(shape("one-way-in").cut(nodes, nodeId(2), new Prng(1)))).toEqual(["1>2", "3>2"]);
});

test("in the ring each hears two neighbours, so each sees a majority, and no two the same one", () => {
  const nodes = nodesOf(5);
  const grudges = shape("majorities-ring").cut(nodes, nodeId(1), new Prng("ring"));
  const seen = nodes.map((node) => nodes.filter((other) => other === node || reaches(grudges)(node, other)).join());
  for (const each of seen) expect(each.split(",").length).toBe(3);
  expect(new Set(seen).size).toBe(5);
});

test("over the bridge each half has its own majority, and only one node is in both", () => {
  const nodes = nodesOf(5);
  const grudges = shape("bridge").cut(nodes, nodeId(1), new Prng("bridge"));
  const hears = (node: NodeId): readonly NodeId[] => nodes.filter((other) => reaches(grudges)(node, other));
  expect(nodes.map((node) => hears(node).length).sort()).toEqual([3, 3, 3, 3, 5]);
});

describe("the rules of the switch", () => {
  test("name the ports of both segments on which nodes ask each other, and count what they drop and what they let pass", () => {
    const rules = ruleset([...oneWay([nodeId(1)], [nodeId(2)]), ...oneWay(["participants"], [nodeId(3)], 30)]);
    expect(rules.split("\n").filter((line) => line.includes("counter"))).toEqual([
      '    iifname "n1-p" oifname "n2-p" counter drop comment "drop 0"',
      '    iifname "n1-p" oifname "n2-p" counter accept comment "pass 0"',
      '    iifname "n1-c" oifname "n2-c" counter drop comment "drop 0"',
      '    iifname "n1-c" oifname "n2-c" counter accept comment "pass 0"',
      '    iifname "harness-b" oifname "n3-b" numgen random mod 100 < 30 counter drop comment "drop 1"',
      '    iifname "harness-b" oifname "n3-b" counter accept comment "pass 1"',
    ]);
  });

  test("cut both ways between two groups, each pair once", () => {
    expect(links(cutBetween([nodeId(1)], nodesOf(3)))).toEqual(["1>2", "1>3", "2>1", "3>1"]);
  });
});
