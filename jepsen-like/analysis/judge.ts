/**
 * Judges a history by itself: what clients were told, and, when the run wrote them down, the cluster's records, the participants' books,
 * the replicas' digests and the nodes' footprint. The same words for a run that has just ended and for a file from anywhere.
 */
import {
  appendTransactions,
  checkAcknowledged,
  checkAnswers,
  checkAppends,
  checkConfirms,
  checkConservation,
  checkLedger,
  checkRegisters,
  checkReserves,
  operations,
  type HistoryEvent,
  type Violation,
} from "../../src/check/index.js";
import { checkBranches } from "./branches.js";
import { checkDecisionOrder } from "./decision-model.js";
import { asDecisions } from "./decisions.js";
import { factsOf, finalReads, type FinalReads } from "./final-reads.js";
import { checkFootprint, footprints, footprintSamples, type NodeFootprint } from "./footprint.js";
import { tally, type InvariantName, type InvariantResult } from "./invariants.js";
import { checkReplicas } from "./replicas.js";
import { fields } from "./timeline.js";
import { checkDoubt, longestDoubt, type LongestDoubt } from "./times.js";

export interface Judgement {
  readonly verdict: "valid" | "invalid" | "unknown";
  readonly violations: readonly Violation[];
  /** Of "unknown". */
  readonly why: string | undefined;
  readonly invariants: readonly InvariantResult[];
  readonly transactions: number;
  /** Answers that told a client a decision. */
  readonly okDecisions: number;
  /** By the cluster's records; without them by what clients were told. */
  readonly committed: number;
  readonly aborted: number;
  readonly unknownToClients: number;
  readonly registerOperations: number;
  readonly resolvedByInquiry: number;
  /** Calls to participants that were delivered again. */
  readonly duplicates: number;
  /** Tries that came after their cancel, and were refused. */
  readonly lateTries: number;
  readonly orphans: number;
  readonly locks: number;
  /** At participants that reserve, in all. */
  readonly reserved: number;
  readonly doubt: LongestDoubt;
  readonly footprints: readonly NodeFootprint[];
}

type Counts = Readonly<Partial<Record<InvariantName, number>>>;

/** Throws RangeError for events that cannot be what they are named. */
export function judge(history: readonly HistoryEvent[]): Judgement {
  const told = asDecisions(history);
  const decides = operations(told).filter(({ invoke }) => invoke.f === "decide");
  const answered = operations(told).filter(
    ({ invoke, complete }) => (invoke.f === "decide" || invoke.f === "status") && complete?.type === "ok",
  );
  const registerOperations = operations(history).filter(
    ({ invoke, complete }) => (invoke.f === "put" || invoke.f === "read") && complete?.type === "ok",
  );
  const doubt = longestDoubt(history);
  const fromClients = judgeClients(history, told, answered.length, registerOperations.length);
  const replicas = checkReplicas(history);
  const samples = footprintSamples(history);
  const footprint = checkFootprint(samples);
  const reads = finalReads(history);
  const fromBooks = reads === undefined ? NOTHING : judgeBooks(told, reads);
  const recoveries = history.filter(({ f }) => f === "recovery");
  const branches = reads?.counts?.branches ?? doubt.written;
  const checked: Counts = {
    ...fromClients.checked,
    ...fromBooks.checked,
    "I5-in-doubt": doubt.withMajorityMs === undefined ? 0 : branches,
    "I12-replicas": replicas.pairs,
    "I14-bounded": footprint.judged,
    "L1-recovery": recoveries.length,
  };
  const violations = [
    ...fromClients.violations,
    ...fromBooks.violations,
    ...checkDoubt(doubt),
    ...replicas.violations,
    ...footprint.violations,
    ...problems(history),
    ...recoveries.flatMap(({ value }) => (value === true ? [] : [{ invariant: "L1-recovery", message: String(value) }])),
  ];
  const why = [
    ...fromClients.gaveUp,
    ...(reads?.unread ?? []).map((message) => `a final read failed: ${message}`),
    ...(answered.length === 0 && registerOperations.length === 0 ? ["it holds no answered decision, status or register operation"] : []),
  ];
  const decisions =
    reads === undefined || reads.records.size === 0
      ? decisionsTold(answered)
      : [...reads.records.values()].map((record) => record.decision);
  return {
    verdict: violations.length > 0 ? "invalid" : why.length > 0 ? "unknown" : "valid",
    violations,
    why: violations.length === 0 && why.length > 0 ? why.join("; ") : undefined,
    invariants: tally(checked, violations),
    transactions: new Set(decides.map(({ invoke }) => invoke.key)).size,
    okDecisions: decides.filter(({ complete }) => complete?.type === "ok").length,
    committed: decisions.filter((each) => each === "commit").length,
    aborted: decisions.filter((each) => each === "abort").length,
    unknownToClients: decides.filter(({ complete }) => complete === undefined || complete.type === "info").length,
    registerOperations: registerOperations.length,
    resolvedByInquiry: reads?.counts?.resolvedByInquiry ?? 0,
    duplicates: reads?.counts?.duplicates ?? 0,
    lateTries: reads?.counts?.lateTries ?? 0,
    orphans: (reads?.left ?? []).reduce((sum, { orphans }) => sum + orphans, 0),
    locks: (reads?.left ?? []).reduce((sum, { locks }) => sum + locks, 0),
    reserved: (reads?.left ?? []).reduce((sum, { reserved = 0 }) => sum + reserved, 0),
    doubt,
    footprints: footprints(samples),
  };
}

interface Part {
  readonly violations: readonly Violation[];
  readonly checked: Counts;
}

const NOTHING: Part = { violations: [], checked: {} };

function judgeClients(
  history: readonly HistoryEvent[],
  told: readonly HistoryEvent[],
  answers: number,
  registerOperations: number,
): Part & { readonly gaveUp: readonly string[] } {
  const order = checkDecisionOrder(told);
  const registers = checkRegisters(history);
  const lists = appendTransactions(history);
  return {
    violations: [...checkAnswers(told), ...order.violations, ...registers.violations, ...checkAppends(history)],
    checked: { "I2-decision": order.checked, "I13-monotonic": answers, append: lists.length, linearizability: registerOperations },
    gaveUp: [
      ...(order.unknown.length > 0 ? [`the search for an order gave up on ${order.unknown.length} transactions`] : []),
      ...(registers.unknown.length > 0 ? [`the search for an order gave up on ${registers.unknown.length} registers`] : []),
    ],
  };
}

/** The records, the ledgers and the balances against each other and against what clients were told. */
function judgeBooks(told: readonly HistoryEvent[], reads: FinalReads): Part {
  const { records, rows, books, left, active, touched } = reads;
  const facts = factsOf(records);
  const complete = reads.unread.length === 0;
  const branches = checkBranches(told, records);
  const known = new Set(told.filter(({ type, f }) => type === "invoke" && f !== "status").map(({ key }) => key));
  const phantom = rows.find(({ gid }) => !known.has(gid));
  const expected = books.reduce((sum, each) => sum + each.expected, 0);
  const reserves = left.flatMap(({ participant, reserved }) => (reserved === undefined ? [] : [{ participant, reserved }]));
  const services = new Set(reserves.map(({ participant }) => participant));
  const violations: Violation[] = [
    ...branches.violations,
    ...(phantom === undefined
      ? []
      : [{ invariant: "I4-phantom", message: `${phantom.gid} took effect at ${phantom.participant}, and no client sent it` }]),
    // Of reads that are not complete only what was read can be judged: a row that is missing may not have been read.
    ...(complete ? [...checkLedger(facts, rows), ...checkConfirms(facts, services, rows), ...checkAcknowledged(told, facts, rows)] : []),
    ...checkReserves(reserves),
    ...(books.length > 0 && complete ? checkConservation(books, expected) : []),
    ...books.flatMap(({ participant, lowest }) =>
      lowest < 0 ? [{ invariant: "I9-conservation", message: `an account of ${participant} holds ${lowest}` }] : [],
    ),
    ...left.flatMap(({ participant, orphans, locks }) => [
      ...(orphans > 0 ? [{ invariant: "I10-orphan", message: `${orphans} prepared branches are left at ${participant}` }] : []),
      ...(locks > 0 ? [{ invariant: "I11-lock", message: `${locks} locks are left at ${participant}` }] : []),
    ]),
    ...(active !== undefined && active > 0
      ? [{ invariant: "I10-orphan", message: `the cluster still works on ${active} transactions` }]
      : []),
    ...(touched !== undefined && touched !== "commit"
      ? [{ invariant: "I11-lock", message: `a transaction that writes every account at the end did not commit: ${touched}` }]
      : []),
  ];
  const asked = operations(told).filter(
    ({ invoke, complete: end }) => (invoke.f === "decide" || invoke.f === "status") && end !== undefined,
  );
  return {
    violations,
    checked: {
      "I1-atomicity": complete ? facts.size : 0,
      "I3-acknowledged": complete ? asked.length : 0,
      "I4-phantom": complete ? rows.length : 0,
      "I4-branches": branches.compared,
      "I6-duplicate": complete ? rows.length + (reads.counts?.duplicates ?? 0) : 0,
      "I7-confirm": complete ? rows.filter(({ participant }) => services.has(participant)).length : 0,
      "I8-reserve": reserves.length,
      "I9-conservation": complete ? books.length : 0,
      "I10-orphan": left.length + (active === undefined ? 0 : 1),
      "I11-lock": left.length + (touched === undefined ? 0 : 1),
    },
  };
}

const PROBLEMS: Readonly<Record<string, string>> = { duplicate: "I6-duplicate", heuristic: "I1-atomicity", died: "L1-recovery" };

function problems(history: readonly HistoryEvent[]): readonly Violation[] {
  return history.flatMap(({ f, key, value }) => {
    if (f !== "problem") return [];
    const { what, message } = fields(value);
    return [{ invariant: PROBLEMS[String(what)] ?? "problem", message: `${key}: ${String(message)}` }];
  });
}

/** One decision for each transaction that somebody was told one of. */
function decisionsTold(answered: ReturnType<typeof operations>): readonly (string | undefined)[] {
  const decisions = new Map<string, string>();
  for (const { invoke, complete } of answered) {
    const value = complete?.value;
    if (value === "commit" || value === "abort") decisions.set(invoke.key, value);
  }
  return [...decisions.values()];
}
