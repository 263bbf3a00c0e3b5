/**
 * The in-doubt probe: how long branches that said yes do not know the outcome, as their participants see it. The long ones are written
 * into the history; which of that time a majority of coordinators was connected is judged later, from the history.
 *
 * While a participant itself is away, by our doing, no coordinator can tell it anything: that time does not count.
 */
import type { HistoryWriter } from "./history-writer.js";

/** Shorter doubts are counted, not written: a healthy commit has one for each branch. */
export const DOUBT_WRITTEN_MS_MIN = 50;

const NS_PER_MS = 1e6;

export class DoubtProbe {
  readonly #history: HistoryWriter;
  /** By participant, then by `gid/branch`: since when, ns of the machine's monotonic clock. */
  readonly #since = new Map<string, Map<string, bigint>>();
  /** Of participants that are away. */
  readonly #away = new Set<string>();
  #resolved = 0;

  constructor(history: HistoryWriter) {
    this.#history = history;
  }

  yes(participant: string, branch: string, atNs: bigint): void {
    const open = this.#of(participant);
    // A repeated prepare is the same doubt: it began with the first yes.
    if (!open.has(branch)) open.set(branch, atNs);
  }

  outcome(participant: string, branch: string, atNs: bigint): void {
    const open = this.#of(participant);
    const since = open.get(branch);
    if (since === undefined) return;
    open.delete(branch);
    this.#resolved += 1;
    if (!this.#away.has(participant)) this.#write(participant, branch, since, atNs, false);
  }

  /** The participant is about to be killed, frozen or cut off: its doubts are written as far as they go. */
  left(participant: string): void {
    if (this.#away.has(participant)) return;
    this.#away.add(participant);
    const now = process.hrtime.bigint();
    for (const [branch, since] of this.#of(participant)) this.#write(participant, branch, since, now, false);
  }

  /** It is back since `atNs`. `inDoubt`: what it knows to be undecided; undefined: what it knew when it left. */
  back(participant: string, inDoubt: readonly string[] | undefined, atNs: bigint): void {
    if (inDoubt === undefined && !this.#away.has(participant)) return;
    this.#away.delete(participant);
    const before = this.#of(participant);
    const now = inDoubt ?? [...before.keys()];
    this.#resolved += [...before.keys()].filter((branch) => !now.includes(branch)).length;
    this.#since.set(participant, new Map(now.map((branch) => [branch, atNs])));
  }

  /** Branches that said yes and do not know the outcome right now. */
  get open(): number {
    let open = 0;
    for (const branches of this.#since.values()) open += branches.size;
    return open;
  }

  get resolved(): number {
    return this.#resolved;
  }

  /** At the end of a run: what is still in doubt is written as far as it goes. */
  writeOpen(): void {
    const now = process.hrtime.bigint();
    for (const [participant, branches] of this.#since)
      for (const [branch, since] of branches) this.#write(participant, branch, since, now, true);
  }

  #of(participant: string): Map<string, bigint> {
    let open = this.#since.get(participant);
    if (open === undefined) this.#since.set(participant, (open = new Map<string, bigint>()));
    return open;
  }

  #write(participant: string, branch: string, since: bigint, until: bigint, open: boolean): void {
    const ms = Math.max(0, Number(until - since) / NS_PER_MS);
    if (ms < DOUBT_WRITTEN_MS_MIN && !open) return;
    // News of another process arrive later than they happened.
    const agoMs = Math.max(0, Number(process.hrtime.bigint() - until) / NS_PER_MS);
    const value = { ms: tenth(ms), open, agoMs: tenth(agoMs) };
    this.#history.add({ process: -1, type: "info", f: "doubt", key: `${branch}@${participant}`, value });
  }
}

function tenth(ms: number): number {
  return Math.round(ms * 10) / 10;
}
