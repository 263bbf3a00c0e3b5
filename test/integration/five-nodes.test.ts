/**
 * Five nodes: any two may be gone.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { connect } from "../../src/client/index.js";
import { kv, kvPayload } from "../../src/participant/kv/index.js";
import { startCluster } from "../support/cluster.js";

test("with at most two of five gone it serves; with three gone it says so; with them back it serves again", async () => {
  await using cluster = await startCluster({ nodes: 5 });
  const dir = mkdtempSync(join(tmpdir(), "quorate-five-"));
  const banks = [kv({ name: "bank-a", dir: join(dir, "a") }), kv({ name: "bank-b", dir: join(dir, "b") })];
  const client = await connect(cluster.endpoints, { requestTimeoutMs: 20_000 });
  try {
    await client.attach(...banks);
    let committed = 0;
    const transfer = async (timeoutMs = 15_000): Promise<void> => {
      await client.transaction(
        (tx) => {
          tx.ask("bank-a", kvPayload([{ op: "add", key: "alice", delta: -1 }]));
          tx.ask("bank-b", kvPayload([{ op: "add", key: "bob", delta: 1 }]));
        },
        { timeoutMs },
      );
      committed += 1;
    };
    await transfer();
    const first = await cluster.leader();
    await cluster.kill9(first);
    await transfer();
    const second = await cluster.leader();
    await cluster.kill9(second);
    await transfer();
    const [third] = await cluster.followers();
    await cluster.kill9(third ?? 0);
    await expect(client.put("x", Buffer.from("1"), { timeoutMs: 2_500 })).rejects.toMatchObject({
      code: expect.stringMatching(/QUORATE_(NO_QUORUM|OUTCOME_UNKNOWN)/) as string,
    });
    for (const id of [first, second, third ?? 0]) cluster.restart(id);
    await cluster.waitForLeader();
    await transfer();
    await expect.poll(() => banks.map((bank) => bank.stats().held), { timeout: 5_000 }).toEqual([0, 0]);
    expect([await banks[0]?.get("alice"), await banks[1]?.get("bob")]).toEqual([-committed, committed]);
    expect(committed).toBe(4);
  } finally {
    await client.close({ drainMs: 0 });
    for (const bank of banks) await bank.close();
    rmSync(dir, { recursive: true, force: true });
  }
});
