import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { newGid, nodeId, Prng, QuorateError, ZXID_ZERO } from "../../src/base/index.js";
import { connect } from "../../src/client/index.js";
import type { ClientEvent, Quorate } from "../../src/client/index.js";
import { kv, kvPayload } from "../../src/participant/kv/index.js";
import type { KvParticipant } from "../../src/participant/kv/index.js";
import { startCluster } from "../support/cluster.js";
import type { TestCluster } from "../support/cluster.js";
import { MemoryParticipant } from "./memory-participant.js";
import { until } from "./scripted-node.js";

const prng = new Prng("cluster");
let cluster: TestCluster;
let dir: string;
let quorate: Quorate;
let bankA: KvParticipant;
let bankB: KvParticipant;
const events: ClientEvent[] = [];

beforeAll(async () => {
  cluster = await startCluster();
  dir = await mkdtemp(join(tmpdir(), "quorate-client-test-"));
  bankA = kv({ name: "bank-a", dir: join(dir, "a") });
  bankB = kv({ name: "bank-b", dir: join(dir, "b") });
});

afterAll(async () => {
  await Promise.all([bankA.close(), bankB.close()]);
  await cluster.dispose();
  await rm(dir, { recursive: true, force: true });
});

beforeEach(async () => {
  events.length = 0;
  quorate = await connect(`quorate://${cluster.endpoints}`, { onEvent: (event) => events.push(event) });
});

afterEach(async () => {
  await quorate.close({ drainMs: 0 });
});

const add = (key: string, delta: number): Uint8Array => kvPayload([{ op: "add", key, delta }]);

async function transfer(key: string, amount: number): Promise<void> {
  await quorate.transaction((tx) => {
    tx.ask("bank-a", add(key, -amount));
    tx.ask("bank-b", add(key, amount));
  });
}

const settled = (): boolean => bankA.stats().held === 0 && bankB.stats().held === 0;

describe("a real cluster of three", () => {
  test("commits a transaction of two asked branches: both stores have it", async () => {
    await quorate.attach(bankA, bankB);
    await transfer("first", 5);
    await until("both are told", settled);
    expect([await bankA.get("first"), await bankB.get("first")]).toEqual([-5, 5]);
  });

  test("commits branches that the client brings, and aborts them when it throws", async () => {
    const orders = new MemoryParticipant("orders");
    const attachment = await quorate.attach(orders);
    const gid = await quorate.transaction(async (tx) => {
      await tx.on(orders, (db) => db.set("order", "1"));
      return tx.gid;
    });
    await until("told", () => orders.values.get("order") === "1");
    expect((await quorate.outcome(gid, { wait: true })).decision).toBe("commit");
    const mine = new Error("no");
    let thrown = gid;
    await expect(
      quorate.transaction(async (tx) => {
        thrown = tx.gid;
        await tx.on(orders, (db) => db.set("order", "2"));
        throw mine;
      }),
    ).rejects.toBe(mine);
    expect(orders.values.get("order")).toBe("1");
    expect(["abort", undefined]).toContain((await quorate.outcome(thrown)).decision);
    expect(attachment.stats()[0]).toMatchObject({ votesYes: 1, inDoubt: 0 });
  });

  test("refuses what cannot be: unknown participants, unknown transactions to enlist into", async () => {
    await expect(quorate.transaction((tx) => void tx.ask("nobody", add("a", 1)))).rejects.toMatchObject({
      code: "QUORATE_UNKNOWN_PARTICIPANT",
    });
    const branch = { id: "b", participant: "bank-a", mode: "asked", payload: add("a", 1) } as const;
    const error: unknown = await quorate.enlist(quorate.newGid(), branch).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: "QUORATE_UNKNOWN_TRANSACTION", outcome: "unknown" });
  });

  test("aborts with the participant's own words when a branch votes no", async () => {
    await quorate.attach(bankA, bankB);
    const attempt = quorate.transaction((tx) => {
      tx.ask("bank-a", kvPayload([{ op: "add", key: "poor", delta: -1, min: 0 }]));
      tx.ask("bank-b", add("poor", 1));
    });
    await expect(attempt).rejects.toMatchObject({ code: "QUORATE_ABORTED", outcome: "aborted", reason: "vote-no" });
    await until("both are told", settled);
    expect([await bankA.get("poor"), await bankB.get("poor")]).toEqual([undefined, undefined]);
  });

  test("keeps registers: absent, written, compared, and written once under one id", async () => {
    expect(await quorate.read("r")).toBeUndefined();
    const requestId = quorate.newRequestId();
    const { version } = await quorate.put("r", Uint8Array.of(1), { expect: ZXID_ZERO, requestId });
    expect(await quorate.put("r", Uint8Array.of(1), { expect: ZXID_ZERO, requestId })).toEqual({ version });
    await expect(quorate.put("r", Uint8Array.of(2), { expect: ZXID_ZERO })).rejects.toMatchObject({ code: "QUORATE_CONFLICT" });
    await quorate.put("r", Uint8Array.of(3), { expect: version });
    expect([...((await quorate.read("r"))?.value ?? [])]).toEqual([3]);
  });

  test("shows its nodes, its health and its transactions", async () => {
    const status = await quorate.status();
    expect(status.map((each) => each.status?.id).sort()).toEqual([1, 2, 3]);
    expect(status.filter((each) => each.status?.role === "leading")).toHaveLength(1);
    expect((await quorate.health()).leader).toBe(quorate.view()?.leader);
    const tx = await quorate.begin();
    expect((await quorate.list({ state: "open" })).map((view) => view.gid)).toContain(tx.gid);
    await tx.abort();
    expect((await quorate.outcome(tx.gid)).decision).toBe("abort");
  });

  test("settles a branch that an earlier process left prepared by answering its inquiry", async () => {
    const left = new MemoryParticipant("left-behind");
    // Older than the commit window: nobody can commit it any more.
    const gid = newGid(Date.now() - 60_000, prng.uint32);
    left.prepared.set(`${gid}/left-behind`, new Map([["a", "1"]]));
    const attachedMs = performance.now();
    const attachment = await quorate.attach(left);
    await until("rolled back", () => left.prepared.size === 0);
    expect(performance.now() - attachedMs).toBeLessThan(2_000);
    expect(left.values.size).toBe(0);
    expect(attachment.stats()[0]).toMatchObject({ rolledBack: 1, resolvedByInquiry: 1 });
  });

  test("hands leadership over without one failed request", async () => {
    await quorate.attach(bankA, bankB);
    const before = quorate.view()?.leader;
    const moving = quorate.moveLeader();
    const transfers = Promise.all(Array.from({ length: 50 }, (_, i) => transfer(`move-${i}`, 1)));
    const after = await moving;
    await transfers;
    expect(after).not.toBe(before);
    await until("the client follows", () => quorate.view()?.leader === after);
  });

  test("loses its leader by kill -9 under load: every transaction commits, none is unknown, money is conserved", async () => {
    await quorate.attach(bankA, bankB);
    const leader = await cluster.leader();
    let last = performance.now();
    let gapMs = 0;
    let committed = 0;
    const worker = async (slot: number): Promise<void> => {
      for (let i = 0; i < 25; i++) {
        await transfer(`kill-${slot}`, 1);
        committed++;
        const now = performance.now();
        gapMs = Math.max(gapMs, now - last);
        last = now;
      }
    };
    const work = Promise.all(Array.from({ length: 16 }, (_, slot) => worker(slot)));
    await until("under load", () => committed > 100);
    await cluster.kill9(leader);
    await work;
    expect(committed).toBe(400);
    expect(gapMs).toBeLessThan(3_000);
    await until("everybody is told", settled);
    for (let slot = 0; slot < 16; slot++) expect([await bankA.get(`kill-${slot}`), await bankB.get(`kill-${slot}`)]).toEqual([-25, 25]);
    cluster.restart(leader);
    await cluster.waitForLeader();
    await until("the client has it back", () => events.some((event) => event.kind === "endpoint-open" && event.node === nodeId(leader)));
  });

  test("loses its leader by a freeze: the client goes on with the next one although the stream stays open", async () => {
    await quorate.attach(bankA, bankB);
    const leader = await cluster.leader();
    await transfer("freeze", 1);
    cluster.pause(leader);
    const frozenMs = performance.now();
    try {
      await transfer("freeze", 1);
      expect(performance.now() - frozenMs).toBeLessThan(5_000);
    } finally {
      cluster.resume(leader);
    }
    await until("everybody is told", settled);
    expect([await bankA.get("freeze"), await bankB.get("freeze")]).toEqual([-2, 2]);
  });

  test("without a majority answers nothing it cannot know: nothing happened, or unknown", async () => {
    await quorate.attach(bankA, bankB);
    const followers = await cluster.followers();
    for (const id of followers) await cluster.kill9(id);
    try {
      const branch = { id: "b", participant: "bank-a", mode: "asked", payload: add("minority", 1) } as const;
      const error: unknown = await quorate.commit(quorate.newGid(), [branch], [], { timeoutMs: 1_500 }).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(QuorateError);
      const { code, outcome } = error as QuorateError;
      expect([
        ["QUORATE_OUTCOME_UNKNOWN", "unknown"],
        ["QUORATE_NO_QUORUM", undefined],
      ]).toContainEqual([code, outcome]);
    } finally {
      for (const id of followers) cluster.restart(id);
      await cluster.waitForLeader();
    }
    await transfer("after", 1);
  });
});
