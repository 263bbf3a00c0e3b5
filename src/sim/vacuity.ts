/**
 * Whether a batch of seeds shows anything. A batch in which next to nothing happened holds every promise.
 *
 * Decides from the totals only. What single situations must have been reached is in marks.ts.
 */

export interface BatchTotals {
  readonly seeds: number;
  /** Fault time of each seed, simulated ms. */
  readonly safetyMs: number;
  readonly decisions: number;
  readonly commits: number;
  readonly leaderChanges: number;
  /** Branches in doubt that asked and were told their outcome. */
  readonly resolvedByInquiry: number;
}

const DECISIONS_MIN = 500;
/** Of either outcome, in parts of all decisions. */
const OUTCOME_SHARE_MIN = 0.1;
/** On average there is a change of leader in every stretch of fault time of this length. */
const LEADER_CHANGE_MS_MAX = 20_000;

/** What a batch lacks, in words; empty when it shows something. */
export function judgeVacuity(batch: BatchTotals): readonly string[] {
  const { seeds, safetyMs, decisions, commits, leaderChanges, resolvedByInquiry } = batch;
  const problems: string[] = [];
  if (decisions < DECISIONS_MIN) problems.push(`${decisions} decisions; ${DECISIONS_MIN} are needed`);
  const aborts = decisions - commits;
  const share = (count: number): string => `${((100 * count) / Math.max(1, decisions)).toFixed(1)} %`;
  if (commits < decisions * OUTCOME_SHARE_MIN) problems.push(`only ${share(commits)} of the decisions are commits`);
  if (aborts < decisions * OUTCOME_SHARE_MIN) problems.push(`only ${share(aborts)} of the decisions are aborts`);
  const changesMin = Math.ceil((seeds * safetyMs) / LEADER_CHANGE_MS_MAX);
  if (leaderChanges < changesMin || changesMin === 0)
    problems.push(`${leaderChanges} changes of leader in ${(seeds * safetyMs) / 1000} s of faults; ${Math.max(1, changesMin)} are needed`);
  if (resolvedByInquiry < 1) problems.push("no branch in doubt learned its outcome by asking");
  return problems;
}
