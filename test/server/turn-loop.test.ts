import { describe, expect, test } from "vitest";
import { TurnLoop } from "../../src/server/turn-loop.js";

const turn = () => new Promise((resolve) => setImmediate(resolve));

function recorded(wakeAt: () => number = () => Infinity) {
  const log: string[] = [];
  const loop: TurnLoop = new TurnLoop({
    now: () => performance.now(),
    tick: () => void log.push("tick"),
    flush: () => {
      log.push("flush");
      return wakeAt();
    },
    onFatal: (error) => void log.push(`fatal ${String(error)}`),
  });
  return { log, loop };
}

describe("turn loop", () => {
  test("everything of one turn is one flush", async () => {
    const { log, loop } = recorded();
    loop.start();
    for (let i = 0; i < 5; i++) loop.input(() => void log.push(`input ${i}`));
    await turn();
    await turn();
    expect(log).toEqual(["input 0", "input 1", "input 2", "input 3", "input 4", "flush"]);
    loop.stop();
  });

  test("before the start inputs are taken and nothing goes out", async () => {
    const { log, loop } = recorded();
    loop.input(() => void log.push("input"));
    await turn();
    await turn();
    expect(log).toEqual(["input"]);
    loop.start();
    await turn();
    await turn();
    expect(log).toEqual(["input", "flush"]);
    loop.stop();
  });

  test("ticks at the time the flush asked for, and only when it asked", async () => {
    let asked = 1;
    const { log, loop } = recorded(() => (asked-- > 0 ? performance.now() + 5 : Infinity));
    loop.start();
    await expect.poll(() => log).toEqual(["flush", "tick", "flush"]);
    loop.stop();
  });

  test("a backlog is worked off a turn at a time, and what arrives comes in between", async () => {
    let left = 2;
    const { log, loop } = recorded(() => (left-- > 0 ? -Infinity : Infinity));
    loop.start();
    setImmediate(() => setImmediate(() => loop.input(() => void log.push("input"))));
    for (let i = 0; i < 5; i++) await turn();
    expect(log.filter((entry) => entry === "flush")).toHaveLength(3);
    expect(log.indexOf("input")).toBeLessThan(log.lastIndexOf("flush"));
    expect(log.filter((entry) => entry === "tick")).toHaveLength(2);
    loop.stop();
  });

  test("an earlier wish replaces a later timer", async () => {
    const wishes = [60_000, 5];
    const { log, loop } = recorded(() => performance.now() + (wishes.shift() ?? Infinity));
    loop.start();
    await turn();
    await turn();
    loop.wake();
    await expect.poll(() => log.filter((entry) => entry === "tick")).toHaveLength(1);
    loop.stop();
  });

  test("a throw inside an input or a flush is fatal and ends everything", async () => {
    const { log, loop } = recorded();
    loop.start();
    loop.input(() => {
      throw new Error("broken");
    });
    await turn();
    loop.input(() => void log.push("never"));
    await turn();
    expect(log).toEqual(["fatal Error: broken"]);
    expect(loop.stopped).toBe(true);
  });
});
