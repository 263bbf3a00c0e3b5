import { describe, expect, test } from "vitest";
import { NewWork, newWorkShare, NoRoomError } from "../../src/participant/new-work.js";

test.each([
  [1, 1],
  [2, 1],
  [4, 3],
  [10, 8],
  [20, 15],
  [Infinity, Infinity],
  [undefined, 8],
])("of a pool of %j connections new work takes %d at most", (limit, share) => {
  expect(newWorkShare(limit)).toBe(share);
});

describe("new work", () => {
  const LONG_MS = 60_000;
  /** Work that goes on until it is told to end. */
  const load = (): { started: string[]; ends: Map<string, () => void>; work: (name: string) => () => Promise<string> } => {
    const started: string[] = [];
    const ends = new Map<string, () => void>();
    return {
      started,
      ends,
      work: (name) => async () => {
        started.push(name);
        await new Promise<void>((resolve) => ends.set(name, resolve));
        return name;
      },
    };
  };
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  test("begins in the order of its arrival, as much at once as there is room for, of all participants on one pool together", async () => {
    const { started, ends, work } = load();
    const pool = {};
    const [one, other] = [new NewWork(pool, 3, LONG_MS), new NewWork(pool, 3, LONG_MS)];
    const [a, b, c, d] = [one.run(work("a")), other.run(work("b")), other.run(work("c")), one.run(work("d"))];
    await turn();
    expect(started).toEqual(["a", "b"]);
    ends.get("b")?.();
    expect(await b).toBe("b");
    await turn();
    expect(started).toEqual(["a", "b", "c"]);
    ends.get("a")?.();
    ends.get("c")?.();
    expect(await Promise.all([a, c])).toEqual(["a", "c"]);
    await turn();
    ends.get("d")?.();
    expect(await d).toBe("d");
    // The turns have all come back: two can run again.
    const again = [one.run(work("e")), other.run(work("f"))];
    await turn();
    expect(started.slice(4)).toEqual(["e", "f"]);
    for (const name of ["e", "f"]) ends.get(name)?.();
    await Promise.all(again);
  });

  test("that fails makes room for the next", async () => {
    const room = new NewWork({}, 1, LONG_MS);
    const failing = room.run(() => Promise.reject(new Error("no")));
    const next = room.run(() => Promise.resolve("done"));
    await expect(failing).rejects.toThrow("no");
    expect(await next).toBe("done");
    expect(await room.run(() => Promise.resolve("done"))).toBe("done");
  });

  test("waits for a bounded time, never begins afterwards, and loses nobody's turn", async () => {
    const { started, ends, work } = load();
    const room = new NewWork({}, 1, 20);
    const first = room.run(work("a"));
    await expect(room.run(work("b"))).rejects.toThrow("no connection was free for new work within 20 ms");
    ends.get("a")?.();
    await first;
    await turn();
    expect(started).toEqual(["a"]);
    expect(await room.run(() => Promise.resolve("done"))).toBe("done");
  });

  test("is not needed for what is known already; that is asked only where there is no room", async () => {
    const { ends, work } = load();
    const room = new NewWork({}, 1, LONG_MS);
    const known = (): Promise<string> => Promise.resolve("known");
    expect(await room.run(() => Promise.resolve("done"), known)).toBe("done");
    const first = room.run(work("a"));
    expect(await room.run(() => Promise.resolve("done"), known)).toBe("known");
    const later = room.run(
      () => Promise.resolve("done"),
      () => Promise.resolve(undefined),
    );
    await turn();
    ends.get("a")?.();
    await first;
    expect(await later).toBe("done");
  });

  test("that waits when its participant is closed is given up, and that of others on the pool goes on", async () => {
    const { ends, work } = load();
    const pool = {};
    const [one, other] = [new NewWork(pool, 1, LONG_MS), new NewWork(pool, 1, LONG_MS)];
    const first = one.run(work("a"));
    const given = expect(one.run(work("b"))).rejects.toBeInstanceOf(NoRoomError);
    const stays = other.run(() => Promise.resolve("done"));
    one.close();
    await given;
    await expect(one.run(() => Promise.resolve("done"))).rejects.toBeInstanceOf(NoRoomError);
    ends.get("a")?.();
    expect(await Promise.all([first, stays])).toEqual(["a", "done"]);
  });
});
