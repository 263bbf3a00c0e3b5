import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { LockTable, type LockOwner } from "../../../src/participant/kv/locks.js";

class Owner implements LockOwner {
  readonly age: string;
  readonly label: string;
  answer: string | undefined;
  constructor(age: string) {
    this.age = age;
    this.label = `t${age}`;
  }
  onGranted: () => void = () => undefined;
  granted(): void {
    expect(this.answer).toBeUndefined();
    this.answer = "granted";
    this.onGranted();
  }
  refused(detail: string): void {
    expect(this.answer).toBeUndefined();
    this.answer = detail;
  }
}

const shared = (key: string) => ({ key, exclusive: false });
const exclusive = (key: string) => ({ key, exclusive: true });

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("locks", () => {
  const table = () => new LockTable({ waitMs: 1000, youngerWaitMs: 50 });

  test("are shared by readers and not with a writer", () => {
    const locks = table();
    const [a, b, writer] = [new Owner("1"), new Owner("2"), new Owner("0")];
    locks.acquire(a, [shared("k")]);
    locks.acquire(b, [shared("k")]);
    locks.acquire(writer, [exclusive("k")]);
    expect([a.answer, b.answer, writer.answer]).toEqual(["granted", "granted", undefined]);
    locks.release(a);
    expect(writer.answer).toBeUndefined();
    locks.release(b);
    expect(writer.answer).toBe("granted");
    expect(locks.waiting).toBe(0);
  });

  test("are granted in the order of asking: readers do not pass a writer that waits", () => {
    const locks = table();
    const [holder, writer, reader] = [new Owner("3"), new Owner("2"), new Owner("1")];
    locks.acquire(holder, [shared("k")]);
    locks.acquire(writer, [exclusive("k")]);
    locks.acquire(reader, [shared("k")]);
    expect(reader.answer).toBeUndefined();
    locks.release(holder);
    expect([writer.answer, reader.answer]).toEqual(["granted", undefined]);
    locks.release(writer);
    expect(reader.answer).toBe("granted");
  });

  test("an older transaction waits up to waitMs, a younger one gives way after youngerWaitMs", () => {
    const locks = table();
    const [holder, older, younger] = [new Owner("5"), new Owner("4"), new Owner("6")];
    locks.acquire(holder, [exclusive("k")]);
    locks.acquire(younger, [exclusive("k")]);
    locks.acquire(older, [exclusive("k")]);
    vi.advanceTimersByTime(49);
    expect([younger.answer, older.answer]).toEqual([undefined, undefined]);
    vi.advanceTimersByTime(1);
    expect(younger.answer).toBe('lock conflict on key "k": held by the older transaction t5, gave way after 50 ms');
    vi.advanceTimersByTime(949);
    expect(older.answer).toBeUndefined();
    vi.advanceTimersByTime(1);
    expect(older.answer).toBe('lock conflict on key "k": held by t5, no lock within 1000 ms');
    locks.release(holder);
    expect(locks.waiting).toBe(0);
  });

  test("a branch does not wait long for another branch of its own transaction, which waits for it", () => {
    const locks = table();
    const [first, second] = [new Owner("1"), new Owner("1")];
    locks.acquire(first, [exclusive("k")]);
    locks.acquire(second, [shared("k")]);
    vi.advanceTimersByTime(50);
    expect(second.answer).toBe('lock conflict on key "k": held by another branch of the same transaction, t1, gave way after 50 ms');
  });

  test("whoever gives way lets those behind it pass", () => {
    const locks = table();
    const [holder, writer, reader] = [new Owner("5"), new Owner("6"), new Owner("4")];
    locks.acquire(holder, [shared("k")]);
    locks.acquire(writer, [exclusive("k")]);
    locks.acquire(reader, [shared("k")]);
    expect(reader.answer).toBeUndefined();
    vi.advanceTimersByTime(50);
    expect([writer.answer === "granted", reader.answer]).toEqual([false, "granted"]);
  });

  test("a refused branch holds nothing of what it had", () => {
    const locks = table();
    const [holder, both, other] = [new Owner("1"), new Owner("2"), new Owner("3")];
    locks.acquire(holder, [exclusive("b")]);
    locks.acquire(both, [exclusive("a"), exclusive("b")]);
    vi.advanceTimersByTime(50);
    expect(both.answer).toMatch(/key "b"/);
    locks.acquire(other, [exclusive("a")]);
    expect(other.answer).toBe("granted");
  });

  test("a deadlock between two participants ends within youngerWaitMs, and the older transaction survives", () => {
    const [here, there] = [table(), table()];
    const old = { here: new Owner("1"), there: new Owner("1") };
    const young = { here: new Owner("2"), there: new Owner("2") };
    here.acquire(old.here, [exclusive("k")]);
    there.acquire(young.there, [exclusive("k")]);
    here.acquire(young.here, [exclusive("k")]);
    there.acquire(old.there, [exclusive("k")]);
    expect([old.there.answer, young.here.answer]).toEqual([undefined, undefined]);
    vi.advanceTimersByTime(50);
    expect(young.here.answer).toMatch(/older transaction/);
    // Its vote of no aborts it, and it lets go of what it held.
    there.release(young.there);
    expect(old.there.answer).toBe("granted");
  });

  test("thousands in one queue that fail one after the other do not grow the stack", () => {
    const locks = new LockTable({ waitMs: 1000, youngerWaitMs: 1000 });
    const holder = new Owner("0");
    locks.acquire(holder, [exclusive("k")]);
    const queue = Array.from({ length: 20_000 }, (_, i) => new Owner(String(i + 1)));
    for (const owner of queue) {
      owner.onGranted = () => locks.release(owner);
      locks.acquire(owner, [exclusive("k")]);
    }
    locks.release(holder);
    expect(queue.every((owner) => owner.answer === "granted")).toBe(true);
    expect(locks.waiting).toBe(0);
  });

  test("whatever is asked and released, no two hold what excludes the other, and everybody is answered", () => {
    const wants = fc
      .uniqueArray(fc.record({ key: fc.constantFrom("a", "b", "c"), exclusive: fc.boolean() }), {
        minLength: 1,
        selector: (want) => want.key,
      })
      .map((list) => list.sort((a, b) => (a.key < b.key ? -1 : 1)));
    const step = fc.oneof(
      fc.record({ kind: fc.constant("acquire" as const), wants, age: fc.nat(99) }),
      fc.record({ kind: fc.constant("release" as const), which: fc.nat(99) }),
      fc.record({ kind: fc.constant("wait" as const), ms: fc.integer({ min: 1, max: 400 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const locks = table();
        const live: { owner: Owner; wants: readonly { key: string; exclusive: boolean }[] }[] = [];
        const check = () => {
          const holders = live.filter(({ owner }) => owner.answer === "granted");
          for (const key of ["a", "b", "c"]) {
            const on = holders.flatMap((each) => each.wants.filter((want) => want.key === key));
            if (on.some((want) => want.exclusive)) expect(on.length).toBe(1);
          }
        };
        for (const each of steps) {
          if (each.kind === "acquire") {
            const owner = new Owner(String(each.age).padStart(2, "0"));
            live.push({ owner, wants: each.wants });
            locks.acquire(owner, each.wants);
          } else if (each.kind === "release") {
            const [gone] = live.splice(each.which % Math.max(1, live.length), 1);
            if (gone !== undefined) locks.release(gone.owner);
          } else vi.advanceTimersByTime(each.ms);
          check();
        }
        vi.advanceTimersByTime(10_000);
        check();
        for (const { owner } of live) expect(owner.answer).toBeDefined();
        for (const { owner } of live) locks.release(owner);
        const last = new Owner("99");
        locks.acquire(last, [exclusive("a"), exclusive("b"), exclusive("c")]);
        expect(last.answer).toBe("granted");
        expect(locks.waiting).toBe(0);
      }),
    );
  });
});
