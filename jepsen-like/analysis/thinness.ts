/**
 * The guard against empty passes: a run in which too little happened has proven nothing, and says so.
 */

export interface Thickness {
  /** Answers that told a client a decision. */
  readonly okDecisions: number;
  readonly committed: number;
  readonly aborted: number;
  /** From the beginning of the first fault to the end of the last. */
  readonly faultSeconds: number;
  readonly leaderChanges: number;
  readonly faultsInjected: number;
  readonly faultsFelt: number;
  /** Branches whose participant had to ask for the outcome. */
  readonly resolvedByInquiry: number;
}

export const OK_DECISIONS_MIN = 500;
export const OUTCOME_SHARE_MIN = 0.1;
export const LEADER_CHANGE_EVERY_S = 20;

/** Why this run is too thin to be called valid; empty: it is not. */
export function thinnessOf(run: Thickness, aim: { readonly movesLeader: boolean; readonly leavesDoubt: boolean }): readonly string[] {
  const why: string[] = [];
  if (run.okDecisions < OK_DECISIONS_MIN) why.push(`${run.okDecisions} decisions were answered, ${OK_DECISIONS_MIN} are needed`);
  const decided = run.committed + run.aborted;
  for (const [name, count] of [
    ["committed", run.committed],
    ["aborted", run.aborted],
  ] as const)
    if (count < decided * OUTCOME_SHARE_MIN || count === 0)
      why.push(`${count} of ${decided} transactions ${name}, ${OUTCOME_SHARE_MIN * 100} % are needed`);
  if (run.faultsFelt === 0) why.push(`none of ${run.faultsInjected} faults was felt`);
  const needed = Math.max(1, Math.floor(run.faultSeconds / LEADER_CHANGE_EVERY_S));
  if (aim.movesLeader && run.leaderChanges < needed)
    why.push(`${run.leaderChanges} leader changes in ${run.faultSeconds.toFixed(0)} s of faults, ${needed} are needed`);
  if (aim.leavesDoubt && run.resolvedByInquiry === 0) why.push("no participant had to ask for an outcome");
  return why;
}

/** Rounded to one decimal; 0 when there was no fault. */
export function leaderChangesPer20s(run: Pick<Thickness, "faultSeconds" | "leaderChanges">): number {
  return run.faultSeconds === 0 ? 0 : Math.round((run.leaderChanges * 10 * LEADER_CHANGE_EVERY_S) / run.faultSeconds) / 10;
}
