/**
 * What was acknowledged survives the death of every process.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { isQuorateError } from "../../src/base/index.js";
import { connect, type Quorate } from "../../src/client/index.js";
import { kv, kvPayload, type KvParticipant } from "../../src/participant/kv/index.js";
import { startCluster, type TestCluster } from "../support/cluster.js";
import { quorate as command } from "../support/quorate.js";

const WORKERS = 16;

let cluster: TestCluster;
let client: Quorate;
let dir: string;
let banks: readonly [KvParticipant, KvParticipant];

beforeEach(async () => {
  cluster = await startCluster();
  dir = mkdtempSync(join(tmpdir(), "quorate-durability-"));
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

interface Load {
  /** Transactions whose commit was acknowledged. */
  readonly committed: Set<string>;
  /** Registers whose put was acknowledged, with the value. */
  readonly written: Map<string, string>;
  readonly unknown: Set<string>;
  stop(): Promise<void>;
}

/** Transfers and register writes until stopped; every answer is kept. */
function load(): Load {
  const committed = new Set<string>();
  const written = new Map<string, string>();
  const unknown = new Set<string>();
  let stopped = false;
  const transfer = async (worker: number, n: number): Promise<void> => {
    const gid = client.newGid();
    const work = (delta: number) => kvPayload([{ op: "add", key: `${worker}-${n}`, delta }]);
    try {
      await client.transaction(
        (tx) => {
          tx.ask("bank-a", work(-1));
          tx.ask("bank-b", work(1));
        },
        { gid, timeoutMs: 10_000 },
      );
      committed.add(gid);
    } catch (error) {
      if (!isQuorateError(error)) throw error;
      if (error.outcome === "unknown") unknown.add(gid);
    }
  };
  const put = async (worker: number, n: number): Promise<void> => {
    const name = `r-${worker}-${n}`;
    try {
      await client.put(name, Buffer.from(String(n)), { timeoutMs: 1000 });
      written.set(name, String(n));
    } catch (error) {
      if (!isQuorateError(error)) throw error;
    }
  };
  const workers = Array.from({ length: WORKERS }, async (_, worker) => {
    for (let n = 0; !stopped; n++) await (worker % 4 === 0 ? put(worker, n) : transfer(worker, n));
  });
  return {
    committed,
    written,
    unknown,
    stop: async () => {
      stopped = true;
      await Promise.all(workers);
    },
  };
}

async function expectEverything(done: Load): Promise<void> {
  const outcomes = await Promise.all([...done.committed].map(async (gid) => [gid, (await client.outcome(gid)).decision] as const));
  expect(outcomes.filter(([, decision]) => decision !== "commit")).toEqual([]);
  const read = await Promise.all([...done.written].map(async ([name, value]) => [name, value, await client.read(name)] as const));
  expect(read.filter(([, value, found]) => found === undefined || Buffer.from(found.value).toString() !== value)).toEqual([]);
}

async function settledBalances(): Promise<number> {
  await expect.poll(() => banks.map((bank) => bank.stats().held), { timeout: 20_000 }).toEqual([0, 0]);
  let sum = 0;
  for (const bank of banks) for await (const { value } of bank.scan()) sum += Number(value);
  return sum;
}

describe("kill -9 of all three nodes under load", () => {
  test("all three come back: every acknowledged decision and write is there, and no money is lost", async () => {
    const running = load();
    await expect.poll(() => running.committed.size, { timeout: 20_000 }).toBeGreaterThan(200);
    await Promise.all(cluster.ids.map((id) => cluster.kill9(id)));
    const acknowledged = running.committed.size;
    for (const id of cluster.ids) cluster.restart(id);
    await cluster.waitForLeader();
    await expect.poll(() => running.committed.size, { timeout: 20_000 }).toBeGreaterThan(acknowledged + 50);
    await running.stop();
    await expectEverything(running);
    expect(await settledBalances()).toBe(0);
    for (const id of cluster.ids) expect(cluster.logTail(id, 1000)).not.toMatch(/"level":60/);
  });

  test("two of them are enough; one alone answers no write and says that there is no quorum", async () => {
    const running = load();
    await expect.poll(() => running.committed.size, { timeout: 20_000 }).toBeGreaterThan(100);
    await Promise.all(cluster.ids.map((id) => cluster.kill9(id)));
    const [first, second, third] = cluster.ids as readonly number[] as [number, number, number];
    cluster.restart(first);
    cluster.restart(third);
    await cluster.waitForLeader([first, third]);
    await running.stop();
    await expectEverything(running);
    expect(await settledBalances()).toBe(0);

    await cluster.kill9(third);
    const alone = ["--endpoints", cluster.endpoints, "--timeout-ms", "1500"];
    const health = await command(["health", ...alone]);
    expect(health.code).toBe(3);
    expect(health.stderr).toMatch(/no quorum: .*\[QUORATE_NO_QUORUM\]/);
    const begin = await command(["txn", "begin", ...alone]);
    expect(begin).toMatchObject({ code: 3, stdout: "" });
    const status = await command(["status", ...alone]);
    expect(status.code).toBe(3);
    expect(status.stdout).toContain("LEADER none: no quorum");
    expect(status.stdout).toMatch(new RegExp(`n${second}\\s+unreachable`));

    cluster.restart(second);
    await cluster.waitForLeader([first, second]);
    await expectEverything(running);
    expect((await command(["health", ...alone])).code).toBe(0);
  });
});
