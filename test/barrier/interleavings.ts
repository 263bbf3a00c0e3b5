/** Random calls in random order from several instances, against a model of a few lines and against what must hold in the end. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { BarrierHazard, type BarrierCall, type BarrierPhase } from "../../src/barrier/index.js";
import { INSTANCES, nameOf, newCall, settled, type BarrierFixture } from "./fixture.js";

const RUNS = 12;

/** One branch as a coordinator treats it. Delays in ms; the list's length is how many copies of the message arrive. */
interface Plan {
  readonly tries: readonly number[];
  /** Copies that were on their way for so long that the decision came first. */
  readonly lateTries: readonly number[];
  readonly decision: "confirm" | "cancel";
  /** Abort without waiting for a vote, as at a timeout. */
  readonly impatient: boolean;
  readonly decisions: readonly number[];
}

const delays = (minLength: number): fc.Arbitrary<number[]> => fc.array(fc.nat(12), { minLength, maxLength: 3 });
const plan: fc.Arbitrary<Plan> = fc.record({
  tries: delays(0),
  lateTries: delays(0),
  decision: fc.constantFrom("confirm", "cancel"),
  impatient: fc.boolean(),
  decisions: delays(1),
});

export function describeInterleavings(fixture: () => BarrierFixture): void {
  test("duplicated and reordered calls: one effect of a committed branch, none of a cancelled one, never a reserve left over", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(plan, { minLength: 2, maxLength: 5 }), fc.nat(), async (plans, seed) => {
        const at = fixture();
        const before = await at.total();
        const runs = await Promise.all(plans.map((each, i) => drive(at, each, seed + i)));
        let effects = 0;
        for (const { call, committed } of runs) {
          const [tried = 0, confirmed, cancelled = 0] = await Promise.all(
            (["try", "confirm", "cancel"] as const).map((phase) => at.count(nameOf({ ...call, phase }))),
          );
          if (committed) expect([tried, confirmed, cancelled]).toEqual([1, 1, 0]);
          else expect([tried <= 1, confirmed, cancelled]).toEqual([true, 0, tried]);
          effects += tried + (confirmed ?? 0) + cancelled;
          // Settled for good: whatever else arrives changes nothing.
          expect((await settled(() => at.call({ ...call, phase: "try" }))).kind).toBe(committed ? "duplicate" : "refused");
        }
        expect(await at.total()).toBe(before + effects);
      }),
      { numRuns: RUNS },
    );
  });

  test("any sequence of calls is answered as the model answers it", async () => {
    const step = fc.record({
      phase: fc.constantFrom<BarrierPhase[]>("try", "confirm", "cancel", "once"),
      which: fc.nat(1),
      instance: fc.nat(INSTANCES - 1),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 14 }), async (steps) => {
        const at = fixture();
        const calls = [newCall("try"), newCall("try")] as const;
        const models = [new Model(), new Model()] as const;
        for (const { phase, which, instance } of steps) {
          const call: BarrierCall = { ...(calls[which] ?? calls[0]), phase };
          const said = await settled(() => at.call(call, { instance })).then(
            ({ kind }) => kind,
            (error: unknown) => (error instanceof BarrierHazard ? error.heuristic : String(error)),
          );
          expect(said).toBe((models[which] ?? models[0]).answer(phase));
        }
      }),
      { numRuns: RUNS },
    );
  });
}

/** Plays the coordinator for one branch. Whether it was committed. */
async function drive(at: BarrierFixture, each: Plan, seed: number): Promise<{ readonly call: BarrierCall; readonly committed: boolean }> {
  const call = newCall("try");
  let n = seed;
  const send = async (phase: BarrierPhase, delayMs: number): Promise<string> => {
    const instance = n++ % INSTANCES;
    await new Promise((resolve) => setTimeout(resolve, delayMs));
    return (await settled(() => at.call({ ...call, phase }, { instance }))).kind;
  };
  const tries = each.tries.map((delayMs) => send("try", delayMs));
  const committed = each.decision === "confirm" && tries.length > 0 && !each.impatient;
  // A commit needs the vote; what else is under way stays so.
  if (committed) expect(["done", "duplicate"]).toContain(await Promise.race(tries));
  const rest = [
    ...tries,
    ...each.lateTries.map((delayMs) => send("try", delayMs)),
    ...each.decisions.map((delayMs) => send(committed ? "confirm" : "cancel", delayMs)),
  ];
  const answers = await Promise.all(rest);
  if (committed) expect(answers).not.toContain("refused");
  return { call, committed };
}

class Model {
  #tried = false;
  #once = false;
  #end: "confirm" | "cancel" | undefined;

  answer(phase: BarrierPhase): string {
    if (phase === "once") {
      const answer = this.#once ? "duplicate" : "done";
      this.#once = true;
      return answer;
    }
    if (phase === "try") {
      if (this.#end === "cancel") return "refused";
      const answer = this.#tried ? "duplicate" : "done";
      this.#tried = true;
      return answer;
    }
    if (phase === "confirm") {
      if (this.#end === "confirm") return "duplicate";
      if (this.#end === "cancel") return "rolled-back";
      if (!this.#tried) return "hazard";
      this.#end = "confirm";
      return "done";
    }
    if (this.#end === "confirm") return "committed";
    const answer = this.#end === "cancel" ? "duplicate" : "done";
    this.#end = "cancel";
    return answer;
  }
}
