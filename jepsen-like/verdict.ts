/**
 * The verdict of a run: the banks' own stores, the clients' histories and the cluster's records held against each other.
 *
 * When a final read does not complete the verdict is `unknown`, never `valid`.
 */
import {
  checkAcknowledged,
  checkAnswers,
  checkConservation,
  checkLedger,
  operations,
  type DecidedFact,
  type LedgerRow,
  type Violation,
} from "../src/check/index.js";
import type { Quorate, TransactionView } from "../src/index.js";
import { ACCOUNT, ACCOUNTS, BALANCE, LEDGER } from "./workload/transfers.js";
import type { TestCluster } from "./cluster/test-cluster.js";
import type { HistoryWriter } from "./history-writer.js";

export interface Verdict {
  readonly verdict: "valid" | "invalid" | "unknown";
  readonly violations: readonly Violation[];
  readonly why: string | undefined;
  readonly transactions: number;
  readonly committed: number;
  readonly aborted: number;
  readonly unknownToClients: number;
  readonly orphans: number;
  readonly locks: number;
}

const SETTLE_MS_MAX = 20_000;
const READ_TIMEOUT_MS = 10_000;
const LOOKUPS_AT_ONCE = 32;

export async function judgeRun(test: TestCluster, history: HistoryWriter): Promise<Verdict> {
  const { orphans, locks } = await settle(test);
  const done = operations(history.events).filter(({ invoke }) => invoke.f === "decide");
  const gids = [...new Set(done.map(({ invoke }) => invoke.key))];
  const counts = {
    transactions: gids.length,
    unknownToClients: done.filter(({ complete }) => complete === undefined || complete.type === "info").length,
    orphans,
    locks,
  };
  let facts: ReadonlyMap<string, DecidedFact>;
  let rows: readonly LedgerRow[];
  let totals: readonly { readonly participant: string; readonly total: number }[];
  try {
    facts = await decidedFacts(test.clients[0] as Quorate, gids);
    rows = await ledgerRows(test);
    totals = await bankTotals(test);
  } catch (error) {
    return {
      verdict: "unknown",
      violations: [],
      why: `a final read failed: ${error instanceof Error ? error.message : String(error)}`,
      committed: 0,
      aborted: 0,
      ...counts,
    };
  }
  const violations = [
    ...checkAnswers(history.events),
    ...checkLedger(facts, rows),
    ...checkAcknowledged(history.events, facts, rows),
    ...checkConservation(totals, test.banks.length * ACCOUNTS * BALANCE),
    ...(orphans > 0 ? [{ invariant: "I10-orphan", message: `${orphans} prepared branches are left after ${SETTLE_MS_MAX} ms` }] : []),
    ...(locks > 0 ? [{ invariant: "I11-lock", message: `${locks} branches still hold or wait for locks` }] : []),
    ...(await replicasAgree(test)),
  ];
  const decisions = [...facts.values()];
  return {
    verdict: violations.length === 0 ? "valid" : "invalid",
    violations,
    why: undefined,
    committed: decisions.filter((fact) => fact.decision === "commit").length,
    aborted: decisions.filter((fact) => fact.decision === "abort").length,
    ...counts,
  };
}

async function settle(test: TestCluster): Promise<{ readonly orphans: number; readonly locks: number }> {
  const untilMs = performance.now() + SETTLE_MS_MAX;
  for (;;) {
    const orphans = (await Promise.all(test.banks.map((bank) => bank.listInDoubt()))).reduce((sum, list) => sum + list.length, 0);
    const locks = test.banks.reduce((sum, bank) => sum + bank.stats().held, 0);
    if ((orphans === 0 && locks === 0) || performance.now() > untilMs) return { orphans, locks };
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** What the cluster itself says of every gid; one that never began has no fact. */
async function decidedFacts(client: Quorate, gids: readonly string[]): Promise<ReadonlyMap<string, DecidedFact>> {
  const facts = new Map<string, DecidedFact>();
  for (let i = 0; i < gids.length; i += LOOKUPS_AT_ONCE) {
    const views = await Promise.all(gids.slice(i, i + LOOKUPS_AT_ONCE).map((gid) => client.outcome(gid, { timeoutMs: READ_TIMEOUT_MS })));
    for (const view of views) {
      const fact = factOf(view);
      if (fact !== undefined) facts.set(view.gid, fact);
    }
  }
  return facts;
}

function factOf(view: TransactionView): DecidedFact | undefined {
  if (view.decision === undefined || view.decidedAt === undefined) return undefined;
  return {
    gid: view.gid,
    decision: view.decision,
    zxid: `${view.decidedAt.epoch}:${view.decidedAt.counter}`,
    yes: view.branches.filter((branch) => branch.vote === "yes").map((branch) => ({ branch: branch.id, participant: branch.participant })),
    reason: view.reason,
  };
}

async function ledgerRows(test: TestCluster): Promise<readonly LedgerRow[]> {
  const rows: LedgerRow[] = [];
  for (const bank of test.banks)
    for await (const { key, value } of bank.scan({ gte: LEDGER, lt: `${LEDGER}\uffff` }))
      rows.push({ participant: bank.name, gid: key.slice(LEDGER.length), branch: bank.name, effects: String(value).length });
  return rows;
}

async function bankTotals(test: TestCluster): Promise<readonly { readonly participant: string; readonly total: number }[]> {
  const totals = [];
  for (const bank of test.banks) {
    let total = 0;
    for await (const { value } of bank.scan({ gte: ACCOUNT, lt: `${ACCOUNT}\uffff` })) total += Number(value);
    totals.push({ participant: bank.name, total });
  }
  return totals;
}

/** I12: nodes that stand at the same entry have the same digest. */
async function replicasAgree(test: TestCluster): Promise<readonly Violation[]> {
  const nodes = (await (test.clients[0] as Quorate).status()).flatMap(({ status }) => (status === undefined ? [] : [status]));
  const violations: Violation[] = [];
  for (const a of nodes)
    for (const b of nodes)
      if (a.id < b.id && a.applied.epoch === b.applied.epoch && a.applied.counter === b.applied.counter && a.digest !== b.digest)
        violations.push({
          invariant: "I12-replicas",
          message: `n${a.id} and n${b.id} differ at ${a.applied.epoch}:${a.applied.counter}: digests ${a.digest} and ${b.digest}`,
        });
  return violations;
}
