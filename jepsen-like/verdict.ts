/**
 * The verdict of a run: the banks' own stores, the clients' histories and the cluster's records held against each other.
 *
 * When a final read does not complete the verdict is `unknown`, never `valid`; what is broken already is `invalid` all the same.
 */
import {
  checkAcknowledged,
  checkAnswers,
  checkConservation,
  checkLedger,
  operations,
  type DecidedFact,
  type HistoryEvent,
  type LedgerRow,
  type Violation,
} from "../src/check/index.js";
import type { Quorate, TransactionView } from "../src/index.js";
import { checkDecisionOrder } from "./analysis/decision-model.js";
import { tally, type InvariantResult } from "./analysis/invariants.js";
import { checkDoubt, longestDoubt, type LongestDoubt } from "./analysis/times.js";
import type { TestCluster } from "./cluster/test-cluster.js";
import { ACCOUNT, ACCOUNTS, BALANCE, LEDGER } from "./workload/transfers.js";

export interface Verdict {
  readonly verdict: "valid" | "invalid" | "unknown";
  readonly violations: readonly Violation[];
  /** Of "unknown". */
  readonly why: string | undefined;
  readonly invariants: readonly InvariantResult[];
  readonly transactions: number;
  /** Answers that told a client a decision. */
  readonly okDecisions: number;
  readonly committed: number;
  readonly aborted: number;
  readonly unknownToClients: number;
  readonly orphans: number;
  readonly locks: number;
  readonly doubt: LongestDoubt;
}

const SETTLE_MS_MAX = 20_000;
const READ_TIMEOUT_MS = 10_000;
const LOOKUPS_AT_ONCE = 32;

/** What is left when everything has had its time. */
export interface Rest {
  /** How many said yes during the run. */
  readonly branches: number;
  readonly orphans: number;
  readonly locks: number;
  /** How often the cluster had to come back, and the times it did not. */
  readonly recoveries: number;
  readonly unrecovered: readonly Violation[];
}

/** What is read back at the end. */
interface FinalReads {
  readonly facts: ReadonlyMap<string, DecidedFact>;
  readonly rows: readonly LedgerRow[];
  readonly totals: readonly { readonly participant: string; readonly total: number }[];
  readonly replicas: { readonly pairs: number; readonly violations: readonly Violation[] };
}

/** After `settle`. */
export async function judgeRun(test: TestCluster, history: readonly HistoryEvent[], rest: Rest): Promise<Verdict> {
  const { orphans, locks } = rest;
  const done = operations(history).filter(({ invoke }) => invoke.f === "decide");
  const gids = [...new Set(done.map(({ invoke }) => invoke.key))];
  const answers = operations(history).filter(({ complete }) => complete?.type === "ok").length;
  const order = checkDecisionOrder(history);
  const doubt = longestDoubt(history);
  const fromHistory = [...checkAnswers(history), ...order.violations, ...checkDoubt(doubt), ...rest.unrecovered];
  const counts = {
    transactions: gids.length,
    okDecisions: done.filter(({ complete }) => complete?.type === "ok").length,
    unknownToClients: done.filter(({ complete }) => complete === undefined || complete.type === "info").length,
    orphans,
    locks,
    doubt,
  };
  const checkedAlways = {
    "I2-decision": order.checked,
    "I5-in-doubt": doubt.withMajorityMs === undefined ? 0 : rest.branches,
    "I10-orphan": test.banks.length,
    "I11-lock": test.banks.length,
    "I13-monotonic": answers,
    "L1-recovery": rest.recoveries,
  };
  const left = [
    ...(orphans > 0 ? [{ invariant: "I10-orphan", message: `${orphans} prepared branches are left after ${SETTLE_MS_MAX} ms` }] : []),
    ...(locks > 0 ? [{ invariant: "I11-lock", message: `${locks} branches still hold or wait for locks` }] : []),
  ];
  let reads: FinalReads;
  try {
    reads = await finalReads(test, gids);
  } catch (error) {
    const violations = [...fromHistory, ...left];
    return {
      verdict: violations.length > 0 ? "invalid" : "unknown",
      violations,
      why: `a final read failed: ${error instanceof Error ? error.message : String(error)}`,
      invariants: tally(checkedAlways, violations),
      committed: 0,
      aborted: 0,
      ...counts,
    };
  }
  const { facts, rows, totals, replicas } = reads;
  const violations = [
    ...fromHistory,
    ...checkLedger(facts, rows),
    ...checkAcknowledged(history, facts, rows),
    ...checkConservation(totals, test.banks.length * ACCOUNTS * BALANCE),
    ...left,
    ...replicas.violations,
  ];
  const gaveUp = order.unknown.length;
  const decisions = [...facts.values()];
  return {
    verdict: violations.length > 0 ? "invalid" : gaveUp > 0 ? "unknown" : "valid",
    violations,
    why: gaveUp > 0 ? `the search for an order gave up on ${gaveUp} transactions` : undefined,
    invariants: tally(
      {
        ...checkedAlways,
        "I1-atomicity": facts.size,
        "I3-acknowledged": answers,
        "I4-phantom": rows.length,
        "I6-duplicate": rows.length,
        "I9-conservation": totals.length,
        "I12-replicas": replicas.pairs,
      },
      violations,
    ),
    committed: decisions.filter((fact) => fact.decision === "commit").length,
    aborted: decisions.filter((fact) => fact.decision === "abort").length,
    ...counts,
  };
}

async function finalReads(test: TestCluster, gids: readonly string[]): Promise<FinalReads> {
  return {
    facts: await decidedFacts(test.clients[0] as Quorate, gids),
    rows: await ledgerRows(test),
    totals: await bankTotals(test),
    replicas: await replicasAgree(test),
  };
}

/** Waits, bounded, until nothing is prepared or locked any more. */
export async function settle(test: TestCluster): Promise<Pick<Rest, "orphans" | "locks">> {
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
async function replicasAgree(test: TestCluster): Promise<FinalReads["replicas"]> {
  const nodes = (await (test.clients[0] as Quorate).status()).flatMap(({ status }) => (status === undefined ? [] : [status]));
  const violations: Violation[] = [];
  let pairs = 0;
  for (const a of nodes)
    for (const b of nodes) {
      if (a.id >= b.id || a.applied.epoch !== b.applied.epoch || a.applied.counter !== b.applied.counter) continue;
      pairs += 1;
      if (a.digest !== b.digest)
        violations.push({
          invariant: "I12-replicas",
          message: `n${a.id} and n${b.id} differ at ${a.applied.epoch}:${a.applied.counter}: digests ${a.digest} and ${b.digest}`,
        });
    }
  return { pairs, violations };
}
