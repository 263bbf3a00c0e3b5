/**
 * A bank on the embedded key-value participant: accounts `acct/N`, ledger rows `ledger/<gid>`.
 */
import { rmSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Quorate, Transaction } from "../client/index.js";
import { kv, kvPayload, type KvEntry, type KvParticipant } from "../participant/kv/index.js";
import type { AttachedBank, Bank } from "./bank.js";
import { metered, type DoubtSink } from "./in-doubt-meter.js";

const ACCOUNT = "acct/";
const LEDGER = "ledger/";
const LOCK_WAIT_MS = 5_000;

export async function openKvBank(name: string, meter: DoubtSink): Promise<AttachedBank> {
  const dir = await mkdtemp(join(tmpdir(), `quorate-${name}-`));
  // Transfers of the demo cannot deadlock: each slot has an account of its own. A wait is for a decision that is on its way.
  const store = kv({ name, dir, lockWaitMs: LOCK_WAIT_MS, youngerLockWaitMs: LOCK_WAIT_MS });
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
    ledger: async () => new Map((await entries(store, LEDGER)).map(({ key, value }) => [key.slice(LEDGER.length), Number(value)] as const)),
    total: async () => (await entries(store, ACCOUNT)).reduce((sum, { value }) => sum + Number(value), 0),
    orphans: async () => (await store.listInDoubt()).length,
    locks: () => Promise.resolve(store.stats().held),
    close: async () => {
      await store.close();
      await rm(dir, { recursive: true, force: true });
    },
    discard: () => rmSync(dir, { recursive: true, force: true }),
  };
}

/** Every committed entry whose key begins with `prefix`. */
async function entries(store: KvParticipant, prefix: string): Promise<KvEntry[]> {
  const found: KvEntry[] = [];
  // U+FFFF sorts after every key the demo writes.
  for await (const entry of store.scan({ gte: prefix, lt: `${prefix}\uffff` })) found.push(entry);
  return found;
}

/** Opens the accounts of every bank in one transaction, and waits until every store shows them. */
export async function fundKvBanks(quorate: Quorate, banks: readonly Bank[], accounts: number, balance: number): Promise<void> {
  await quorate.transaction((tx) => {
    for (const { name } of banks)
      tx.ask(
        name,
        kvPayload(Array.from({ length: accounts }, (_, account) => ({ op: "put" as const, key: `${ACCOUNT}${account}`, value: balance }))),
      );
  });
  // The promise resolves with the decision; the participants follow.
  for (const bank of banks) while ((await bank.locks()) > 0) await new Promise((resolve) => setTimeout(resolve, 5));
}
