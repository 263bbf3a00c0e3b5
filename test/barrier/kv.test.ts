import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { newGid, Prng } from "../../src/base/index.js";
import { barrier, type KvBarrier } from "../../src/barrier/index.js";
import { kv, kvPayload, type KvOperation, type KvParticipant } from "../../src/participant/kv/index.js";
import { describeBarrier } from "./conformance.js";
import { INSTANCES, nameOf, newCall, type BarrierFixture } from "./fixture.js";

type Till = KvBarrier<KvParticipant, readonly KvOperation[]>;

async function openTill(dir: string): Promise<KvParticipant> {
  const till = kv({ name: "till", dir, lockWaitMs: 50, youngerLockWaitMs: 20 });
  await till.start("cluster");
  return till;
}

async function kvFixture(): Promise<BarrierFixture> {
  const root = mkdtempSync(join(tmpdir(), "quorate-barrier-kv-"));
  let life = 0;
  const open = (): Promise<KvParticipant> => openTill(join(root, String(life)));
  let till = await open();
  const make = (): Till[] => Array.from({ length: INSTANCES }, () => barrier.kv(till));
  let barriers = make();
  return {
    async call(call, { instance = 0, inside } = {}) {
      const born = life;
      const result = await (barriers[instance] as Till).call(call, async () => {
        await inside?.();
        return [
          { op: "add", key: `e/${nameOf(call)}`, delta: 1 },
          { op: "add", key: "total", delta: 1 },
        ];
      });
      // What the former life still said was not heard.
      if (life !== born) throw new Error("the process was killed before it could answer");
      return result;
    },
    count: async (name) => Number((await till.get(`e/${name}`)) ?? 0),
    total: async () => Number((await till.get("total")) ?? 0),
    async marks({ cluster, participant }) {
      let n = 0;
      const prefix = `quorate_barrier/m/${cluster}/${participant}`;
      for await (const _ of till.scan({ gte: `${prefix}/`, lt: `${prefix}0` })) n++;
      return n;
    },
    forgetBelow: async (floorMs, scope) => barriers[1]?.forgetBelow(floorMs, scope),
    async reopen() {
      await till.close();
      till = await open();
      barriers = make();
    },
    async crash() {
      const old = till;
      cpSync(join(root, String(life)), join(root, String(life + 1)), { recursive: true });
      life++;
      till = await open();
      barriers = make();
      await old.close();
    },
    async dispose() {
      await till.close();
      rmSync(root, { recursive: true, force: true });
    },
  };
}

describeBarrier("the key-value participant", kvFixture, { oneStep: true });

describe("a barrier in the key-value participant", () => {
  const folder = mkdtempSync(join(tmpdir(), "quorate-barrier-kv-"));
  let till: KvParticipant;
  let at: Till;
  beforeAll(async () => {
    till = await openTill(folder);
    at = barrier.kv(till);
  });
  afterAll(async () => {
    await till?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  test("a try that the operations' bounds refuse is refused with the reason, and leaves nothing; so does a confirm, which comes again", async () => {
    const call = newCall("try");
    const pay = (): KvOperation[] => [{ op: "add", key: "a", delta: -5, min: 0 }];
    expect(await at.call(call, pay)).toMatchObject({ kind: "refused", detail: expect.stringMatching(/"a"/) as string });
    await at.call(newCall("try"), () => [{ op: "put", key: "a", value: 7 }]);
    expect(await at.call(call, pay)).toMatchObject({ kind: "done" });
    const confirm = { ...call, phase: "confirm" } as const;
    await expect(at.call(confirm, pay)).rejects.toMatchObject({ code: "QUORATE_PARTICIPANT", retry: "safe" });
    expect(await at.call(confirm, () => [])).toMatchObject({ kind: "done" });
    expect(await till.get("a")).toBe(2);
  });

  test("work waits for a branch of the participant's own that holds the account", async () => {
    const ref = { gid: newGid(Date.now(), new Prng("kv").uint32), branch: "b" };
    await till.prepare({ ...ref, payload: kvPayload([{ op: "add", key: "held", delta: 1 }]), epoch: 1 });
    const call = newCall("try");
    const add = (): KvOperation[] => [{ op: "add", key: "held", delta: 10 }];
    expect(await at.call(call, add)).toMatchObject({ kind: "refused", detail: expect.stringMatching(/lock/) as string });
    await till.commit(ref);
    expect(await at.call(call, add)).toMatchObject({ kind: "done" });
    expect(await till.get("held")).toBe(11);
  });

  test("a list without sense is the caller's mistake", async () => {
    await expect(at.call(newCall("try"), () => [{ op: "steal" } as never])).rejects.toMatchObject({
      code: "QUORATE_INVALID_ARGUMENT",
      message: expect.stringMatching(/no good list of operations/) as string,
    });
    await expect(at.call(newCall("try"), () => 7 as never)).rejects.toMatchObject({ code: "QUORATE_INVALID_ARGUMENT" });
  });
});
