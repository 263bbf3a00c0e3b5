/**
 * Outcome rows do not pile up: what the cluster has forgotten, participants drop, on real processes with the shortest retention.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { gidTimeMs, type Gid } from "../../src/base/index.js";
import { connect, type Quorate } from "../../src/client/index.js";
import { kv, kvPayload, type KvParticipant } from "../../src/participant/kv/index.js";
import type { Participant } from "../../src/participant/index.js";
import { startCluster, type TestCluster } from "../support/cluster.js";

const RETENTION_MS = 10_000;
/** What is forgotten moves in steps of a second. */
const STEP_MS = 1_024;
const FORGOTTEN_MS = RETENTION_MS + 10_000;
const ARGS = ["--retention-ms", `${RETENTION_MS}`, "--floor-interval-ms", "100", "--view-interval-ms", "100"];
/** Higher than any the cluster has reached: nothing but the floor can refuse. */
const EPOCH = 1_000_000;

let cluster: TestCluster;
let client: Quorate;
let dir: string;
let bankA: KvParticipant;
let bankB: KvParticipant;
const gate: { rollback: () => void; commit: () => void } = { rollback: () => undefined, commit: () => undefined };

beforeEach(async () => {
  cluster = await startCluster({ args: ARGS });
  dir = mkdtempSync(join(tmpdir(), "quorate-forgotten-"));
  bankA = kv({ name: "bank-a", dir: join(dir, "a") });
  bankB = kv({ name: "bank-b", dir: join(dir, "b") });
  client = await connect(cluster.endpoints);
});

afterEach(async () => {
  gate.rollback();
  gate.commit();
  await client.close({ drainMs: 0 });
  await bankA.close();
  await bankB.close();
  await cluster.dispose();
  rmSync(dir, { recursive: true, force: true });
});

/** The same participant, which does what it is told about `slow` branches only when their gates open. */
function gated(inner: KvParticipant): Participant {
  const rollbackGate = new Promise<void>((resolve) => (gate.rollback = resolve));
  const commitGate = new Promise<void>((resolve) => (gate.commit = resolve));
  return {
    name: inner.name,
    kind: inner.kind,
    manifest: inner.manifest,
    start: (clusterId) => inner.start(clusterId),
    prepare: (request) => inner.prepare(request),
    commitOnePhase: (request) => inner.commitOnePhase(request),
    commit: async (ref) => {
      if (ref.branch === "slow") await commitGate;
      return inner.commit(ref);
    },
    rollback: async (ref) => {
      if (ref.branch === "slow") await rollbackGate;
      return inner.rollback(ref);
    },
    listInDoubt: (filter) => inner.listInDoubt(filter),
    forgetBelow: (floorMs) => inner.forgetBelow(floorMs),
    close: () => inner.close(),
  };
}

async function transfer(amount: number, key: string, branchB: string): Promise<Gid> {
  const gid = client.newGid();
  await client.transaction(
    (tx) => {
      tx.ask("bank-a", kvPayload([{ op: "add", key, delta: -amount, min: -100 }]), { branch: "a" });
      tx.ask("bank-b", kvPayload([{ op: "add", key, delta: amount }]), { branch: branchB });
    },
    { gid },
  );
  return gid;
}

async function state(bank: KvParticipant, gid: Gid, branch: string): Promise<string> {
  return (await bank.branch({ gid, branch })).state;
}

test("participants drop what the cluster forgot, refuse it for ever, and still obey the decision of a branch they hold", async () => {
  await client.attach(bankA, gated(bankB));
  const forgottenBelowMs = (): number => client.view()?.forgottenBelowMs ?? 0;

  const finished = await transfer(5, "paid", "b");
  await expect.poll(() => state(bankB, finished, "b")).toBe("committed");
  expect(await state(bankA, finished, "a")).toBe("committed");

  // Aborted, because bank A is short of money; bank B holds its branch and does not get to roll it back.
  let aborted = finished;
  await expect(
    client.transaction((tx) => {
      aborted = tx.gid;
      tx.ask("bank-a", kvPayload([{ op: "add", key: "poor", delta: -1, min: 0 }]), { branch: "a" });
      tx.ask("bank-b", kvPayload([{ op: "add", key: "poor", delta: 1 }]), { branch: "slow" });
    }),
  ).rejects.toMatchObject({ outcome: "aborted", reason: "vote-no" });
  await expect.poll(() => state(bankB, aborted, "slow")).toBe("prepared");

  // Committed, a step later; bank B does not get to commit it.
  await expect.poll(() => gidTimeMs(client.newGid()), { timeout: 5_000 }).toBeGreaterThan(gidTimeMs(aborted) + STEP_MS);
  const owed = await transfer(7, "late", "slow");
  const never = client.newGid();

  // An abort may be forgotten unacknowledged; the commit that is owed may not.
  await expect.poll(() => state(bankA, finished, "a"), { timeout: FORGOTTEN_MS, interval: 100 }).toBe("unknown");
  await expect.poll(() => bankB.stats().floorMs, { timeout: FORGOTTEN_MS }).toBeGreaterThan(gidTimeMs(aborted));
  await expect.poll(() => state(bankB, finished, "b")).toBe("unknown");
  expect((await client.outcome(aborted)).state).toBe("expired");
  await expect.poll(async () => (await client.outcome(never)).state, { timeout: FORGOTTEN_MS, interval: 100 }).toBe("expired");
  expect((await client.outcome(owed)).decision).toBe("commit");
  expect(forgottenBelowMs()).toBeLessThanOrEqual(gidTimeMs(owed));

  // A prepare that was on its way all the time, and a repeated commit.
  const payload = kvPayload([{ op: "add", key: "paid", delta: 1_000 }]);
  expect(await bankA.prepare({ gid: finished, branch: "a", payload, epoch: EPOCH })).toMatchObject({ vote: "no" });
  expect(await bankB.prepare({ gid: aborted, branch: "more", payload, epoch: EPOCH })).toMatchObject({ vote: "no" });
  expect(await bankA.commit({ gid: finished, branch: "a" })).toEqual({ kind: "done" });
  expect([await bankA.get("paid"), await bankB.get("paid")]).toEqual([-5, 5]);

  // Below the floor and held: what was promised is still settled the way it was decided.
  expect(await state(bankB, aborted, "slow")).toBe("prepared");
  gate.rollback();
  await expect.poll(() => bankB.stats().prepared, { timeout: 10_000 }).toBe(1);
  expect(await bankB.get("poor")).toBeUndefined();
  gate.commit();
  await expect.poll(() => state(bankB, owed, "slow"), { timeout: 10_000 }).toBe("committed");
  expect([await bankA.get("late"), await bankB.get("late")]).toEqual([-7, 7]);
  // Only now nothing is owed any more.
  await expect.poll(forgottenBelowMs, { timeout: 10_000 }).toBeGreaterThan(gidTimeMs(owed));
}, 60_000);
