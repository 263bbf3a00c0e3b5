import { describe, expect, test } from "vitest";
import { NewWork, newWorkShare, WithdrawnError } from "../../src/participant/new-work.js";

test.each([
  [1, 1],
  [2, 1],
  [4, 3],
  [10, 8],
  [20, 15],
  [Infinity, Infinity],
  [undefined, 8],
  ["many", 8],
])("of a pool of %j connections new work takes %d at most", (limit, share) => {
  expect(newWorkShare(limit)).toBe(share);
});

describe("new work", () => {
  /** Work that goes on until it is told to end. */
  const started: string[] = [];
  const ends = new Map<string, () => void>();
  const work = (name: string) => async (): Promise<string> => {
    started.push(name);
    await new Promise<void>((resolve) => ends.set(name, resolve));
    return name;
  };
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  test("begins in the order of its arrival, as many at once as there is room for; what is withdrawn before its turn never begins", async () => {
    const room = new NewWork(2);
    const [a, b, c, d, e] = ["a", "b", "c", "d", "e"].map((name) => room.run(name, work(name))) as Promise<string>[];
    const withdrawn = expect(c).rejects.toBeInstanceOf(WithdrawnError);
    await turn();
    expect(started).toEqual(["a", "b"]);
    room.withdraw("c");
    // It runs already: to be rolled back, not withdrawn.
    room.withdraw("a");
    await withdrawn;
    ends.get("b")?.();
    expect(await b).toBe("b");
    await turn();
    expect(started).toEqual(["a", "b", "d"]);
    ends.get("a")?.();
    ends.get("d")?.();
    expect(await Promise.all([a, d])).toEqual(["a", "d"]);
    await turn();
    ends.get("e")?.();
    expect(await e).toBe("e");
    expect(started).toEqual(["a", "b", "d", "e"]);
  });

  test("that fails makes room for the next", async () => {
    const room = new NewWork(1);
    const failing = room.run("a", () => Promise.reject(new Error("no")));
    const next = room.run("b", () => Promise.resolve("done"));
    await expect(failing).rejects.toThrow("no");
    expect(await next).toBe("done");
    expect(await room.run("c", () => Promise.resolve("done"))).toBe("done");
  });
});
