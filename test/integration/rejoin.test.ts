/**
 * How nodes that were away come back: by DIFF, by SNAP, by TRUNC, and out of a damaged log; and that `status` tells.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import type { NodeStatus } from "../../src/wire/index.js";
import { connect, type Quorate } from "../../src/client/index.js";
import { startCluster, type TestCluster } from "../support/cluster.js";
import { quorate } from "../support/quorate.js";

const SMALL_LOG = ["--history-entries-keep", "16", "--checkpoint-entries", "32"];

let cluster: TestCluster;
let client: Quorate;

async function open(args: readonly string[] = []): Promise<void> {
  cluster = await startCluster({ args });
  client = await connect(cluster.endpoints, { requestTimeoutMs: 20_000 });
}

afterEach(async () => {
  await client.close({ drainMs: 0 });
  await cluster.dispose();
});

async function puts(count: number, prefix: string): Promise<void> {
  for (let i = 0; i < count; i++) await client.put(`${prefix}-${i % 50}`, Buffer.from(String(i)));
}

async function statusOf(id: number): Promise<NodeStatus | undefined> {
  const { clientAddress } = cluster.node(id);
  return (await client.status()).find(({ address }) => address === clientAddress)?.status;
}

/** The node applied everything the leader has committed, and both have the same state. */
async function expectLevel(id: number): Promise<void> {
  const leader = await cluster.leader();
  const difference = async (): Promise<object> => {
    const [a, b] = [await statusOf(leader), await statusOf(id)];
    return { applied: a?.applied.counter === b?.applied.counter && a?.applied.epoch === b?.applied.epoch, digest: a?.digest === b?.digest };
  };
  await expect.poll(difference, { timeout: 15_000 }).toEqual({ applied: true, digest: true });
}

describe("a node that was away", () => {
  test("for ten entries comes back by DIFF", async () => {
    await open();
    const [follower] = await cluster.followers();
    await puts(5, "before");
    await cluster.kill9(follower ?? 0);
    await puts(10, "away");
    cluster.restart(follower ?? 0);
    await cluster.waitForLeader();
    await expectLevel(follower ?? 0);
    expect((await statusOf(follower ?? 0))?.lastSync?.kind).toBe("DIFF");
    expect((await quorate(["status", "--endpoints", cluster.endpoints])).stdout).toMatch(new RegExp(`n${follower}.*DIFF`));
  });

  test("past the compacted log comes back by SNAP, and holds the same state", async () => {
    await open(SMALL_LOG);
    const [follower] = await cluster.followers();
    await cluster.kill9(follower ?? 0);
    await puts(300, "away");
    await expect.poll(async () => (await statusOf(await cluster.leader()))?.historyBase.counter, { timeout: 10_000 }).toBeGreaterThan(100);
    cluster.restart(follower ?? 0);
    await cluster.waitForLeader();
    await expectLevel(follower ?? 0);
    expect((await statusOf(follower ?? 0))?.lastSync?.kind).toBe("SNAP");
    await puts(20, "after");
    await expectLevel(follower ?? 0);
  });

  test("as a leader with a tail that nobody else has comes back by TRUNC, and the tail is gone", async () => {
    await open(["--quorum-loss-ms", "20000"]);
    await puts(5, "before");
    const leader = await cluster.leader();
    const others = await cluster.followers();
    const before = await statusOf(leader);
    // With the others gone it still writes its own log for a moment; nobody acknowledges.
    await Promise.all(others.map((id) => cluster.kill9(id)));
    const lost = client.put("lost", Buffer.from("tail"), { timeoutMs: 800 });
    await expect(lost).rejects.toMatchObject({ code: "QUORATE_OUTCOME_UNKNOWN" });
    expect((await statusOf(leader))?.lastZxid.counter).toBeGreaterThan(before?.lastZxid.counter ?? 0);
    await cluster.kill9(leader);
    for (const id of others) cluster.restart(id);
    await cluster.waitForLeader(others);
    await puts(5, "meanwhile");
    cluster.restart(leader);
    await cluster.waitForLeader();
    await expectLevel(leader);
    expect((await statusOf(leader))?.lastSync?.kind).toBe("TRUNC");
    expect(await client.read("lost")).toBeUndefined();
  });

  test("with one flipped bit in its log does not vote, says why, rebuilds from the leader and counts again", async () => {
    await open();
    await puts(200, "before");
    const [follower] = await cluster.followers();
    const victim = follower ?? 0;
    await expectLevel(victim);
    await cluster.kill9(victim);
    flipOneBit(join(cluster.node(victim).dataDir, "log"));
    await puts(5, "away");
    cluster.restart(victim);
    await cluster.waitForLeader();
    await expectLevel(victim);
    await expect.poll(async () => (await statusOf(victim))?.voting, { timeout: 15_000 }).toBe(true);
    expect((await statusOf(victim))?.findings.join("\n")).toMatch(/damage|checksum|CRC/i);
    expect((await quorate(["status", "--endpoints", cluster.endpoints])).stdout).toMatch(/damage|checksum|CRC/i);
    // It counts again: with the other follower gone, it is half of the majority.
    const other = (await cluster.followers()).find((id) => id !== victim);
    await cluster.kill9(other ?? 0);
    await puts(5, "after");
    await expectLevel(victim);
  });
});

/** Turns one bit in the middle of what was written to the oldest segment that holds records. */
function flipOneBit(folder: string): void {
  for (const name of readdirSync(folder).sort()) {
    const file = join(folder, name);
    const bytes = readFileSync(file);
    let end = bytes.length;
    while (end > 0 && bytes[end - 1] === 0) end--;
    if (end < 8192) continue;
    const at = Math.floor(end / 2);
    bytes[at] = (bytes[at] ?? 0) ^ 0x10;
    writeFileSync(file, bytes);
    return;
  }
  throw new Error(`no segment with enough records in ${folder}`);
}
