/**
 * Work that must be there before something is measured: a number of operations as fast as they go, within a bound of time, with progress.
 */
import { performance } from "node:perf_hooks";
import type { End, Issue } from "../../bench/recorder.js";
import { note } from "../output.js";

const OUTSTANDING = 1024;
const PROGRESS_MS = 2000;

export interface Filled {
  /** Operations that ended well. */
  readonly done: number;
  readonly seconds: number;
  /** Those that did not, by what they said. */
  readonly failed: Readonly<Record<string, number>>;
}

/** Issues `count` operations, 1024 at a time; ends early after `secondsMax`. `verb`: what they are, for the progress. */
export function fill(issue: Issue, count: number, secondsMax: number, verb: string): Promise<Filled> {
  const beganMs = performance.now();
  const failed: Record<string, number> = {};
  let issued = 0;
  let ended = 0;
  let done = 0;
  const secondsSoFar = (): number => (performance.now() - beganMs) / 1000;
  return new Promise((resolve) => {
    const progress = setInterval(() => note(`${done} of ${count} ${verb}, ${Math.round(done / secondsSoFar())}/s`), PROGRESS_MS);
    const finish = (): void => {
      clearInterval(progress);
      const seconds = secondsSoFar();
      note(`${done} of ${count} ${verb} in ${seconds.toFixed(1)} s.`);
      resolve({ done, seconds, failed });
    };
    const one = (): void => {
      issued += 1;
      issue(answered);
    };
    const answered = (end: End): void => {
      ended += 1;
      if (end === "ok") done += 1;
      else {
        const why = end === "intended-abort" ? end : "error" in end ? end.error : `aborted: ${end.abort}`;
        failed[why] = (failed[why] ?? 0) + 1;
      }
      if (issued < count && secondsSoFar() < secondsMax) one();
      else if (ended === issued) finish();
    };
    for (let i = 0; i < Math.min(OUTSTANDING, count); i++) one();
  });
}
