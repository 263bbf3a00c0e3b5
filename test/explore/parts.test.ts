/**
 * The parts of the explorer: what makes two states one, replayed steps, and the search itself.
 */
import { describe, expect, test } from "vitest";
import { createCoordinator } from "../../src/coordinator/index.js";
import { Automaton, heapText, looseText, Rows, search, Violation } from "../../src/explore/index.js";
import type { Move, Row, World } from "../../src/explore/index.js";
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

describe("the loose text of a state", () => {
  const loose = { omitted: new Set(["shown"]), ordered: new Set(["queue"]) };
  const text = (root: unknown): string => looseText(root, new Map(), loose);

  test("takes no notice of the order of maps and sets, of sharing, and of what is left out", () => {
    const shared = { n: 1 };
    const same: readonly (readonly [unknown, unknown])[] = [
      [
        new Map([
          ["a", 1],
          ["b", 2],
        ]),
        new Map([
          ["b", 2],
          ["a", 1],
        ]),
      ],
      [{ of: new Set([1, 2]) }, { of: new Set([2, 1]) }],
      [
        [shared, shared],
        [{ n: 1 }, { n: 1 }],
      ],
      [
        { shown: 1, n: 2 },
        { shown: 3, n: 2 },
      ],
    ];
    for (const [a, b] of same) {
      expect(text(a)).toBe(text(b));
      expect(heapText(a)).not.toBe(heapText(b));
    }
  });

  test("keeps every order that is named, the order of lists, and follows cycles", () => {
    expect(text({ queue: new Set([1, 2]) })).not.toBe(text({ queue: new Set([2, 1]) }));
    expect(text([1, 2])).not.toBe(text([2, 1]));
    const cycle: { self?: unknown } = {};
    cycle.self = cycle;
    expect(text(cycle)).toBe("{self=^0,}");
  });
});

describe("rows", () => {
  test("are told apart by every number, and keep their places", () => {
    const rows = new Rows(3);
    const all: Row[] = [];
    for (let a = 0; a < 60; a++) for (let b = -30; b < 30; b++) for (let c = 0; c < 60; c++) all.push([a, b, c * 0x100_0000]);
    expect(all.every((row, place) => rows.add(row) === ~place)).toBe(true);
    expect(all.every((row, place) => rows.add(row) === place)).toBe(true);
    expect(rows.size).toBe(all.length);
    expect(rows.at(70_000)).toEqual(all[70_000]);
    for (const number of [2 ** 31, 0.5, NaN]) expect(() => rows.add([1, 2, number])).toThrow(RangeError);
  });
});

describe("an automaton", () => {
  test("gives equal states one number and makes each step once", () => {
    let steps = 0;
    const automaton = new Automaton<number, number, number>(() => {
      let sum = 0;
      return {
        step: (input) => {
          steps++;
          if (input < 0) throw new Error("negative");
          sum = (sum + input) % 3;
          return sum;
        },
        text: () => String(sum),
        looseText: () => String(sum),
        view: () => sum,
      };
    });
    const two = automaton.step(automaton.initial, 2, () => 2);
    const four = automaton.step(two.kind === "to" ? two.state : -1, 2, () => 2);
    const one = automaton.step(automaton.initial, 1, () => 1);
    expect(four).toEqual(one);
    const before = steps;
    expect(automaton.step(automaton.initial, 1, () => 1)).toEqual(one);
    expect(steps).toBe(before);
    expect(automaton.step(automaton.initial, 3, () => -1)).toEqual({ kind: "threw", message: "negative" });
    expect(automaton.size).toBe(3);
    expect(automaton.view(four.kind === "to" ? four.state : -1)).toBe(1);
  });

  /** Remembers a list of inputs; its loose text forgets the order. `first` is what shows the order after all. */
  const remembering = (first: (list: readonly number[]) => number): Automaton<number, number, number> =>
    new Automaton<number, number, number>(() => {
      const list: number[] = [];
      return {
        step: (input) => {
          const output = input === 0 ? first(list) : 0;
          if (input > 0) list.push(input);
          return output;
        },
        text: () => list.join(" "),
        looseText: () => [...list].sort().join(" "),
        view: () => list.length,
      };
    });
  const afterBoth = (automaton: Automaton<number, number, number>, inputs: readonly number[]): number => {
    let state = automaton.initial;
    for (const input of inputs) {
      const step = automaton.step(state, input, () => input);
      if (step.kind === "to") state = step.state;
    }
    return state;
  };

  test("takes states of one loose text for one when every step shows that they are", () => {
    const automaton = remembering((list) => list.length);
    expect(afterBoth(automaton, [1, 2, 0])).toBe(afterBoth(automaton, [2, 1, 0]));
    expect(automaton.size).toBe(4);
  });

  test("ends the search when a step tells such states apart, whichever came first", () => {
    const early = remembering((list) => list[0] ?? 0);
    afterBoth(early, [1, 2, 0]);
    expect(() => afterBoth(early, [2, 1])).toThrow("two states were taken for one and are not");
    const late = remembering((list) => list[0] ?? 0);
    afterBoth(late, [1, 2]);
    afterBoth(late, [2, 1]);
    expect(() => afterBoth(late, [1, 2, 0])).toThrow("two states were taken for one and are not");
  });
});

/** Two counters up to `top`; `bad` names a state that breaks the rule. */
class Counters implements World {
  readonly name = "counters";
  readonly width = 2;
  readonly happened = new Map<string, number>();
  readonly #top: number;
  readonly #bad: string;

  constructor(top: number, bad: string) {
    this.#top = top;
    this.#bad = bad;
  }

  initial(): Row {
    return [0, 0];
  }

  moves([a = 0, b = 0]: Row): readonly Move[] {
    const moves: Move[] = [];
    if (a < this.#top) moves.push({ label: () => "a", take: () => [a + 1, b] });
    if (b < this.#top) moves.push({ label: () => "b", take: () => [a, b + 1] });
    return moves;
  }

  check(state: Row): Violation | undefined {
    return state.join() === this.#bad ? new Violation("bad") : undefined;
  }

  checkEnd(state: Row): Violation | undefined {
    return this.#bad === "end" ? new Violation(`ends in ${state.join()}`) : undefined;
  }

  marks([a, b]: Row): readonly string[] {
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
