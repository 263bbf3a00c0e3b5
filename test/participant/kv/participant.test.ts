import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { newGid, Prng } from "../../../src/base/index.js";
import type { BranchRef } from "../../../src/participant/index.js";
import { kv, kvPayload, type KvEntry, type KvOperation, type KvOptions, type KvParticipant } from "../../../src/participant/kv/index.js";

const random = new Prng("kv").uint32;
let dir: string;
const opened: KvParticipant[] = [];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "quorate-kv-test-"));
});
afterEach(async () => {
  for (const bank of opened.splice(0)) await bank.close();
  rmSync(dir, { recursive: true, force: true });
});

async function open(options: Partial<KvOptions> = {}): Promise<KvParticipant> {
  const bank = kv({ name: "bank", dir, ...options });
  opened.push(bank);
  await bank.start("cluster");
  return bank;
}

const branch = (timeMs = Date.now()): BranchRef => ({ gid: newGid(timeMs, random), branch: "b" });
const prepare = (bank: KvParticipant, ref: BranchRef, ...operations: KvOperation[]) =>
  bank.prepare({ ...ref, payload: kvPayload(operations), epoch: 1 });

async function run(bank: KvParticipant, ...operations: KvOperation[]): Promise<BranchRef> {
  const ref = branch();
  expect(await prepare(bank, ref, ...operations)).toEqual({ vote: "yes", detail: "" });
  expect(await bank.commit(ref)).toEqual({ kind: "done" });
  return ref;
}

async function entries(bank: KvParticipant, range = {}): Promise<KvEntry[]> {
  const list: KvEntry[] = [];
  for await (const entry of bank.scan(range)) list.push(entry);
  return list;
}

describe("the data folder", () => {
  test("serves one participant at a time", async () => {
    await open();
    await expect(open()).rejects.toMatchObject({ code: "QUORATE_DATA_FOLDER", message: expect.stringMatching(/in use/) as string });
  });

  test("belongs to one participant and one cluster for ever", async () => {
    await (await open()).close();
    await expect(open({ name: "till" })).rejects.toMatchObject({
      code: "QUORATE_DATA_FOLDER",
      message: expect.stringMatching(/belongs to participant "bank", not "till"/) as string,
    });
    const bank = kv({ name: "bank", dir });
    opened.push(bank);
    await expect(bank.start("another")).rejects.toMatchObject({ code: "QUORATE_DATA_FOLDER" });
    await bank.start("cluster");
  });

  test("is made with the folders above it, and a call before the start says what to do", async () => {
    const bank = kv({ name: "bank", dir: join(dir, "a", "b") });
    opened.push(bank);
    await expect(bank.get("k")).rejects.toMatchObject({ code: "QUORATE_PARTICIPANT", message: 'participant "bank" is not started' });
    await bank.start("cluster");
    expect(readdirSync(join(dir, "a", "b")).sort()).toEqual(["level", "lock", "log", "owner"]);
  });

  test("is refused for a name that cannot be a participant's", () => {
    expect(() => kv({ name: "Bank 1", dir })).toThrow(/participant name/);
  });
});

describe("reads", () => {
  test("see committed entries only, in key order, and nothing of branch rows", async () => {
    const bank = await open();
    await run(bank, { op: "put", key: "b", value: "text" }, { op: "put", key: "a", value: -7 }, { op: "put", key: "ä", value: 0 });
    await prepare(bank, branch(), { op: "put", key: "c", value: 1 }, { op: "delete", key: "a" });
    const all = [
      { key: "a", value: -7 },
      { key: "b", value: "text" },
      { key: "ä", value: 0 },
    ];
    expect(await entries(bank)).toEqual(all);
    expect(await entries(bank, { gte: "b" })).toEqual(all.slice(1));
    expect(await entries(bank, { lt: "b" })).toEqual(all.slice(0, 1));
    expect(await entries(bank, { limit: 2 })).toEqual(all.slice(0, 2));
    expect([await bank.get("a"), await bank.get("c")]).toEqual([-7, undefined]);
  });

  test("of a branch are kept with it, through its commit and a restart", async () => {
    const bank = await open();
    await run(bank, { op: "append", key: "list", value: ",1" });
    const ref = branch();
    await prepare(
      bank,
      ref,
      { op: "get", key: "list" },
      { op: "append", key: "list", value: ",2" },
      { op: "get", key: "list" },
      { op: "get", key: "none" },
    );
    const reads = [",1", ",1,2", null];
    expect(await bank.branch(ref)).toEqual({ state: "prepared", reads });
    await bank.close();
    const again = await open();
    expect(await again.branch(ref)).toEqual({ state: "prepared", reads });
    await again.commit(ref);
    expect(await again.branch(ref)).toEqual({ state: "committed", reads });
    expect(await again.branch(branch())).toEqual({ state: "unknown", reads: [] });
  });

  test("are protected until the decision: a branch that only read votes yes and keeps writers out", async () => {
    const bank = await open({ lockWaitMs: 20, youngerLockWaitMs: 20 });
    await run(bank, { op: "put", key: "k", value: 1 });
    const reader = branch();
    expect((await prepare(bank, reader, { op: "require", key: "k", equals: 1 })).vote).toBe("yes");
    const second = branch();
    expect((await prepare(bank, second, { op: "get", key: "k" })).vote).toBe("yes");
    expect(await prepare(bank, branch(), { op: "put", key: "k", value: 2 })).toMatchObject({
      vote: "no",
      detail: expect.stringMatching(/lock conflict on key "k"/) as string,
    });
    await bank.commit(reader);
    await bank.rollback(second);
    await run(bank, { op: "put", key: "k", value: 2 });
  });
});

describe("lock waits", () => {
  test("a roll back of a branch that waits for a lock ends the wait with a no", async () => {
    const bank = await open({ lockWaitMs: 60_000, youngerLockWaitMs: 60_000 });
    const holder = branch();
    await prepare(bank, holder, { op: "put", key: "k", value: 1 });
    const waiter = branch();
    const waiting = prepare(bank, waiter, { op: "put", key: "k", value: 2 });
    expect(bank.stats().waiting).toBe(1);
    expect(await bank.rollback(waiter)).toEqual({ kind: "done" });
    expect(await waiting).toMatchObject({ vote: "no" });
    await bank.commit(holder);
    expect(await bank.get("k")).toBe(1);
  });

  test("the older of two transactions gets the lock that the younger one holds, once that is settled", async () => {
    const bank = await open({ lockWaitMs: 60_000, youngerLockWaitMs: 0 });
    const [old, young, youngest] = [branch(1000), branch(2000), branch(3000)];
    await prepare(bank, young, { op: "add", key: "k", delta: 1 });
    const waiting = prepare(bank, old, { op: "add", key: "k", delta: 1 });
    expect(await prepare(bank, youngest, { op: "add", key: "k", delta: 1 })).toMatchObject({
      vote: "no",
      detail: expect.stringContaining(`held by the older transaction ${young.gid}`) as string,
    });
    await bank.rollback(young);
    expect((await waiting).vote).toBe("yes");
    await bank.commit(old);
    expect(await bank.get("k")).toBe(1);
  });

  test("a commit that overtakes a repeated prepare waits for its vote", async () => {
    const bank = await open();
    const ref = branch();
    const voting = prepare(bank, ref, { op: "put", key: "k", value: 1 });
    expect(await bank.commit(ref)).toEqual({ kind: "done" });
    expect((await voting).vote).toBe("yes");
    expect(await bank.get("k")).toBe(1);
  });

  test("more branches than allowed are not voted on but asked to come again", async () => {
    const bank = await open({ branchesMax: 1 });
    const ref = branch();
    await prepare(bank, ref, { op: "put", key: "a", value: 1 });
    await expect(prepare(bank, branch(), { op: "put", key: "b", value: 1 })).rejects.toMatchObject({
      code: "QUORATE_OVERLOADED",
      retry: "safe",
    });
    await bank.commit(ref);
    await run(bank, { op: "put", key: "b", value: 1 });
  });
});

describe("forgetting", () => {
  test("drops outcome rows below the floor in slices, never a prepared one, and the store still adds up", async () => {
    const bank = await open();
    const rows = Array.from({ length: 2300 }, (_, i) => branch(1000 + i));
    for (const ref of rows) ref satisfies BranchRef;
    await Promise.all(rows.map((ref) => bank.rollback(ref)));
    const held = branch(1500);
    await prepare(bank, held, { op: "put", key: "k", value: 1 });
    expect(bank.stats().records).toBe(2301);
    await bank.forgetBelow(3000);
    expect(bank.stats()).toMatchObject({ records: 301, prepared: 1, floorMs: 3000 });
    expect(await prepare(bank, rows[0] as BranchRef, { op: "put", key: "k", value: 1 })).toMatchObject({
      vote: "no",
      detail: expect.stringMatching(/^expired/) as string,
    });
    await bank.close();
    const again = await open();
    expect(again.stats()).toMatchObject({ records: 301, prepared: 1, floorMs: 3000 });
    expect(await again.commit(held)).toEqual({ kind: "done" });
    expect(await again.get("k")).toBe(1);
    await again.forgetBelow(3000);
    expect(again.stats().records).toBe(301);
    await expect(again.forgetBelow(-1)).rejects.toMatchObject({ code: "QUORATE_INVALID_ARGUMENT" });
  });
});
