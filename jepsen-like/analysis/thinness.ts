/**
 * The guard against empty passes: a run in which too little happened has proven nothing, and says so.
 */

export interface Thickness {
  /** Answers that told a client a decision. */
  readonly okDecisions: number;
  readonly committed: number;
  readonly aborted: number;
  /** Of registers, answered. */
  readonly registerOperations: number;
  /** From the beginning of the first fault to the end of the last. */
  readonly faultSeconds: number;
  readonly leaderChanges: number;
  readonly faultsInjected: number;
  readonly faultsFelt: number;
  /** Branches whose participant had to ask for the outcome. */
  readonly resolvedByInquiry: number;
  /** Calls to participants that were delivered again. */
  readonly duplicates: number;
  /** Tries that came after their cancel. */
  readonly lateTries: number;
}

/** What the run was meant to do. */
export interface Aim {
  readonly movesLeader: boolean;
  readonly leavesDoubt: boolean;
  readonly faultless?: boolean;
  /** Transactions, not only registers. */
  readonly decides: boolean;
  readonly duplicates: boolean;
  /** Tries are to come after their cancels. */
  readonly reorders: boolean;
  /** Some participant asks for what it prepared, also after a restart; one that reserves does so seldom, and a service never. */
  readonly asks: boolean;
}

export const OPERATIONS_MIN = 500;
export const DUPLICATES_MIN = 200;
export const LATE_TRIES_MIN = 10;
export const OUTCOME_SHARE_MIN = 0.1;
export const LEADER_CHANGE_EVERY_S = 20;

/** Why this run is too thin to be called valid; empty: it is not. */
export function thinnessOf(run: Thickness, aim: Aim): readonly string[] {
  const why: string[] = [];
  if (aim.decides) why.push(...fewDecisions(run));
  else if (run.registerOperations < OPERATIONS_MIN)
    why.push(`${run.registerOperations} operations were answered, ${OPERATIONS_MIN} are needed`);
  if (run.faultsFelt === 0 && aim.faultless !== true) why.push(`none of ${run.faultsInjected} faults was felt`);
  const needed = Math.max(1, Math.floor(run.faultSeconds / LEADER_CHANGE_EVERY_S));
  if (aim.movesLeader && run.leaderChanges < needed)
    why.push(`${run.leaderChanges} leader changes in ${run.faultSeconds.toFixed(0)} s of faults, ${needed} are needed`);
  if (aim.leavesDoubt && aim.decides && aim.asks && run.resolvedByInquiry === 0) why.push("no participant had to ask for an outcome");
  if (aim.duplicates && run.duplicates < DUPLICATES_MIN)
    why.push(`${run.duplicates} calls were delivered again, ${DUPLICATES_MIN} are needed`);
  if (aim.reorders && run.lateTries < LATE_TRIES_MIN)
    why.push(`${run.lateTries} tries came after their cancel, ${LATE_TRIES_MIN} are needed`);
  return why;
}

function fewDecisions(run: Thickness): readonly string[] {
  const why: string[] = [];
  if (run.okDecisions < OPERATIONS_MIN) why.push(`${run.okDecisions} decisions were answered, ${OPERATIONS_MIN} are needed`);
  const decided = run.committed + run.aborted;
  for (const [name, count] of [
    ["committed", run.committed],
    ["aborted", run.aborted],
  ] as const)
    if (count < decided * OUTCOME_SHARE_MIN || count === 0)
      why.push(`${count} of ${decided} transactions ${name}, ${OUTCOME_SHARE_MIN * 100} % are needed`);
  return why;
}

/** Rounded to one decimal; 0 when there was no fault. */
export function leaderChangesPer20s(run: Pick<Thickness, "faultSeconds" | "leaderChanges">): number {
  return run.faultSeconds === 0 ? 0 : Math.round((run.leaderChanges * 10 * LEADER_CHANGE_EVERY_S) / run.faultSeconds) / 10;
}
