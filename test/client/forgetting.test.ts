import { afterEach, describe, expect, test } from "vitest";
import { newGid, Prng } from "../../src/base/index.js";
import { connect } from "../../src/client/index.js";
import type { ClientEvent, Quorate } from "../../src/client/index.js";
import { Forgetting } from "../../src/client/forgetting.js";
import { MemoryParticipant } from "./memory-participant.js";
import { ScriptedCluster, until } from "./scripted-node.js";

/** Short, so that what must happen after it happens soon. */
const PAUSE_MS = 20;

interface Call {
  readonly belowMs: number;
  readonly atMs: number;
  readonly end: (error?: Error) => void;
}

/** Calls that end when the test says so. */
function held(options: { readonly pauseMsMax?: number } = {}) {
  const calls: Call[] = [];
  const failures: string[] = [];
  const forgetting = new Forgetting({
    forget: (belowMs) =>
      new Promise((resolve, reject) => {
        calls.push({ belowMs, atMs: performance.now(), end: (error) => (error === undefined ? resolve() : reject(error)) });
      }),
    onFailed: (message) => failures.push(message),
    pauseMs: PAUSE_MS,
    ...options,
  });
  return { calls, failures, forgetting, told: () => calls.map(({ belowMs }) => belowMs) };
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

describe("what the cluster has forgotten", () => {
  test("is passed on once, with one repetition, and again only when it moved: the greatest value told, one call at a time", async () => {
    const { calls, forgetting, told } = held();
    forgetting.told(100);
    for (const value of [90, 300, 200, 300, 0]) forgetting.told(value);
    expect(told()).toEqual([100]);
    expect(forgetting.doneMs).toBe(0);
    calls[0]?.end();
    const endedMs = performance.now();
    await until("called again", () => calls.length === 2);
    expect((calls[1]?.atMs ?? 0) - endedMs).toBeGreaterThan(PAUSE_MS / 2);
    expect(forgetting.doneMs).toBe(100);
    calls[1]?.end();
    await until("repeated", () => calls.length === 3);
    calls[2]?.end();
    // Nothing is left to say: more pauses pass without a call.
    await pause(PAUSE_MS * 4);
    expect(told()).toEqual([100, 300, 300]);
    expect(forgetting.doneMs).toBe(300);
    forgetting.told(250);
    expect(calls).toHaveLength(3);
    forgetting.told(301);
    expect(told()).toEqual([100, 300, 300, 301]);
    await closed(forgetting, calls);
  });

  test("is said again later when the participant could not, with what is known by then", async () => {
    const { calls, failures, forgetting, told } = held({ pauseMsMax: 2 * PAUSE_MS });
    forgetting.told(100);
    calls[0]?.end(new Error("disk full"));
    await until("said why", () => failures.length === 1);
    expect(failures).toEqual(["disk full"]);
    forgetting.told(200);
    expect(calls).toHaveLength(1);
    await until("called again", () => calls.length === 2);
    expect(told()).toEqual([100, 200]);
    expect(forgetting.doneMs).toBe(0);
    calls[1]?.end();
    await until("done", () => forgetting.doneMs === 200);
    await closed(forgetting, calls);
  });

  test("is not passed on after the end, and the end waits for the call under way", async () => {
    const { calls, failures, forgetting } = held();
    forgetting.told(100);
    let ended = false;
    const closing = forgetting.close().then(() => (ended = true));
    await pause(1);
    expect(ended).toBe(false);
    calls[0]?.end(new Error("closed"));
    await closing;
    forgetting.told(200);
    await pause(PAUSE_MS * 2);
    expect(calls).toHaveLength(1);
    // Who left does not care.
    expect(failures).toEqual([]);
  });
});

async function closed(forgetting: Forgetting, calls: readonly Call[]): Promise<void> {
  const closing = forgetting.close();
  for (const { end } of calls) end();
  await closing;
}

class ForgetfulParticipant extends MemoryParticipant {
  readonly floors: number[] = [];
  fails: Error | undefined;

  forgetBelow(floorMs: number): Promise<void> {
    this.floors.push(floorMs);
    return this.fails === undefined ? Promise.resolve() : Promise.reject(this.fails);
  }
}

describe("an attached participant", () => {
  let cluster: ScriptedCluster;
  let quorate: Quorate;
  const events: ClientEvent[] = [];
  const START_MS = 1_700_000_000_000;

  afterEach(async () => {
    await quorate.close({ drainMs: 0 });
    cluster.stop();
  });

  async function attach(bank: MemoryParticipant, forgottenBelowMs = START_MS): Promise<() => number | undefined> {
    cluster = await ScriptedCluster.start(3);
    cluster.elect(1, 1);
    cluster.node(3).setView({ forgottenBelowMs });
    events.length = 0;
    quorate = await connect(cluster.url, { onEvent: (event) => events.push(event) });
    const attachment = await quorate.attach(bank);
    await until("attached to every node", () => cluster.nodes.every((node) => node.attached("bank").length === 1));
    return () => attachment.stats()[0]?.forgottenBelowMs;
  }

  test("hears it from any node of its cluster, follower or leader, and from no other cluster", async () => {
    const bank = new ForgetfulParticipant("bank");
    const forgottenBelowMs = await attach(bank, 0);
    const peer = cluster.node(2).attached("bank")[0];
    peer?.view({ ...cluster.node(2).view, clusterId: "another", forgottenBelowMs: START_MS + 9_000 });
    // A call behind it proves that it has arrived.
    const gid = newGid(Date.now(), new Prng("forgetting").uint32);
    peer?.call({ phase: "rollback", kind: "2pc", gid, branch: "bank", epoch: 1, attempt: 1, payload: new Uint8Array() });
    await until("arrived", () => bank.calls.includes("rollback"));
    expect(bank.floors).toEqual([]);
    cluster.node(3).setView({ forgottenBelowMs: START_MS });
    await until("heard from a follower", () => forgottenBelowMs() === START_MS);
    expect(bank.floors).toEqual([START_MS]);
  });

  test("that cannot forget now says so in an event and goes on serving", async () => {
    const bank = new ForgetfulParticipant("bank");
    bank.fails = new Error("disk full");
    const forgottenBelowMs = await attach(bank);
    await until("said", () => events.some((event) => event.kind === "forget-failed"));
    expect(events.find((event) => event.kind === "forget-failed")).toEqual({
      kind: "forget-failed",
      participant: "bank",
      message: "disk full",
    });
    expect(forgottenBelowMs()).toBe(0);
    expect(cluster.node(1).attached("bank")).toHaveLength(1);
  });

  test("that keeps its rows for ever is left alone", async () => {
    const bank = new MemoryParticipant("bank");
    const forgottenBelowMs = await attach(bank);
    expect(forgottenBelowMs()).toBe(0);
    expect(bank.calls).toEqual(["start cluster-1"]);
  });
});
