/**
 * The textbook cases of two-phase commit and their worst: participants, leader and client die at the wrong moment.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { connect, type Quorate } from "../../src/client/index.js";
import { kv, kvPayload, type KvParticipant } from "../../src/participant/kv/index.js";
import type { Participant } from "../../src/participant/index.js";
import { startCluster, type TestCluster } from "../support/cluster.js";
import { KvProcess } from "../support/kv-process.js";

/** Bound of this test, wide enough for a busy machine; docs/testing.md has the measured times. */
const SETTLED_MS = 10_000;

let cluster: TestCluster;
let client: Quorate;
let dir: string;
let bankA: KvParticipant;
let bankB: KvProcess;
/** Bank A's prepare waits for this. */
let releaseA: () => void;

beforeEach(async () => {
  cluster = await startCluster({ env: { QUORATE_ENABLE_FAILPOINTS: "1" } });
  dir = mkdtempSync(join(tmpdir(), "quorate-textbook-"));
  client = await connect(cluster.endpoints, { requestTimeoutMs: 20_000 });
  bankA = kv({ name: "bank-a", dir: join(dir, "a") });
  const gate = new Promise<void>((resolve) => (releaseA = resolve));
  await client.attach(gated(bankA, gate));
  bankB = new KvProcess("bank-b", join(dir, "b"), cluster.endpoints);
  await bankB.start(client);
});

afterEach(async () => {
  releaseA();
  await client.close({ drainMs: 0 });
  await bankB.kill9();
  await bankA.close();
  await cluster.dispose();
  rmSync(dir, { recursive: true, force: true });
});

/** The same participant, whose prepare begins when `gate` opens: it decides when the last vote comes in. */
function gated(inner: KvParticipant, gate: Promise<void>): Participant {
  return {
    name: inner.name,
    kind: inner.kind,
    manifest: inner.manifest,
    start: (clusterId) => inner.start(clusterId),
    prepare: async (request) => {
      await gate;
      return inner.prepare(request);
    },
    commitOnePhase: async (request) => {
      await gate;
      return inner.commitOnePhase(request);
    },
    commit: (ref) => inner.commit(ref),
    rollback: (ref) => inner.rollback(ref),
    listInDoubt: (filter) => inner.listInDoubt(filter),
    close: () => inner.close(),
  };
}

function transfer(gid: string, timeoutMs: number): Promise<void> {
  return client.transaction(
    (tx) => {
      tx.ask("bank-a", kvPayload([{ op: "add", key: "alice", delta: -5 }]), { branch: "a" });
      tx.ask("bank-b", kvPayload([{ op: "add", key: "bob", delta: 5 }]), { branch: "b" });
    },
    { gid, timeoutMs },
  );
}

async function votedYes(gid: string, branch: string): Promise<void> {
  const phase = async (): Promise<string | undefined> => (await client.outcome(gid)).branches.find((each) => each.id === branch)?.phase;
  await expect.poll(phase, { timeout: 10_000 }).toBe("prepared");
}

async function settled(): Promise<void> {
  await expect.poll(() => bankA.stats().held, { timeout: SETTLED_MS }).toBe(0);
}

/** Reads bank B's store when the cluster owes it nothing any more. */
async function bobOf(gid: string): Promise<unknown> {
  const done = async (): Promise<boolean | undefined> => (await client.outcome(gid)).branches.find((each) => each.id === "b")?.done;
  await expect.poll(done, { timeout: SETTLED_MS }).toBe(true);
  await bankB.kill9();
  return bankB.read("bob");
}

describe("a participant is killed", () => {
  test("before its vote: aborted at the timeout, nobody waits longer, and the other side keeps nothing", async () => {
    releaseA();
    bankB.signal("SIGSTOP");
    const startedMs = performance.now();
    const aborted = transfer(client.newGid(), 1_000);
    await bankB.kill9();
    await expect(aborted).rejects.toMatchObject({ code: "QUORATE_ABORTED", outcome: "aborted", reason: "timeout" });
    // The bound is the transaction's own timeout and the time to decide, not the participant's return.
    expect(performance.now() - startedMs).toBeLessThan(1_000 + SETTLED_MS);
    await settled();
    expect(await bankA.get("alice")).toBeUndefined();
  });

  test("after its yes: the transaction commits without it, and it commits when it comes back", async () => {
    const gid = client.newGid();
    const committed = transfer(gid, 15_000);
    await votedYes(gid, "b");
    await bankB.kill9();
    releaseA();
    await committed;
    await settled();
    expect(await bankA.get("alice")).toBe(-5);
    expect(await bankB.read("bob")).toBeUndefined();
    await bankB.start(client);
    expect(await bobOf(gid)).toBe(5);
  });

  test("after its yes, of a transaction that aborts: it rolls back when it comes back", async () => {
    const gid = client.newGid();
    const aborted = transfer(gid, 15_000);
    await votedYes(gid, "b");
    await bankB.kill9();
    await client.abort(gid);
    releaseA();
    await expect(aborted).rejects.toMatchObject({ outcome: "aborted" });
    await bankB.start(client);
    expect(await bobOf(gid)).toBeUndefined();
    await settled();
  });

  test("together with the leader, after the other participant committed: both leave it to the new leader", async () => {
    const leader = await cluster.leader();
    // The leader tells bank A and dies before it tells bank B, which stands still all the while and is then killed.
    await cluster.failpoints(leader, "commit-send-second=crash");
    const gid = client.newGid();
    const committed = transfer(gid, 15_000);
    await votedYes(gid, "b");
    bankB.signal("SIGSTOP");
    releaseA();
    await cluster.processes.exited(leader);
    await bankB.kill9();
    await committed;
    await settled();
    expect(await bankA.get("alice")).toBe(-5);
    await bankB.start(client);
    expect(await bobOf(gid)).toBe(5);
    expect(cluster.pid(leader)).toBeUndefined();
  });
});
