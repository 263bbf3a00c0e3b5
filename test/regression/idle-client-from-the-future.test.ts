/**
 * A client whose clock runs ahead is idle for the retention. It was forgotten while its name was still above the floor, so a late
 * repetition of its put was taken for a new client's, and written again over what others had written since.
 */
import { expect, test } from "vitest";
import { uuid7, ZXID_ZERO } from "../../src/base/index.js";
import { createStateMachine } from "../../src/txn/index.js";
import type { Command } from "../../src/txn/index.js";

const START_MS = 1_700_000_000_000;

test("a repeated put of a client whose name lies ahead of the cluster's time is done once", () => {
  const state = createStateMachine();
  let counter = 0;
  const apply = (stampMs: number, command: Command) => state.apply({ stampMs, command }, { ...ZXID_ZERO, epoch: 1, counter: ++counter });
  const ahead = uuid7(START_MS + 30_000, () => 1);
  const other = uuid7(START_MS, () => 2);
  const put = (client: string, text: string): Command => ({
    kind: "PUT",
    request: { client, seq: 1, ackBelow: 0 },
    name: "r",
    value: Buffer.from(text),
    expect: undefined,
  });
  const first = apply(START_MS, put(ahead, "first"));
  apply(START_MS + 20_000, put(other, "second"));
  apply(START_MS + 25_000, { kind: "FLOOR", timeMs: START_MS + 10_000 });
  expect(apply(START_MS + 25_001, put(ahead, "first"))).toEqual({ ...first, repeated: true });
  expect(Buffer.from(state.register("r")?.value ?? []).toString()).toBe("second");
  apply(START_MS + 60_000, { kind: "FLOOR", timeMs: START_MS + 50_000 });
  expect(apply(START_MS + 60_001, put(ahead, "first"))).toMatchObject({ kind: "refused", reason: "expired" });
  expect(state.counts().clients).toBe(0);
});
