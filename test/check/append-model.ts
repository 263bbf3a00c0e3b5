/**
 * Random small histories of transactions over lists, and the answer by trying every order there is.
 */
import fc from "fast-check";
import type { AppendStep, AppendTransaction } from "../../src/check/index.js";

/** True when some order of the committed transactions, and of any of the unknown ones, respects real time and gives these reads. */
export function someOrderFits(transactions: readonly AppendTransaction[]): boolean {
  const go = (left: readonly AppendTransaction[], state: ReadonlyMap<string, readonly string[]>): boolean => {
    if (left.every(({ type }) => type === "info")) return true;
    const firstReturn = Math.min(...left.map((transaction) => transaction.return));
    return left.some((transaction, index) => {
      if (transaction.call > firstReturn) return false;
      const next = run(transaction, state);
      return next !== undefined && go([...left.slice(0, index), ...left.slice(index + 1)], next);
    });
  };
  return go(
    transactions.filter(({ type }) => type !== "fail"),
    new Map(),
  );
}

function run(
  { steps }: AppendTransaction,
  state: ReadonlyMap<string, readonly string[]>,
): ReadonlyMap<string, readonly string[]> | undefined {
  const next = new Map(state);
  for (const step of steps) {
    const list = next.get(step.key) ?? [];
    if (step.f === "append") next.set(step.key, [...list, step.value]);
    else if (step.values !== undefined && step.values.join(" ") !== list.join(" ")) return undefined;
  }
  return next;
}

const plannedStep = fc.record({ read: fc.boolean(), key: fc.constantFrom("x", "y") });
const planned = fc.record({
  steps: fc.array(plannedStep, { minLength: 1, maxLength: 3 }),
  /** Where in the serial order it ran, and how far its interval reaches from there. */
  at: fc.integer({ min: 0, max: 1000 }),
  early: fc.nat(400),
  late: fc.nat(400),
  fate: fc.constantFrom("ok", "ok", "ok", "ok", "info", "fail"),
  /** An unknown transaction may have happened. */
  happened: fc.boolean(),
  process: fc.nat(2),
});
const damage = fc.record({
  kind: fc.constantFrom("none", "drop", "swap", "stale", "extra", "late", "skew"),
  which: fc.nat(20),
  by: fc.nat(600),
});

/** Histories of up to `size` transactions: run in some order, most of them damaged a little afterwards. */
export function smallHistories(size: number): fc.Arbitrary<readonly AppendTransaction[]> {
  return fc.tuple(fc.array(planned, { minLength: 1, maxLength: size }), fc.array(damage, { maxLength: 5 })).map(([plans, damages]) => {
    let value = 0;
    const state = new Map<string, readonly string[]>();
    const inOrder = plans.map((plan, index) => ({ ...plan, index })).sort((a, b) => a.at - b.at || a.index - b.index);
    const done = inOrder.map(({ steps, at, early, late, fate, happened, process, index }): AppendTransaction => {
      const takes = fate === "ok" || (fate === "info" && happened);
      const seen = new Map(state);
      const told = steps.map(({ read, key }): AppendStep => {
        const list = seen.get(key) ?? [];
        if (read) return { f: "read", key, values: fate === "ok" ? list : undefined };
        const step: AppendStep = { f: "append", key, value: String(++value) };
        seen.set(key, [...list, step.value]);
        return step;
      });
      if (takes) for (const [key, list] of seen) state.set(key, list);
      const [call, end] = [(at - early) * 20 + index, (at + late) * 20 + 10 + index];
      // Overlapping transactions are of different processes.
      return { id: index, process: index * 3 + process, type: fate, call, return: fate === "info" ? Infinity : end, steps: told };
    });
    return damages.reduce<readonly AppendTransaction[]>(harm, done);
  });
}

function harm(
  transactions: readonly AppendTransaction[],
  { kind, which, by }: { kind: string; which: number; by: number },
): AppendTransaction[] {
  const victim = which % transactions.length;
  return transactions.map((transaction, index) => {
    if (index !== victim) return transaction;
    const { call, return: end } = transaction;
    if (kind === "late") return { ...transaction, call: call + by * 20, return: end + by * 20 };
    if (kind === "skew") return { ...transaction, call: call - by * 20, return: Math.max(call - by * 20 + 1, end - by * 20) };
    const steps = transaction.steps.map((step): AppendStep => {
      if (step.f !== "read" || step.values === undefined) return step;
      const { values } = step;
      if (kind === "drop") return { ...step, values: values.slice(1) };
      if (kind === "stale") return { ...step, values: values.slice(0, -1) };
      if (kind === "swap") return { ...step, values: [...values].reverse() };
      if (kind === "extra") return { ...step, values: [...values, String(1 + (by % 6))] };
      return step;
    });
    return { ...transaction, steps };
  });
}
