/**
 * After a long outage everything that waited came at once: the first FLOOR forgot every idle client in one apply, and the first
 * instance of a participant was sent every waiting branch in one turn. A node that stalls that long loses its quorum.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Prng, uuid7 } from "../../src/base/index.js";
import { Courier } from "../../src/coordinator/courier.js";
import { Outbox } from "../../src/coordinator/outbox.js";
import { TimerWheel } from "../../src/coordinator/timer-wheel.js";
import { createStateMachine, TXN_LIMITS } from "../../src/txn/index.js";
import type { Command, StateMachine } from "../../src/txn/index.js";
import { asked, Desk, OPTIONS } from "../coordinator/desk.js";

const START_MS = 1_700_000_000_000;
const LIMITS = { ...TXN_LIMITS, idleClientsPerFloorMax: 3 };

describe("a FLOOR over many idle clients", () => {
  const put = (client: string): Command => ({
    kind: "PUT",
    request: { client, seq: 1, ackBelow: 0 },
    name: "r",
    value: new Uint8Array(1),
    expect: undefined,
  });

  test("forgets the longest idle ones, and the next one goes on; those that stay are answered as before", () => {
    const state = createStateMachine(LIMITS);
    let counter = 0;
    const apply = (stampMs: number, command: Command) => state.apply({ stampMs, command }, { epoch: 1, counter: ++counter });
    const clients = [0, 1, 2, 3, 4, 5, 6].map((i) => uuid7(START_MS + i, () => i));
    const first = clients.map((client, i) => apply(START_MS + i, put(client)));
    const floor = (timeMs: number): void => void apply(START_MS + 60_000, { kind: "FLOOR", timeMs });
    floor(START_MS + 1_000);
    expect(state.counts().clients).toBe(4);
    expect(apply(START_MS + 60_000, put(clients[2] as string))).toMatchObject({ kind: "refused", reason: "expired" });
    expect(apply(START_MS + 60_000, put(clients[6] as string))).toEqual({ ...first[6], repeated: true });
    floor(START_MS + 2_000);
    // The last one was used again meanwhile.
    expect(state.counts().clients).toBe(1);
  });

  test("forgets the same ones on a replica that was restored from a checkpoint in any order", () => {
    const step = fc.record({ client: fc.nat(11), gapMs: fc.constantFrom(0, 0, 0, 1), aheadMs: fc.constantFrom(0, 0, 40) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40, size: "max" }), fc.nat(), (steps, seed) => {
        const random = new Prng(`order ${seed}`);
        const live = createStateMachine(LIMITS);
        let zxid = { epoch: 1, counter: 0 };
        let stampMs = START_MS;
        const on = (machine: StateMachine, command: Command): void => void machine.apply({ stampMs, command }, zxid);
        const next = (): void => void (zxid = { epoch: 1, counter: zxid.counter + 1 });
        const names = new Map<number, string>();
        for (const { client, gapMs, aheadMs } of steps) {
          stampMs += gapMs;
          if (!names.has(client)) names.set(client, uuid7(stampMs + aheadMs, random.uint32));
          next();
          on(live, put(names.get(client) as string));
        }
        const stored = [...live.takeChanges()];
        for (let i = stored.length - 1; i > 0; i--) {
          const j = random.int(0, i);
          [stored[i], stored[j]] = [stored[j] as (typeof stored)[0], stored[i] as (typeof stored)[0]];
        }
        const restored = createStateMachine(LIMITS);
        restored.restore(stored);
        for (let i = 0; i < 8; i++) {
          stampMs += TXN_LIMITS.commitWindowMs;
          next();
          const floor: Command = { kind: "FLOOR", timeMs: START_MS + i * 12 };
          for (const machine of [live, restored]) on(machine, floor);
          expect(restored.canonical()).toBe(live.canonical());
        }
        return live.counts().clients === 0 || live.counts().clients < names.size;
      }),
    );
  });
});

describe("branches that waited for their participant", () => {
  const BRANCHES = 5_000;

  function waiting(): Desk {
    const desk = new Desk({ openTransactionsMax: BRANCHES });
    desk.coordinator.instanceDown(1, desk.nowMs);
    const each = TXN_LIMITS.branchesMax;
    for (let at = 0; at < BRANCHES; at += each) {
      desk.commit(
        desk.gid(),
        Array.from({ length: Math.min(each, BRANCHES - at) }, (_, i) => asked(`b${at + i}`)),
      );
    }
    return desk;
  }

  const all = Array.from({ length: BRANCHES }, (_, i) => `b${i}`);

  test("are sent in slices, one a drain, in their order", () => {
    const desk = waiting();
    desk.coordinator.instanceUp(5, "orders", "kv", desk.nowMs);
    const sizes: number[] = [];
    const sent: string[] = [];
    do {
      desk.calls = [];
      desk.drain();
      sizes.push(desk.calls.length);
      sent.push(...desk.calls.map(({ branch }) => branch));
    } while (desk.wakeAtMs <= desk.nowMs);
    expect(sizes).toEqual([2_000, 2_000, 1_000]);
    expect(sent).toEqual(all);
  });

  test("wait on when the instance goes again half way, and none is lost or left behind", () => {
    const desk = waiting();
    desk.coordinator.instanceUp(5, "orders", "kv", desk.nowMs);
    desk.drain();
    desk.coordinator.instanceDown(5, desk.nowMs);
    desk.drain();
    desk.coordinator.instanceUp(6, "orders", "kv", desk.nowMs);
    desk.calls = [];
    do desk.drain();
    while (desk.wakeAtMs <= desk.nowMs);
    expect(new Set(desk.calls.map(({ branch }) => branch))).toEqual(new Set(all));
    expect(desk.calls.every(({ instance }) => instance === 6)).toBe(true);
    expect(desk.calls).toHaveLength(BRANCHES);
  });

  test("are dropped with the leadership, half sent", () => {
    const desk = waiting();
    desk.coordinator.instanceUp(5, "orders", "kv", desk.nowMs);
    desk.drain();
    desk.calls = [];
    desk.resign();
    expect([desk.calls.length, desk.wakeAtMs]).toEqual([0, Infinity]);
  });
});

test("names that come and go leave nothing behind in the routing of calls", () => {
  const courier = new Courier({
    state: createStateMachine(),
    options: OPTIONS,
    outbox: new Outbox(),
    wheel: new TimerWheel(),
    random32: () => 0,
    stampNow: () => START_MS,
  });
  courier.start(1);
  courier.instanceUp(1, "orders");
  for (let i = 2; i < 100; i++) {
    courier.instanceUp(i, `guess-${i}`);
    courier.instanceDown(i, 0);
  }
  expect(courier.lines).toBe(1);
  courier.instanceDown(1, 0);
  expect(courier.lines).toBe(0);
});
