/**
 * The in-doubt probe: measures at the participants how long branches that said yes do not know the outcome, and writes the long ones
 * into the history. Which of that time a majority of coordinators was connected is judged later, from the history.
 */
import type { DoubtSink } from "../src/demo/in-doubt-meter.js";
import type { BranchRef } from "../src/participant/index.js";
import type { HistoryWriter } from "./history-writer.js";

/** Shorter doubts are counted, not written: a healthy commit has one for each branch. */
export const DOUBT_WRITTEN_MS_MIN = 50;

export class DoubtProbe implements DoubtSink {
  readonly #history: HistoryWriter;
  readonly #since = new Map<string, number>();
  #resolved = 0;

  constructor(history: HistoryWriter) {
    this.#history = history;
  }

  yes(ref: BranchRef): void {
    const key = `${ref.gid}/${ref.branch}`;
    // A repeated prepare is the same doubt: it began with the first yes.
    if (!this.#since.has(key)) this.#since.set(key, performance.now());
  }

  outcome(ref: BranchRef): void {
    const key = `${ref.gid}/${ref.branch}`;
    const since = this.#since.get(key);
    if (since === undefined) return;
    this.#since.delete(key);
    this.#resolved += 1;
    this.#write(key, performance.now() - since, false);
  }

  /** Branches that said yes and do not know the outcome right now. */
  get open(): number {
    return this.#since.size;
  }

  get resolved(): number {
    return this.#resolved;
  }

  /** At the end of a run: what is still in doubt is written as far as it goes. */
  writeOpen(): void {
    const now = performance.now();
    for (const [key, since] of this.#since) this.#write(key, now - since, true);
  }

  #write(key: string, ms: number, open: boolean): void {
    if (ms < DOUBT_WRITTEN_MS_MIN && !open) return;
    this.#history.add({ process: -1, type: "info", f: "doubt", key, value: { ms: Math.round(ms * 10) / 10, open } });
  }
}
