/**
 * A follower whose snapshot comes slowly when the leader changes: it must not wait for the end of what nobody wants any more.
 */
import { afterEach, expect, test } from "vitest";
import { connect, type Quorate } from "../../src/client/index.js";
import { startCluster, type TestCluster } from "../support/cluster.js";

/** 64 KiB/s is the least: a state of 4 MiB takes a minute. */
const SLOW_SNAPSHOT = ["--history-entries-keep", "16", "--checkpoint-entries", "32", "--snapshot-bytes-per-second", String(64 * 1024)];
const KEYS = 80;
const VALUE = Buffer.alloc(48 * 1024, "v");

let cluster: TestCluster;
let client: Quorate;

afterEach(async () => {
  await client.close({ drainMs: 0 });
  await cluster.dispose();
});

test("a node in the middle of a snapshot follows the next leader at once, though the old one goes on sending", async () => {
  cluster = await startCluster({ args: SLOW_SNAPSHOT });
  client = await connect(cluster.endpoints, { requestTimeoutMs: 20_000 });
  const [victim, other] = await cluster.followers();
  if (victim === undefined || other === undefined) throw new Error("two nodes follow");
  await cluster.kill9(victim);
  for (let i = 0; i < KEYS; i++) await client.put(`key-${i}`, VALUE);
  const base = async (id: number): Promise<number> =>
    (await client.status()).find(({ status }) => status?.id === id)?.status?.historyBase.counter ?? 0;
  const leader = await cluster.processes.ready(20_000).then((found) => found.leader);
  await expect.poll(() => base(leader), { timeout: 15_000 }).toBeGreaterThan(32);
  await expect.poll(() => base(other), { timeout: 15_000 }).toBeGreaterThan(32);
  cluster.restart(victim);
  const seen = async (): Promise<unknown> => {
    const now = await cluster.processes.readiness(victim);
    return { role: now?.role, phase: now?.phase, leader: now?.leader };
  };
  await expect.poll(seen, { timeout: 15_000 }).toEqual({ role: "following", phase: "synchronization", leader });
  await client.moveLeader(other, { timeoutMs: 10_000 });
  await expect.poll(seen, { timeout: 10_000 }).toEqual({ role: "following", phase: "synchronization", leader: other });
});
