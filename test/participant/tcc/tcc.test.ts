import { describe, expect, test } from "vitest";
import { gid, QuorateError } from "../../../src/base/index.js";
import { tcc, TccRefusal } from "../../../src/participant/index.js";
import type { TccBarrier, TccBarrierCall, TccCall, TccOptions } from "../../../src/participant/index.js";

const REF = { gid: gid("q-018bcfe568007000800000000000beef"), branch: "seat" };
const WORK = Uint8Array.of(1, 2);

function functions(calls: TccCall[] = []): TccOptions {
  const note = (call: TccCall): void => void calls.push(call);
  return { name: "seats", try: note, confirm: note, cancel: note };
}

describe("three functions as a participant", () => {
  test("prepare is try, commit is confirm, roll back is cancel, each told whose it is", async () => {
    const calls: TccCall[] = [];
    const seats = tcc(functions(calls));
    await seats.start("cluster-1");
    expect(await seats.prepare({ ...REF, payload: WORK, epoch: 7, kind: "tcc" })).toEqual({ vote: "yes", detail: "" });
    expect(await seats.commit({ ...REF, kind: "tcc", epoch: 8 })).toEqual({ kind: "done" });
    expect(await seats.rollback(REF)).toEqual({ kind: "done" });
    const told = { ...REF, participant: "seats", cluster: "cluster-1" };
    expect(calls).toEqual([
      { ...told, phase: "try", epoch: 7, payload: WORK },
      { ...told, phase: "confirm", epoch: 8, payload: new Uint8Array(0) },
      { ...told, phase: "cancel", epoch: 0, payload: new Uint8Array(0) },
    ]);
    expect(seats.manifest).toMatchObject({ asked: true, brought: true, kinds: ["tcc"] });
  });

  test("a refusal is a no with its words; any other error of a try could not tell", async () => {
    const sold = tcc({ ...functions(), try: () => Promise.reject(new TccRefusal("sold out")) });
    expect(await sold.prepare({ ...REF, payload: WORK, epoch: 1 })).toEqual({ vote: "no", detail: "sold out" });
    const down = new Error("connection refused");
    const broken = tcc({ ...functions(), try: () => Promise.reject(down), confirm: () => Promise.reject(down) });
    await expect(broken.prepare({ ...REF, payload: WORK, epoch: 1 })).rejects.toBe(down);
    await expect(broken.commit(REF)).rejects.toBe(down);
  });

  test.each([
    [{ ...functions(), name: "Seats!" }, "name"],
    [{ ...functions(), confirm: undefined }, "confirm must be a function, got undefined"],
    [{ ...functions(), barrier: 5 }, "barrier must have a call()"],
  ])("options that cannot be are refused by name", (options, words) => {
    const make = (): unknown => tcc(options as unknown as TccOptions);
    expect(make).toThrow(QuorateError);
    expect(make).toThrow(words);
  });
});

describe("behind a barrier", () => {
  /** Remembers what was done, in memory. */
  class Barrier implements TccBarrier<string> {
    readonly rows = new Map<string, string>();
    readonly told: TccBarrierCall[] = [];

    async call(call: TccBarrierCall, fn: (handle: string) => Promise<unknown>): ReturnType<TccBarrier["call"]> {
      this.told.push(call);
      const key = `${call.gid}/${call.branch}`;
      const row = this.rows.get(key);
      if (call.phase === "try" && row === "cancel") return { kind: "refused", detail: "cancelled before" };
      if (row === call.phase) return { kind: "duplicate" };
      if (call.phase === "cancel" && row === "confirm")
        throw Object.assign(new Error("confirmed before"), { heuristic: "committed" as const });
      await fn("the transaction");
      this.rows.set(key, call.phase);
      return { kind: "done" };
    }
  }

  test("the functions get its handle, and run once", async () => {
    const barrier = new Barrier();
    const ran: string[] = [];
    const note = (call: TccCall, handle: string): void => void ran.push(`${call.phase} in ${handle}`);
    const seats = tcc({ name: "seats", try: note, confirm: note, cancel: note, barrier });
    await seats.start("cluster-1");
    const request = { ...REF, payload: WORK, epoch: 3 };
    expect([await seats.prepare(request), await seats.prepare(request)].map(({ vote }) => vote)).toEqual(["yes", "yes"]);
    await seats.commit(REF);
    await seats.commit(REF);
    expect(ran).toEqual(["try in the transaction", "confirm in the transaction"]);
    expect(barrier.told[0]).toEqual({ ...REF, phase: "try", epoch: 3, participant: "seats", cluster: "cluster-1" });
  });

  test("a try that comes after its cancel is a no, and what contradicts the decision is said", async () => {
    const seats = tcc({ ...functions(), barrier: new Barrier() } as unknown as TccOptions);
    await seats.rollback(REF);
    expect(await seats.prepare({ ...REF, payload: WORK, epoch: 1 })).toEqual({ vote: "no", detail: "cancelled before" });
    const other = { ...REF, branch: "meal" };
    await seats.prepare({ ...other, payload: WORK, epoch: 1 });
    await seats.commit(other);
    expect(await seats.rollback(other)).toEqual({ kind: "heuristic", outcome: "committed", detail: "confirmed before" });
  });

  test.each(["committed", "rolled-back", "mixed", "hazard"] as const)(
    "%s, said by the barrier, is an answer and not a failure",
    async (outcome) => {
      const call = (): Promise<never> => Promise.reject(Object.assign(new Error("contradicts"), { heuristic: outcome }));
      const seats = tcc({ ...functions(), barrier: { call } } as unknown as TccOptions);
      expect(await seats.commit(REF)).toEqual({ kind: "heuristic", outcome, detail: "contradicts" });
    },
  );

  test("an error of a function inside it comes out as it is", async () => {
    const down = new TccRefusal("no seats left");
    const seats = tcc({ ...functions(), try: () => Promise.reject(down), barrier: new Barrier() } as unknown as TccOptions);
    expect(await seats.prepare({ ...REF, payload: WORK, epoch: 1 })).toEqual({ vote: "no", detail: "no seats left" });
  });
});
