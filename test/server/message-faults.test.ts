import { describe, expect, test } from "vitest";
import { Prng } from "../../src/base/index.js";
import { PLAIN_ABILITIES } from "../../src/coordinator/index.js";
import type { BranchCall, BranchReply } from "../../src/coordinator/index.js";
import { Failpoints, parseFailpoints } from "../../src/server/failpoints.js";
import { MESSAGE_POINTS, MessageFaults } from "../../src/server/message-faults.js";
import type { ClientServerHandlers } from "../../src/transport/index.js";

/** Time that a test moves on by hand. */
function faults(rules: string) {
  const failpoints = new Failpoints({ kill: () => undefined, log: () => undefined });
  failpoints.set(parseFailpoints(rules));
  const prng = new Prng("message-faults");
  const waiting: { readonly ms: number; readonly action: () => void }[] = [];
  const messages = new MessageFaults({
    rule: failpoints.messageRule,
    random: () => prng.float(),
    later: (ms, action) => waiting.push({ ms, action }),
  });
  const runAll = (): void => {
    waiting.sort((a, b) => a.ms - b.ms);
    for (const { action } of waiting.splice(0)) action();
  };
  return { failpoints, messages, waiting, runAll };
}

function numbers(count: number): readonly number[] {
  return Array.from({ length: count }, (_, i) => i);
}

describe("messages at a point", () => {
  test("without a rule pass untouched, uncounted, as the same array", () => {
    const { messages } = faults("");
    const batch = numbers(10);
    expect(messages.sift("message.call", batch, () => expect.unreachable())).toBe(batch);
    expect(messages.counts()).toEqual({});
  });

  test("are lost, repeated and late as often as the rule says, and what is counted is what happens", () => {
    const { messages, runAll } = faults("message.reply=mangle(10,30,20,500)");
    const later: number[] = [];
    const now = messages.sift("message.reply", numbers(10_000), (each) => later.push(each));
    runAll();
    const { seen, lost, repeated, late } = messages.counts()["message.reply"] ?? expect.unreachable();
    expect(seen).toBe(10_000);
    expect(lost / seen).toBeCloseTo(0.1, 1);
    expect(late / (seen - lost)).toBeCloseTo(0.2, 1);
    // Two copies each on average.
    expect(repeated / (seen - lost)).toBeCloseTo(0.6, 1);
    expect(later.length).toBe(late + repeated);
    expect(now.length).toBe(seen - lost - late);
    expect(new Set([...now, ...later]).size).toBe(seen - lost);
    expect(later).not.toEqual([...later].sort((a, b) => a - b));
  });

  test("what is not touched keeps its order", () => {
    const { messages } = faults("message.control=mangle(20,0,20,10)");
    const now = messages.sift("message.control", numbers(1000), () => undefined);
    expect(now).toEqual([...now].sort((a, b) => a - b));
    expect(now.length).toBeLessThan(800);
  });

  test("all late: every one comes, none at once, none later than allowed", () => {
    const { messages, waiting, runAll } = faults("message.inquiry=mangle(0,0,100,250)");
    const later: number[] = [];
    expect(messages.sift("message.inquiry", numbers(100), (each) => later.push(each))).toEqual([]);
    expect(Math.max(...waiting.map(({ ms }) => ms))).toBeLessThan(250);
    runAll();
    expect([...later].sort((a, b) => a - b)).toEqual(numbers(100));
  });

  test("off ends it, and what is waiting still comes", () => {
    const { failpoints, messages, runAll } = faults("message.call=mangle(0,0,100,250)");
    const later: number[] = [];
    messages.sift("message.call", [1], (each) => later.push(each));
    failpoints.set(parseFailpoints("message.call=off"));
    expect(messages.sift("message.call", [2], (each) => later.push(each))).toEqual([2]);
    runAll();
    expect(later).toEqual([1]);
  });
});

describe("at the ports", () => {
  const reply: BranchReply = { gid: "g", branch: "b", phase: "commit", result: { kind: "done" } } as unknown as BranchReply;

  test("nothing of an instance is delivered after its end, as the transport promises", () => {
    const { messages, runAll } = faults("message.reply=mangle(0,100,100,50)");
    const got: number[] = [];
    const handlers = messages.handlers({
      onInstanceUp: () => undefined,
      onInstanceDown: () => undefined,
      onReplies: (instance: number) => got.push(instance),
    } as unknown as ClientServerHandlers);
    handlers.onInstanceUp(1, "bank", "kv", PLAIN_ABILITIES);
    handlers.onInstanceUp(2, "bank", "kv", PLAIN_ABILITIES);
    handlers.onReplies(1, [reply]);
    handlers.onReplies(2, [reply]);
    handlers.onInstanceDown(1);
    runAll();
    expect(new Set(got)).toEqual(new Set([2]));
    expect(got.length).toBeGreaterThan(1);
  });

  test("calls are repeated to their instance; answers to clients and views are not touched", () => {
    const { messages, runAll } = faults(MESSAGE_POINTS.map((point) => `${point}=mangle(0,100,0,10)`).join(";"));
    const calls: BranchCall[] = [];
    let answers = 0;
    const port = messages.sessions({
      answer: () => answers++,
      call: (each) => calls.push(each),
      inquiryAnswers: () => undefined,
      setView: () => undefined,
    });
    const call = {
      instance: 3,
      phase: "commit",
      gid: "g",
      branch: "b",
      epoch: 1,
      attempt: 1,
      payload: new Uint8Array(),
    } as unknown as BranchCall;
    port.call(call);
    expect(calls).toEqual([call]);
    runAll();
    expect(calls.length).toBeGreaterThan(1);
    expect(calls.every((each) => each === call)).toBe(true);
    port.answer(1, 1, { kind: "error" } as never);
    runAll();
    expect(answers).toBe(1);
  });
});

describe("rules", () => {
  test.each([
    ["message.call=crash", "mangle(lose%"],
    ["message.call=mangle(1,2,3)", "mangle(lose%"],
    ["message.call=mangle(101,0,0,1)", "mangle(lose%"],
    ["message.call=mangle(1,0,0,1)@2", "it acts by chance"],
    ["establish=mangle(1,0,0,1)", "crash|halt"],
  ])("%s is refused: %s", (text, problem) => {
    expect(() => parseFailpoints(text)).toThrow(problem);
  });
});
