/**
 * The end of a run: waits until nothing is in doubt any more, reads everything back, and writes it into the history for the judge.
 *
 * A read that fails is written as such: the verdict is then `unknown`, never `valid`.
 */
import type { LedgerRow } from "../src/check/index.js";
import { isQuorateError, type TransactionView } from "../src/index.js";
import { ledgerValue, recordValue, type TransactionRecord } from "./analysis/final-reads.js";
import type { HistoryWriter } from "./history-writer.js";
import { ACCOUNTS, askedBranch, BALANCE, type Resource } from "./participants/resource.js";
import { clientOf, type Stage } from "./workload/stage.js";

const SETTLE_MS_MAX = 20_000;
const READ_TIMEOUT_MS = 10_000;
const TOUCH_TIMEOUT_MS = 10_000;
const LOOKUPS_AT_ONCE = 128;
const ROWS_A_LINE = 200;

/** Waits, bounded, until nothing is prepared, locked or reserved and the cluster owes nothing. What is left then is written. */
export async function settle(stage: Stage, own: ReadonlySet<string>): Promise<void> {
  const { history, participants } = stage;
  const untilMs = performance.now() + SETTLE_MS_MAX;
  for (;;) {
    const left = await Promise.all(
      participants.map(async (each) => {
        const reserved = each.reserved === undefined ? {} : { reserved: await each.reserved() };
        return { name: each.name, at: { orphans: await each.orphans(), locks: await each.locks(), ...reserved } };
      }),
    );
    const active = await activeOf(stage, own);
    const rest = active === 0 && left.every(({ at }) => Object.values(at).every((count) => count === 0));
    if (rest || performance.now() > untilMs) {
      for (const { name, at } of left) say(history, "left", name, at);
      say(history, "active", "", active);
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Transactions of this run, undecided or not acknowledged by everybody. A cluster that is somebody's own has others. */
async function activeOf(stage: Stage, own: ReadonlySet<string>): Promise<number> {
  const client = clientOf(stage, 0);
  const options = { limit: 1000, timeoutMs: READ_TIMEOUT_MS };
  const lists = await Promise.all((["open", "in-doubt"] as const).map((state) => client.list({ ...options, state })));
  return new Set(lists.flat().flatMap(({ gid }) => (own.has(gid) ? [gid] : []))).size;
}

/** After `settle`. Never rejects: what cannot be read is written as unread. */
export async function readBack(stage: Stage, own: ReadonlySet<string>): Promise<void> {
  const { history, participants } = stage;
  await attempt(history, "records", () => readRecords(stage, [...own]));
  for (const each of participants) {
    await attempt(history, `the ledger of ${each.name}`, () => readLedger(history, each));
    await attempt(history, `the accounts of ${each.name}`, async () => {
      const { total, lowest } = await each.balances();
      say(history, "balance", each.name, { total, lowest, expected: ACCOUNTS * BALANCE });
    });
  }
}

/** One transaction that writes every account of every participant by nothing. */
export async function touchAll(stage: Stage): Promise<void> {
  const { history, participants } = stage;
  if (participants.length === 0) return;
  const client = clientOf(stage, 0);
  const gid = client.newGid();
  const branches = participants.map((each) => askedBranch(each, each.name, each.touchAll()));
  try {
    const { decision, detail } = await client.commit(gid, branches, [], { timeoutMs: TOUCH_TIMEOUT_MS });
    say(history, "touched", gid, decision === "commit" ? decision : `${decision}: ${detail}`);
  } catch (error) {
    if (!isQuorateError(error)) throw error;
    say(history, "touched", gid, `${error.code}: ${error.message}`);
  }
}

async function attempt(history: HistoryWriter, what: string, read: () => Promise<void>): Promise<void> {
  try {
    await read();
  } catch (error) {
    say(history, "unread", "", `${what}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** What the cluster itself says of every gid. */
async function readRecords(stage: Stage, gids: readonly string[]): Promise<void> {
  const client = clientOf(stage, 0);
  for (let i = 0; i < gids.length; i += LOOKUPS_AT_ONCE) {
    const views = await Promise.all(gids.slice(i, i + LOOKUPS_AT_ONCE).map((gid) => client.outcome(gid, { timeoutMs: READ_TIMEOUT_MS })));
    say(stage.history, "record", "", recordValue(views.map(recordOf)));
  }
}

function recordOf({ gid, decision, decidedAt, reason, branches }: TransactionView): TransactionRecord {
  const named = branches.map(({ id, participant, vote }) => ({ name: `${id}@${participant}`, vote }));
  return {
    gid,
    decision: decidedAt === undefined ? undefined : decision,
    zxid: decidedAt === undefined ? "" : `${decidedAt.epoch}:${decidedAt.counter}`,
    reason,
    yes: named.filter(({ vote }) => vote === "yes").map(({ name }) => name),
    branches: named.map(({ name }) => name),
  };
}

async function readLedger(history: HistoryWriter, resource: Resource): Promise<void> {
  let rows: LedgerRow[] = [];
  for await (const page of resource.ledger()) {
    rows = rows.concat(page);
    while (rows.length >= ROWS_A_LINE) say(history, "ledger", resource.name, ledgerValue(rows.splice(0, ROWS_A_LINE)));
  }
  // Also when it is empty: it was read.
  say(history, "ledger", resource.name, ledgerValue(rows));
}

function say(history: HistoryWriter, f: string, key: string, value: Parameters<HistoryWriter["add"]>[0]["value"]): void {
  history.add({ process: -1, type: "info", f, key, value });
}
