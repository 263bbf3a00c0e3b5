/**
 * The branches of one participant that are prepared here and do not know their outcome: when each one asks, and how long it took.
 *
 * Pure; times come in as parameters. It decides when to ask, never what the outcome is. Asking is always harmless: the answer is a
 * recorded decision or "ask again".
 */
import type { BranchRef } from "../participant/index.js";
import { backoffMs } from "./backoff.js";

/** A branch that voted in this process is being decided right now; it does not ask before this. */
export const FIRST_ASK_MS = 500;
const ASK = { delayMsMin: 100, delayMsMax: 5_000 } as const;
/** So often a branch has asked the leader without learning its outcome when it begins to ask everybody. */
export const LEADER_ASKED_MAX = 3;
/** Longest pause after "wait". */
const WAIT_MS = 500;

interface Doubt {
  readonly ref: BranchRef;
  readonly sinceMs: number;
  /** Voted in this process, as opposed to found in a listing. */
  readonly own: boolean;
  askAtMs: number;
  attempts: number;
  /** Its outcome is known and being carried out. */
  settling: boolean;
}

export function branchKey(ref: BranchRef): string {
  return `${ref.gid}/${ref.branch}`;
}

export class InDoubtTable {
  readonly #doubts = new Map<string, Doubt>();
  readonly #random: () => number;

  constructor(random: () => number) {
    this.#random = random;
  }

  get size(): number {
    return this.#doubts.size;
  }

  /** Age of the oldest doubt, ms; 0 without any. */
  oldestMs(nowMs: number): number {
    let oldest = 0;
    for (const doubt of this.#doubts.values()) oldest = Math.max(oldest, nowMs - doubt.sinceMs);
    return oldest;
  }

  /** The branch said yes in this process. Repeated votes are the same doubt. */
  voted(ref: BranchRef, nowMs: number): void {
    this.#add(ref, nowMs, true, nowMs + FIRST_ASK_MS);
  }

  /** A listing named it: an earlier process of ours, another instance or a vanished client prepared it. Asks at once. */
  found(ref: BranchRef, nowMs: number): void {
    this.#add(ref, nowMs, false, nowMs);
  }

  /** Its outcome arrived and is being carried out: no more asking. */
  settling(ref: BranchRef): void {
    const doubt = this.#doubts.get(branchKey(ref));
    if (doubt !== undefined) doubt.settling = true;
  }

  /** Carrying the outcome out failed: it will be told again, and asks as well. */
  settleFailed(ref: BranchRef, nowMs: number): void {
    const doubt = this.#doubts.get(branchKey(ref));
    if (doubt === undefined) return;
    doubt.settling = false;
    this.#postpone(doubt, nowMs);
  }

  /** The outcome is durable. Returns how long it was in doubt, ms; undefined if it was not known to be. */
  settled(ref: BranchRef, nowMs: number): number | undefined {
    const key = branchKey(ref);
    const doubt = this.#doubts.get(key);
    if (doubt === undefined) return undefined;
    this.#doubts.delete(key);
    return nowMs - doubt.sinceMs;
  }

  has(ref: BranchRef): boolean {
    return this.#doubts.has(branchKey(ref));
  }

  /** Those that ask now, at most `max`; each is postponed by its back-off. */
  due(nowMs: number, max: number): BranchRef[] {
    const due: BranchRef[] = [];
    for (const doubt of this.#doubts.values()) {
      if (due.length >= max) break;
      if (doubt.settling || doubt.askAtMs > nowMs) continue;
      this.#postpone(doubt, nowMs);
      due.push(doubt.ref);
    }
    return due;
  }

  /**
   * The leader does not help: packets between it and here may be lost in silence, while the others know the decision and may tell it.
   * Asked of those that are due.
   */
  unhelped(ref: BranchRef): boolean {
    return (this.#doubts.get(branchKey(ref))?.attempts ?? 0) > LEADER_ASKED_MAX;
  }

  /** A new leader, or a new stream to one: whoever has waited for long asks at once, with a fresh back-off. */
  askSoon(nowMs: number): void {
    for (const doubt of this.#doubts.values()) {
      doubt.attempts = 0;
      doubt.askAtMs = doubt.own ? Math.min(doubt.askAtMs, Math.max(nowMs, doubt.sinceMs + FIRST_ASK_MS)) : nowMs;
    }
  }

  /** What a new stream is told right after hello. */
  open(nowMs: number): BranchRef[] {
    const refs: BranchRef[] = [];
    for (const doubt of this.#doubts.values()) {
      if (!doubt.settling && !(doubt.own && nowMs - doubt.sinceMs < FIRST_ASK_MS)) refs.push(doubt.ref);
    }
    return refs;
  }

  /**
   * "wait": the gid is still inside its commit window, after which the cluster aborts it when asked: ask often, because each back-off
   * too long is time in doubt. Other answers without an outcome change nothing: the outcome will be sent, and asking goes on.
   */
  answeredWait(ref: BranchRef, nowMs: number): void {
    const doubt = this.#doubts.get(branchKey(ref));
    if (doubt !== undefined) doubt.askAtMs = Math.min(doubt.askAtMs, nowMs + WAIT_MS * (0.5 + this.#random() / 2));
  }

  /** A complete listing of everything prepared before `beforeMs`: what it does not name was settled by another instance. */
  listed(keys: ReadonlySet<string>, beforeMs: number): void {
    for (const [key, doubt] of this.#doubts) {
      if (!doubt.settling && doubt.sinceMs < beforeMs && !keys.has(key)) this.#doubts.delete(key);
    }
  }

  #add(ref: BranchRef, sinceMs: number, own: boolean, askAtMs: number): void {
    const key = branchKey(ref);
    if (this.#doubts.has(key)) return;
    this.#doubts.set(key, { ref: { gid: ref.gid, branch: ref.branch }, sinceMs, own, askAtMs, attempts: 0, settling: false });
  }

  #postpone(doubt: Doubt, nowMs: number): void {
    doubt.askAtMs = nowMs + backoffMs(doubt.attempts++, ASK, this.#random);
  }
}
