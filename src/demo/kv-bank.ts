/**
 * A bank on the embedded key-value participant: accounts `acct/N`, ledger rows `ledger/<gid>`.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Quorate, Transaction } from "../client/index.js";
import { kv, kvPayload, type KvParticipant } from "../participant/kv/index.js";
import type { Bank } from "./bank.js";
import { metered, type InDoubtMeter } from "./in-doubt-meter.js";

const ACCOUNT = "acct/";
const LEDGER = "ledger/";

export async function openKvBank(name: string, meter: InDoubtMeter): Promise<Bank> {
  const dir = await mkdtemp(join(tmpdir(), `quorate-${name}-`));
  const store: KvParticipant = await kv({ name, dir });
  return {
    name,
    participant: metered(store, meter),
    move: (tx: Transaction, account: number, delta: number): Promise<void> => {
      tx.ask(
        name,
        kvPayload([
          { op: "add", key: `${ACCOUNT}${account}`, delta, min: 0 },
          { op: "put", key: `${LEDGER}${tx.gid}`, value: delta },
        ]),
      );
      return Promise.resolve();
    },
    ledger: async () => {
      const rows = new Map<string, number>();
      for (const [key, value] of await store.scan(LEDGER)) rows.set(key.slice(LEDGER.length), Number(value));
      return rows;
    },
    total: async () => (await store.scan(ACCOUNT)).reduce((sum, [, value]) => sum + Number(value), 0),
    orphans: async () => (await store.listInDoubt()).length,
    locks: () => Promise.resolve(store.stats().locks),
    close: async () => {
      await store.close();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** Opens the accounts of every bank in one transaction. */
export async function fundKvBanks(quorate: Quorate, names: readonly string[], accounts: number, balance: number): Promise<void> {
  await quorate.transaction((tx) => {
    for (const name of names)
      tx.ask(
        name,
        kvPayload(Array.from({ length: accounts }, (_, account) => ({ op: "put" as const, key: `${ACCOUNT}${account}`, value: balance }))),
      );
    return Promise.resolve();
  });
}
