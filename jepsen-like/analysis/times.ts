/**
 * The table of times: what each fault cost, from the moment it began.
 */
import type { HistoryEvent, Violation } from "../../src/check/index.js";
import { decisionPoints, faultBands, fields, majoritySpans, nodeChanges, type FaultBand, type Span } from "./timeline.js";

/** All ms; undefined: it did not happen. */
export interface FaultTimes {
  readonly band: FaultBand;
  /** From the fault to the first node that looks for a leader, or leads anew: between two looks a node may do both. */
  readonly detectMs: number | undefined;
  /** To a leader established in a later epoch. */
  readonly electMs: number | undefined;
  /** To the first commit of a later epoch that a client was told of. */
  readonly firstCommitMs: number | undefined;
  /** The longest silence between two acknowledged commits that touches the fault. */
  readonly unavailableMs: number | undefined;
}

export interface LongestDoubt {
  /** All of it, ms; 0: none was long enough to be written. */
  readonly maxMs: number;
  /**
   * The worst stretch of one branch's doubt, after somebody asked for the decision, in which a majority was connected and no participant
   * was away all the time, ms; undefined: the history does not say when one was.
   */
  readonly withMajorityMs: number | undefined;
  /** Of that stretch: how long some coordinator was ready to run and got no processor. No protocol can hurry what does not run. */
  readonly starvedMs: number;
  /** `gid/branch@participant` of that one. */
  readonly key: string | undefined;
  /** Doubts that were long enough to be written. */
  readonly written: number;
  /** Still in doubt when the run ended. */
  readonly open: number;
}

const NS_PER_MS = 1e6;
/**
 * The longest doubt with a majority connected: the replacement of a frozen leader (2 s), twice the interval of inquiries (2 x 1 s), and
 * 2 s for a busy machine.
 */
export const IN_DOUBT_MS_MAX = 6_000;

export function faultTimes(history: readonly HistoryEvent[]): readonly FaultTimes[] {
  const bands = faultBands(history);
  const changes = nodeChanges(history);
  const commits = decisionPoints(history).filter((point) => point.outcome === "commit" && point.atNs < Infinity);
  return bands.map((band, i) => {
    const untilNs = bands[i + 1]?.fromNs ?? Infinity;
    const { fromNs } = band;
    const since = (atNs: number | undefined): number | undefined => (atNs === undefined ? undefined : (atNs - fromNs) / NS_PER_MS);
    const epoch = band.epoch ?? Infinity;
    const after = changes.filter((change) => change.atNs > fromNs && change.atNs < untilNs);
    return {
      band,
      detectMs: since(after.find((change) => change.role === "looking" || (change.leads && change.epoch > epoch))?.atNs),
      electMs: since(after.find((change) => change.leads && change.epoch > epoch)?.atNs),
      firstCommitMs: since(commits.find((each) => each.atNs > fromNs && each.atNs < untilNs && (each.epoch ?? 0) > epoch)?.atNs),
      unavailableMs: longestSilence(
        commits.map((each) => each.atNs),
        band,
      ),
    };
  });
}

/** Between two neighbours of `at` (ascending) that touches the span, ms. */
function longestSilence(at: readonly number[], { fromNs, toNs }: Span): number | undefined {
  let longest: number | undefined;
  for (const [i, endsNs] of at.entries()) {
    const beginsNs = at[i - 1];
    if (beginsNs === undefined || endsNs < fromNs || beginsNs > toNs) continue;
    longest = Math.max(longest ?? 0, (endsNs - beginsNs) / NS_PER_MS);
  }
  return longest;
}

export function longestDoubt(history: readonly HistoryEvent[]): LongestDoubt {
  const spans = answerableSpans(history);
  const asked = firstAsked(history);
  const starved = starvation(history);
  let [maxMs, withMajorityMs, starvedMs, written, open] = [0, 0, 0, 0, 0];
  let key: string | undefined;
  for (const event of history) {
    if (event.f !== "doubt") continue;
    const { ms, open: isOpen, agoMs = 0 } = event.value as { readonly ms: number; readonly open: boolean; readonly agoMs?: number };
    written += 1;
    if (isOpen) open += 1;
    maxMs = Math.max(maxMs, ms);
    const endNs = event.time - agoMs * NS_PER_MS;
    // Before anybody asked to decide it, a transaction is open, and its branches wait for its client.
    const askedNs = asked.get(event.key.split("/")[0] ?? "") ?? 0;
    const doubt = { fromNs: Math.max(endNs - ms * NS_PER_MS, askedNs), toNs: endNs };
    for (const span of spans ?? []) {
      const shared = { fromNs: Math.max(span.fromNs, doubt.fromNs), toNs: Math.min(span.toNs, doubt.toNs) };
      const sharedMs = (shared.toNs - shared.fromNs) / NS_PER_MS;
      if (sharedMs <= 0) continue;
      const waitedMs = starved(shared);
      // The worst is the one that a processor for everybody would not have helped.
      if (sharedMs - waitedMs <= withMajorityMs - starvedMs) continue;
      [withMajorityMs, starvedMs] = [sharedMs, waitedMs];
      key = event.key;
    }
  }
  return { maxMs, withMajorityMs: spans === undefined ? undefined : withMajorityMs, starvedMs, key, written, open };
}

/**
 * When a branch in doubt could be told: a majority is connected, and no participant is away by our doing, whose vote might be missing.
 * Undefined: the history does not say.
 */
function answerableSpans(history: readonly HistoryEvent[]): readonly Span[] | undefined {
  const away = faultBands(history).filter(({ participant }) => participant !== undefined);
  return majoritySpans(history)?.flatMap((span) => {
    const parts: Span[] = [];
    let { fromNs } = span;
    for (const band of away) {
      if (band.toNs <= fromNs || band.fromNs >= span.toNs) continue;
      if (band.fromNs > fromNs) parts.push({ fromNs, toNs: band.fromNs });
      fromNs = Math.max(fromNs, band.toNs);
    }
    return fromNs < span.toNs ? [...parts, { fromNs, toNs: span.toNs }] : parts;
  });
}

/** When each transaction was first asked to be decided. */
function firstAsked(history: readonly HistoryEvent[]): ReadonlyMap<string, number> {
  const asked = new Map<string, number>();
  for (const { type, f, key, time } of history)
    if (type === "invoke" && (f === "decide" || f === "txn") && !asked.has(key)) asked.set(key, time);
  return asked;
}

/** ms of waiting for a processor in a span: whole samples that end in it, never more than they are long or the span is. */
function starvation(history: readonly HistoryEvent[]): (span: Span) => number {
  let beforeNs = 0;
  const samples = history.flatMap((event) => {
    if (event.f !== "sample") return [];
    const ms = fields(event.value)["starvedMs"];
    const longMs = (event.time - beforeNs) / NS_PER_MS;
    beforeNs = event.time;
    return typeof ms === "number" ? [{ atNs: event.time, ms: Math.min(ms, longMs) }] : [];
  });
  return ({ fromNs, toNs }) => {
    const waited = samples.reduce((sum, { atNs, ms }) => (atNs > fromNs && atNs <= toNs ? sum + ms : sum), 0);
    return Math.min(waited, (toNs - fromNs) / NS_PER_MS);
  };
}

/** I5. What no majority was there for does not count, nor what the machine withheld from the coordinators. */
export function checkDoubt({ withMajorityMs, starvedMs, key }: LongestDoubt): readonly Violation[] {
  if (withMajorityMs === undefined || withMajorityMs - starvedMs <= IN_DOUBT_MS_MAX) return [];
  const message = `${key ?? "a branch"} was in doubt for ${withMajorityMs.toFixed(0)} ms while a majority was connected, ${starvedMs.toFixed(0)} ms of it without a processor; ${IN_DOUBT_MS_MAX} ms are allowed`;
  return [{ invariant: "I5-in-doubt", message }];
}

export interface Spread {
  readonly median: number;
  readonly max: number;
}

export interface FaultSummary {
  readonly fault: string;
  readonly injected: number;
  readonly felt: number;
  readonly detectMs: Spread | undefined;
  readonly electMs: Spread | undefined;
  readonly firstCommitMs: Spread | undefined;
  readonly unavailableMs: Spread | undefined;
}

/** One line for each kind of fault; only felt faults have times. */
export function summarize(times: readonly FaultTimes[]): readonly FaultSummary[] {
  return [...new Set(times.map((each) => each.band.fault))].sort().map((name) => {
    const all = times.filter((each) => each.band.fault === name);
    const felt = all.filter((each) => each.band.verified);
    const of = (pick: (each: FaultTimes) => number | undefined): Spread | undefined =>
      spread(felt.map(pick).filter((ms): ms is number => ms !== undefined));
    return {
      fault: name,
      injected: all.length,
      felt: felt.length,
      detectMs: of((each) => each.detectMs),
      electMs: of((each) => each.electMs),
      firstCommitMs: of((each) => each.firstCommitMs),
      unavailableMs: of((each) => each.unavailableMs),
    };
  });
}

function spread(values: readonly number[]): Spread | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  const [median, max] = [sorted[Math.floor((sorted.length - 1) / 2)], sorted.at(-1)];
  return median === undefined || max === undefined ? undefined : { median: Math.round(median), max: Math.round(max) };
}
