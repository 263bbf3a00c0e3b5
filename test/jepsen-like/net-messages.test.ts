/**
 * Messages to and from participants that are lost, repeated and late, on a cluster of real processes: each effect happens once.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { connect } from "../../src/client/index.js";
import { kv, kvPayload } from "../../src/participant/kv/index.js";
import { startCluster } from "../support/cluster.js";

const TRANSFERS = 200;
const RULE = "mangle(2,60,40,300)";

test("calls, answers and inquiries mangled on every node: all transfers commit once, both ledgers agree, and the counts say that it was felt", async () => {
  await using cluster = await startCluster({ env: { QUORATE_ENABLE_FAILPOINTS: "1" } });
  const dir = mkdtempSync(join(tmpdir(), "quorate-net-messages-"));
  const banks = ["bank-a", "bank-b"].map((name) => kv({ name, dir: join(dir, name) }));
  const quorate = await connect(cluster.endpoints);
  try {
    await quorate.attach(...banks);
    const points = ["call", "reply", "inquiry", "inquiry-answer"].map((point) => `message.${point}=${RULE}`);
    for (const id of [1, 2, 3]) await cluster.failpoints(id, points.join(";"));
    const { leader } = await cluster.waitForLeader();
    await Promise.all(
      Array.from({ length: TRANSFERS }, (_, n) =>
        quorate.transaction(
          (tx) => {
            for (const [side, bank] of banks.entries())
              tx.ask(
                bank.name,
                kvPayload([
                  { op: "add", key: `acct/${n}`, delta: side === 0 ? -1 : 1 },
                  { op: "append", key: `ledger/${n}`, value: "x" },
                ]),
              );
          },
          { timeoutMs: 60_000 },
        ),
      ),
    );
    await expect.poll(() => banks.reduce((held, bank) => held + bank.stats().held, 0), { timeout: 30_000 }).toBe(0);
    for (const [side, bank] of banks.entries()) {
      const entries = [];
      for await (const entry of bank.scan({ gte: "", lt: "\uffff" })) entries.push(entry);
      expect(entries.filter(({ key }) => key.startsWith("ledger/")).map(({ value }) => value)).toEqual(Array(TRANSFERS).fill("x"));
      const changes = entries.filter(({ key }) => key.startsWith("acct/")).map(({ value }) => value);
      expect(changes).toEqual(Array(TRANSFERS).fill(side === 0 ? -1 : 1));
    }
    const seen = (await (await fetch(`http://${cluster.node(leader).adminAddress}/failpoints`)).json()) as {
      readonly messages: Readonly<Record<string, { readonly lost: number; readonly repeated: number; readonly late: number }>>;
    };
    for (const point of ["message.call", "message.reply"]) {
      const { lost, repeated, late } = seen.messages[point] ?? expect.unreachable(point);
      expect(Math.min(lost, repeated, late), point).toBeGreaterThan(0);
    }
  } finally {
    await quorate.close({ drainMs: 0 });
    for (const bank of banks) await bank.close();
    rmSync(dir, { recursive: true, force: true });
  }
}, 120_000);
