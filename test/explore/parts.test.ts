/**
 * The parts of the explorer: what makes two states one, replayed steps, and the search itself.
 */
import { describe, expect, test } from "vitest";
import { createCoordinator } from "../../src/coordinator/index.js";
import { Automaton, heapText, search, Violation } from "../../src/explore/index.js";
import type { Move, World } from "../../src/explore/index.js";
import { createStateMachine } from "../../src/txn/index.js";
import { OPTIONS } from "../coordinator/desk.js";

describe("the text of a state", () => {
  test("tells a shared object from an equal copy, and follows cycles", () => {
    const shared = { n: 1 };
    expect(heapText([shared, shared])).not.toBe(heapText([{ n: 1 }, { n: 1 }]));
    const cycle: { self?: unknown } = {};
    cycle.self = cycle;
    expect(heapText(cycle)).toBe("{self=^0,}");
  });

  test("tells apart what behaves differently", () => {
    const different: readonly (readonly [unknown, unknown])[] = [
      [0, -0],
      ["1", 1],
      [undefined, null],
      [[], {}],
      [[undefined], []],
      [new Map([[1, 2]]), new Map([[2, 1]])],
      [new Set([1, 2]), new Set([2, 1])],
      [Uint8Array.of(1, 2), Uint8Array.of(0x12)],
      [new Map(), new Set()],
    ];
    for (const [a, b] of different) expect(heapText(a)).not.toBe(heapText(b));
  });

  test("refuses what it cannot see into", () => {
    expect(() => heapText({ call: () => 1 })).toThrow("not declared");
    expect(() => heapText(new Map().values())).toThrow("shows nothing");
    const state = createStateMachine();
    const driver = createCoordinator(
      state,
      OPTIONS,
      () => 0,
      () => 0,
    );
    expect(() => heapText(driver)).toThrow("LeaderDriver that shows nothing");
  });
});

describe("an automaton", () => {
  test("gives equal states one number and makes each step once", () => {
    let steps = 0;
    const automaton = new Automaton<number, number>(() => {
      let sum = 0;
      return {
        step: (input) => {
          steps++;
          if (input < 0) throw new Error("negative");
          sum = (sum + input) % 3;
          return sum;
        },
        text: () => String(sum),
      };
    });
    const two = automaton.step(automaton.initial, "+2", 2);
    const four = automaton.step(two.kind === "to" ? two.state : -1, "+2", 2);
    const one = automaton.step(automaton.initial, "+1", 1);
    expect(four).toEqual(one);
    const before = steps;
    expect(automaton.step(automaton.initial, "+1", 1)).toEqual(one);
    expect(steps).toBe(before);
    expect(automaton.step(automaton.initial, "-1", -1)).toEqual({ kind: "threw", message: "negative" });
    expect(automaton.size).toBe(3);
  });
});

/** Two counters up to `top`; `bad` names a state that breaks the rule. */
class Counters implements World<readonly [number, number]> {
  readonly name = "counters";
  readonly #top: number;
  readonly #bad: string;

  constructor(top: number, bad: string) {
    this.#top = top;
    this.#bad = bad;
  }

  initial(): readonly [number, number] {
    return [0, 0];
  }

  key(state: readonly [number, number]): string {
    return state.join(",");
  }

  moves([a, b]: readonly [number, number]): readonly Move<readonly [number, number]>[] {
    const moves: Move<readonly [number, number]>[] = [];
    if (a < this.#top) moves.push({ label: "a", take: () => [a + 1, b] });
    if (b < this.#top) moves.push({ label: "b", take: () => [a, b + 1] });
    return moves;
  }

  check(state: readonly [number, number]): Violation | undefined {
    return this.key(state) === this.#bad ? new Violation("bad") : undefined;
  }

  checkEnd(state: readonly [number, number]): Violation | undefined {
    return this.#bad === "end" ? new Violation(`ends in ${this.key(state)}`) : undefined;
  }

  marks([a, b]: readonly [number, number]): readonly string[] {
    return a === b ? ["equal"] : [];
  }
}

describe("the search", () => {
  const all = { statesMax: 1000, depthMax: Infinity };

  test("reaches every state once", () => {
    const result = search(new Counters(3, ""), all);
    expect(result).toMatchObject({ states: 16, moves: 24, exhausted: true, ends: 1, violation: undefined });
    expect(result.marks.get("equal")).toBe(4);
  });

  test("shows a shortest trace to what is wrong", () => {
    const { violation, exhausted } = search(new Counters(3, "2,1"), all);
    expect(exhausted).toBe(false);
    expect(violation?.trace.toSorted()).toEqual(["a", "a", "b"]);
    expect(search(new Counters(1, "end"), all).violation).toMatchObject({ message: "ends in 1,1", trace: ["a", "b"] });
  });

  test("says when it left something out", () => {
    expect(search(new Counters(3, ""), { statesMax: 5, depthMax: Infinity }).exhausted).toBe(false);
    expect(search(new Counters(3, ""), { statesMax: 1000, depthMax: 2 })).toMatchObject({ exhausted: false, states: 6 });
  });
});
