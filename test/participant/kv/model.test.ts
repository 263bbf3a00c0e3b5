/** Random calls, restarts and crashes against a model of a few lines: the store must always agree with it, and always open again. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { newGid } from "../../../src/base/index.js";
import { kv, kvPayload, type KvOperation, type KvParticipant } from "../../../src/participant/kv/index.js";
import { copyStore } from "../../support/copy-store.js";

const KEYS = ["a", "b", "c"];
const TRANSACTIONS = 8;
/** Transaction i of a run: its time is i + 1, so floors can lie between them. */
const refs = Array.from({ length: TRANSACTIONS }, (_, i) => ({ gid: newGid(i + 1, () => i), branch: "b" }));

const key = fc.constantFrom(...KEYS);
const operation: fc.Arbitrary<KvOperation> = fc.oneof(
  fc.record({ op: fc.constant("put" as const), key, value: fc.oneof(fc.integer(), fc.string({ maxLength: 3 })) }),
  fc.record({ op: fc.constant("delete" as const), key }),
  fc.record({ op: fc.constant("add" as const), key, delta: fc.integer({ min: -3, max: 3 }), min: fc.constant(0) }),
  fc.record({ op: fc.constant("get" as const), key }),
);
const which = fc.nat(TRANSACTIONS - 1);
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ call: fc.constant("prepare" as const), which }) },
  { weight: 4, arbitrary: fc.record({ call: fc.constant("commit" as const), which }) },
  { weight: 3, arbitrary: fc.record({ call: fc.constant("rollback" as const), which }) },
  { weight: 1, arbitrary: fc.record({ call: fc.constant("forget" as const), which }) },
  { weight: 1, arbitrary: fc.record({ call: fc.constant("restart" as const) }) },
  { weight: 1, arbitrary: fc.record({ call: fc.constant("crash" as const) }) },
);

interface Model {
  readonly state: Map<number, "prepared" | "committed" | "rolled-back">;
  readonly data: Map<string, string | number>;
  /** Writes of each prepared transaction: final values. */
  readonly pending: Map<number, Map<string, string | number | undefined>>;
  floor: number;
}

/** The vote that is due, and the writes it promises. */
function vote(model: Model, i: number, list: readonly KvOperation[]): Map<string, string | number | undefined> | "no" {
  const touches = (other: number): boolean => (works[other] ?? []).some((theirs) => list.some((mine) => conflict(mine, theirs)));
  for (const [other, state] of model.state) if (state === "prepared" && other !== i && touches(other)) return "no";
  const writes = new Map<string, string | number | undefined>();
  for (const each of list) {
    const now = writes.has(each.key) ? writes.get(each.key) : model.data.get(each.key);
    if (each.op === "put") writes.set(each.key, each.value);
    if (each.op === "delete") writes.set(each.key, undefined);
    if (each.op === "add") {
      if (typeof now === "string" || (now ?? 0) + each.delta < 0) return "no";
      writes.set(each.key, (now ?? 0) + each.delta);
    }
  }
  return writes;
}

function conflict(a: KvOperation, b: KvOperation): boolean {
  return a.key === b.key && (a.op !== "get" || b.op !== "get");
}

let works: (readonly KvOperation[])[] = [];

test("whatever is called in whatever order, with restarts and crashes between, the store agrees with the model", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(operation, { minLength: 1, maxLength: 3 }), { minLength: TRANSACTIONS, maxLength: TRANSACTIONS }),
      fc.array(step, { minLength: 5, maxLength: 40 }),
      // After every change, now and then, and never.
      fc.constantFrom(1, 4, 1000),
      async (lists, steps, checkpointRecords) => {
        works = lists;
        const root = mkdtempSync(join(tmpdir(), "quorate-kv-model-"));
        let life = 0;
        const open = async (): Promise<KvParticipant> => {
          const dir = join(root, String(life));
          const opened = kv({ name: "bank", dir, lockWaitMs: 0, youngerLockWaitMs: 0, logSegmentBytes: 16 * 1024, checkpointRecords });
          await opened.start("cluster");
          return opened;
        };
        let bank = await open();
        const model: Model = { state: new Map(), data: new Map(), pending: new Map(), floor: 0 };
        try {
          for (const each of steps) {
            if (each.call === "restart" || each.call === "crash") {
              if (each.call === "crash") copyStore(join(root, String(life)), join(root, String(life + 1)));
              await bank.close();
              if (each.call === "crash") life++;
              bank = await open();
            } else if (each.call === "forget") {
              model.floor = Math.max(model.floor, each.which + 1);
              for (const [i, state] of model.state) if (i + 1 < model.floor && state !== "prepared") model.state.delete(i);
              await bank.forgetBelow(model.floor);
            } else {
              const i = each.which;
              const ref = refs[i] as (typeof refs)[0];
              const state = model.state.get(i);
              const below = i + 1 < model.floor;
              if (each.call === "prepare") {
                const list = lists[i] as readonly KvOperation[];
                const due = state === undefined && !below ? vote(model, i, list) : undefined;
                const result = await bank.prepare({ ...ref, payload: kvPayload(list), epoch: 1 });
                expect(result.vote).toBe(due instanceof Map || state === "prepared" || state === "committed" ? "yes" : "no");
                if (due instanceof Map) {
                  model.state.set(i, "prepared");
                  model.pending.set(i, due);
                }
              } else if (each.call === "commit") {
                const result = await bank.commit(ref);
                if (state === "prepared") {
                  for (const [name, value] of model.pending.get(i) ?? []) {
                    if (value === undefined) model.data.delete(name);
                    else model.data.set(name, value);
                  }
                  model.state.set(i, "committed");
                }
                if (state === "prepared" || state === "committed" || (state === undefined && below))
                  expect(result).toEqual({ kind: "done" });
                else expect(result).toMatchObject({ kind: "heuristic", outcome: state === "rolled-back" ? "rolled-back" : "hazard" });
              } else {
                const result = await bank.rollback(ref);
                if (state === "committed") expect(result).toMatchObject({ kind: "heuristic", outcome: "committed" });
                else {
                  expect(result).toEqual({ kind: "done" });
                  if (state !== undefined || !below) model.state.set(i, "rolled-back");
                }
              }
            }
            const entries: (readonly [string, string | number])[] = [];
            for await (const entry of bank.scan()) entries.push([entry.key, entry.value]);
            expect(entries).toEqual([...model.data].sort(([a], [b]) => (a < b ? -1 : 1)));
            const prepared = [...model.state].filter(([, state]) => state === "prepared").map(([i]) => i);
            expect(await bank.listInDoubt()).toEqual(prepared.sort((a, b) => a - b).map((i) => refs[i]));
            expect(bank.stats().records).toBe(model.data.size + model.state.size);
          }
        } finally {
          await bank.close();
          rmSync(root, { recursive: true, force: true });
        }
      },
    ),
    { numRuns: 40 },
  );
}, 60_000);
