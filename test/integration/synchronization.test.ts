/**
 * How a node that was away catches up, on real disks and connections: by DIFF, by SNAP, and from nothing.
 */
import { rmSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { connect, type Quorate } from "../../src/client/index.js";
import { startCluster, type TestCluster } from "../support/cluster.js";
import { quorateJson } from "../support/quorate.js";

const HISTORY = 64;

let cluster: TestCluster;
let client: Quorate;
let away: number;
let written = 0;

beforeAll(async () => {
  cluster = await startCluster({ args: ["--history-entries-keep", String(HISTORY), "--checkpoint-entries", "100"] });
  client = await connect(cluster.endpoints);
  away = (await cluster.followers())[0] ?? 0;
  await write(10);
});

afterAll(async () => {
  await client.close({ drainMs: 0 });
  await cluster.dispose();
});

async function write(count: number): Promise<void> {
  await Promise.all(Array.from({ length: count }, () => client.put(`key-${written++ % 500}`, Buffer.from(String(written)))));
}

interface Status {
  readonly nodes: readonly {
    readonly id: number;
    readonly applied: string;
    readonly digest: number;
    readonly voting: boolean;
    readonly findings: readonly string[];
    readonly lastSync: { readonly kind: string; readonly from: string; readonly to: string; readonly leader: number } | null;
  }[];
}

/** Every node's status once all stand at the same entry. */
async function settled(): Promise<Status> {
  let status: Status | undefined;
  await expect
    .poll(
      async () => {
        status = (await quorateJson(["status", "--endpoints", cluster.endpoints])) as Status;
        return new Set(status.nodes.map((node) => node.applied)).size;
      },
      { timeout: 20_000 },
    )
    .toBe(1);
  if (status === undefined) throw new Error("no status");
  return status;
}

async function back(): Promise<Status["nodes"][number]> {
  cluster.restart(away);
  await cluster.waitForLeader(cluster.ids);
  const { nodes } = await settled();
  expect(new Set(nodes.map((node) => node.digest)).size).toBe(1);
  const node = nodes.find(({ id }) => id === away);
  if (node === undefined) throw new Error(`no status of n${away}`);
  return node;
}

test("a short absence is a DIFF from where its log ended", async () => {
  const before = (await settled()).nodes.find(({ id }) => id === away)?.applied;
  await cluster.kill9(away);
  await write(20);
  const node = await back();
  expect(node.lastSync).toMatchObject({ kind: "DIFF", from: before });
});

test("an absence longer than the leader's history is a SNAP, sealed end to end, and the states are equal", async () => {
  await cluster.kill9(away);
  for (let i = 0; i < 10; i++) await write(HISTORY);
  const node = await back();
  expect(node.lastSync).toMatchObject({ kind: "SNAP" });
  expect(node.voting).toBe(true);
});

test("a node that lost its folder is filled before it votes, and says so", async () => {
  await cluster.kill9(away);
  rmSync(cluster.node(away).dataDir, { recursive: true });
  await write(HISTORY);
  const node = await back();
  expect(node.lastSync).toMatchObject({ kind: "SNAP", from: "0:0" });
  expect(node.voting).toBe(true);
  expect(cluster.logTail(away, 1000)).toContain('"damage":"identity"');
});
