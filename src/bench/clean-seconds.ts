/**
 * Which measured seconds nobody else disturbed. A machine is rarely ours alone; figures over the seconds in which it was can be compared
 * with those of another day.
 */

/** In a clean second other processes used, and the hypervisor took, together less than this many cores. Ticks of 10 ms are its grain. */
export const CLEAN_CORES_MAX = 0.1;
/** Fewer clean seconds than this say nothing. */
export const CLEAN_SECONDS_MIN = 5;

export interface Disturbance {
  /** Cores that processes other than those measured used; undefined where it cannot be known. */
  readonly foreign: number | undefined;
  /** Cores that the hypervisor gave to other machines. */
  readonly steal: number | undefined;
}

/** A second of which nothing is known is not clean. */
export function isClean({ foreign, steal }: Disturbance): boolean {
  return foreign !== undefined && steal !== undefined && foreign + steal < CLEAN_CORES_MAX;
}

export interface CleanSeconds {
  readonly count: number;
  readonly of: number;
  /** There are enough of them to be reported apart. */
  readonly enough: boolean;
  /** Whether this measured second is clean. */
  includes(second: number): boolean;
}

/** One entry for each measured second, in order. */
export function cleanSeconds(seconds: readonly Disturbance[]): CleanSeconds {
  const clean = seconds.map(isClean);
  const count = clean.filter(Boolean).length;
  return { count, of: seconds.length, enough: count >= CLEAN_SECONDS_MIN, includes: (second) => clean[second] === true };
}
