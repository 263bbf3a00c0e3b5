/**
 * The leader dies at exactly the points where a coordinator may not die, and never comes back.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { connect, type Quorate } from "../../src/client/index.js";
import { kv, kvPayload, type KvParticipant } from "../../src/participant/kv/index.js";
import { startCluster, type TestCluster } from "../support/cluster.js";

let cluster: TestCluster;
let client: Quorate;
let dir: string;
let banks: readonly [KvParticipant, KvParticipant];

beforeEach(async () => {
  cluster = await startCluster({ env: { QUORATE_ENABLE_FAILPOINTS: "1" } });
  dir = mkdtempSync(join(tmpdir(), "quorate-killed-at-"));
  banks = [kv({ name: "bank-a", dir: join(dir, "a") }), kv({ name: "bank-b", dir: join(dir, "b") })];
  client = await connect(cluster.endpoints, { requestTimeoutMs: 20_000 });
  await client.attach(...banks);
});

afterEach(async () => {
  await client.close({ drainMs: 0 });
  for (const bank of banks) await bank.close();
  await cluster.dispose();
  rmSync(dir, { recursive: true, force: true });
});

async function transferWhile(failpoint: string): Promise<string> {
  const leader = await cluster.leader();
  await cluster.failpoints(leader, `${failpoint}=crash`);
  const gid = client.newGid();
  await client.transaction(
    (tx) => {
      tx.ask("bank-a", kvPayload([{ op: "add", key: "alice", delta: -5 }]));
      tx.ask("bank-b", kvPayload([{ op: "add", key: "bob", delta: 5 }]));
    },
    { gid, timeoutMs: 15_000 },
  );
  await cluster.processes.exited(leader);
  expect(cluster.exits.map(({ id, signal }) => ({ id, signal }))).toEqual([{ id: leader, signal: "SIGKILL" }]);
  return gid;
}

describe("the leader is killed for good", () => {
  test.each([
    ["before its BEGIN is proposed", "begin-propose"],
    ["after BEGIN was proposed, before a PREPARE is sent", "prepare-send"],
    ["between the last yes and the decision", "decision-propose"],
    ["between the decision and the first commit call", "commit-send-first"],
    ["between two commit calls", "commit-send-second"],
    ["before the client is answered", "client-answer"],
  ])("%s: the new leader finishes it, the client learns the truth, both participants commit by themselves", async (_, failpoint) => {
    const gid = await transferWhile(failpoint);
    // The promise has resolved, so the decision is replicated; both participants must follow within moments, with nobody's help.
    await expect.poll(() => banks.map((bank) => bank.stats().held), { timeout: 10_000 }).toEqual([0, 0]);
    expect([await banks[0].get("alice"), await banks[1].get("bob")]).toEqual([-5, 5]);
    const outcome = await client.outcome(gid);
    expect(outcome.decision).toBe("commit");
    expect(outcome.branches.map((branch) => branch.vote)).toEqual(["yes", "yes"]);
  });

  test("after the decision is durable, with a participant that refuses: the abort is the decision, and nobody keeps anything", async () => {
    const leader = await cluster.leader();
    await cluster.failpoints(leader, "decision-applied=crash");
    const aborted = client.transaction(
      (tx) => {
        tx.ask("bank-a", kvPayload([{ op: "add", key: "alice", delta: -5, min: 0 }]));
        tx.ask("bank-b", kvPayload([{ op: "add", key: "bob", delta: 5 }]));
      },
      { timeoutMs: 15_000 },
    );
    await expect(aborted).rejects.toMatchObject({ code: "QUORATE_ABORTED", outcome: "aborted" });
    await cluster.processes.exited(leader);
    await expect.poll(() => banks.map((bank) => bank.stats().held), { timeout: 10_000 }).toEqual([0, 0]);
    expect([await banks[0].get("alice"), await banks[1].get("bob")]).toEqual([undefined, undefined]);
  });
});
