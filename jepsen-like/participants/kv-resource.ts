/**
 * A key-value participant under test: accounts `acct/N`, one ledger row `ledger/<gid>/<branch>` for each branch.
 *
 * A branch appends one mark to its row: an effect that happened twice shows as two.
 */
import { join } from "node:path";
import type { LedgerRow } from "../../src/check/index.js";
import { kvPayload, type KvEntry, type KvOperation } from "../../src/participant/kv/index.js";
import { ParticipantProcess } from "./participant-process.js";
import { ACCOUNTS, type Resource, type ResourceOptions, type Work } from "./resource.js";

const LEDGER = "ledger/";
export const ACCOUNT = "acct/";
const PAGE = 2_000;
/** Sorts after every key that is written here. */
const END = "\uffff";

/** Not started. */
export function kvResource({ name, dir, endpoints, routes, duplicatesSeed, observer }: ResourceOptions): Resource {
  const process = new ParticipantProcess(
    { name, endpoints, routes, store: { kind: "kv", dir: join(dir, name) }, duplicatesSeed },
    join(dir, `${name}.log`),
    observer.listener(name, true),
  );
  async function* scan(prefix: string): AsyncGenerator<readonly KvEntry[]> {
    for (let gte = prefix; ;) {
      const page = await process.ask("scan", { gte, lt: `${prefix}${END}`, limit: PAGE });
      if (page.length > 0) yield page;
      const last = page.at(-1);
      if (last === undefined || page.length < PAGE) return;
      gte = `${last.key}\0`;
    }
  }
  return {
    name,
    kind: "kv",
    process,
    database: undefined,
    branchKind: "2pc",
    payload: (work) => kvPayload(operations(work)),
    bring: undefined,
    start: () => Promise.resolve(),
    touchAll: () => kvPayload(Array.from({ length: ACCOUNTS }, (_, n) => ({ op: "add" as const, key: `${ACCOUNT}${n}`, delta: 0 }))),
    reads: (ref) => process.ask("reads", ref),
    ledger: async function* () {
      for await (const page of scan(LEDGER)) yield page.map((entry) => rowOf(name, entry));
    },
    balances: async () => {
      let [total, lowest] = [0, Infinity];
      for await (const page of scan(ACCOUNT))
        for (const { value } of page) {
          total += Number(value);
          lowest = Math.min(lowest, Number(value));
        }
      return { total, lowest };
    },
    orphans: async () => (await process.ask("inDoubt", {})).length,
    locks: () => process.ask("held", {}),
    reserved: undefined,
    leaving: () => observer.probe.left(name),
    returned: () => observer.probe.back(name, undefined, globalThis.process.hrtime.bigint()),
    close: () => process.kill9(),
  };
}

export function operations({ gid, branch, move, doomed }: Work): readonly KvOperation[] {
  return [
    ...(move === undefined ? [] : [{ op: "add" as const, key: `${ACCOUNT}${move.account}`, delta: move.delta, min: 0 }]),
    { op: "append", key: ledgerKey(gid, branch), value: "x" },
    ...(doomed ? [{ op: "require" as const, key: "no-such-key", exists: true }] : []),
  ];
}

export function ledgerKey(gid: string, branch: string): string {
  return `${LEDGER}${gid}/${branch}`;
}

function rowOf(participant: string, { key, value }: KvEntry): LedgerRow {
  const [gid = "", branch = ""] = key.slice(LEDGER.length).split("/");
  return { participant, gid, branch, effects: String(value).length };
}
